//! The ledger of known differences, `fixtures/divergences.toml`; and those of foreign backends.
//!
//! An entry records what a trial gives instead of the reference's answer. The trial runs all the
//! same: agreeing is red (stale), and so is differing in another way (changed).

use std::fmt;
use std::path::Path;

use emily_spec::{ErrorKind, Tensor, Tolerance};
use serde::Deserialize;
use toml::Spanned;

use crate::case::{Location, OneOrMany, Problem, Source};
use crate::compare::Difference;
use crate::literal::{self, Literal};

/// The devices that an entry can name: `gpu` is whichever there is, `mlx` a CPU on which MLX's own kernels run
/// (`EMILY_EXECUTOR=mlx`).
pub const DEVICES: [&str; 5] = ["cpu", "cuda", "gpu", "metal", MLX];

/// A CPU without the engine's own kernels.
const MLX: &str = "mlx";

/// The GPUs that a layer's device `gpu` may be.
const GPUS: [&str; 2] = ["cuda", "metal"];

/// The GPU of the MLX that this was built with.
const GPU: &str = if cfg!(target_os = "macos") {
    "metal"
} else {
    "cuda"
};

/// What a layer's device is in this process.
fn here(device: &str) -> &str {
    match device {
        "gpu" => GPU,
        "cpu" if std::env::var("EMILY_EXECUTOR").is_ok_and(|name| name == MLX) => MLX,
        other => other,
    }
}

/// The recorded differences.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// The entries, in the file's order.
    pub entries: Vec<Entry>,
}

/// One recorded difference.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The trials it is about: names, `*` standing for any characters within one segment.
    pub trials: Vec<String>,
    /// The devices it holds on, of [`DEVICES`]; all when absent.
    pub devices: Option<Vec<String>>,
    /// What the trials give.
    pub record: Record,
    /// Why.
    pub why: String,
    /// Whose doing it is.
    pub cause: Cause,
    /// Where it stands.
    pub at: Location,
}

/// Whose doing a difference is, on a layer of Emily's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Emily's, or what it is made of.
    #[default]
    Emily,
    /// Nx's, before any backend sees the call.
    Nx,
}

/// What a trial gives instead of the reference's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// The reference's answer within another tolerance than the op's, or with elements that differ from
    /// it in kind, at least one in each of these.
    Within(Option<Tolerance>, Vec<Difference>),
    /// These answers.
    Values(Vec<Tensor>),
    /// An error of this kind.
    Error(ErrorKind),
    /// The reference's answer or another one, or an exception: Nx leaves it open.
    Open,
    /// Another answer or an exception, whichever; of a backend that is not Emily.
    Wrong,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Record::Within(tolerance, differences) => {
                let within = tolerance.map(|tolerance| format!("within {tolerance}"));
                let names: Vec<String> = differences.iter().map(ToString::to_string).collect();
                let names = Some(names.join(" and ")).filter(|names| !names.is_empty());
                let differs = names.map(|names| format!("differs in {names}"));
                let parts: Vec<String> = within.into_iter().chain(differs).collect();
                f.write_str(&parts.join(", "))
            }
            Record::Values(tensors) => {
                let texts: Vec<String> = tensors.iter().map(literal::print).collect();
                f.write_str(&texts.join(" "))
            }
            Record::Error(kind) => write!(f, "a {kind} error"),
            Record::Open => f.write_str("open"),
            Record::Wrong => f.write_str("wrong"),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    #[serde(default)]
    divergence: Vec<EntryText>,
    #[serde(default)]
    open: Vec<LooseText>,
    #[serde(default)]
    wrong: Vec<LooseText>,
}

/// Trials of a backend that is not Emily without what they give: Nx leaves it open, or it is wrong anyhow.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LooseText {
    #[serde(rename = "where")]
    trials: Spanned<OneOrMany>,
    #[serde(default)]
    why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryText {
    #[serde(rename = "where")]
    trials: Spanned<OneOrMany>,
    #[serde(default)]
    when: WhenText,
    result: RecordText,
    #[serde(default)]
    why: String,
    #[serde(default)]
    cause: Cause,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhenText {
    device: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordText {
    tol: Option<Tolerance>,
    #[serde(default)]
    differs: Vec<Difference>,
    out: Option<OneOrMany>,
    err: Option<ErrorKind>,
}

impl Ledger {
    /// Reads the ledger.
    ///
    /// # Errors
    /// Every entry that says something impossible, or does not say why.
    pub fn parse(file: &Path, text: &str) -> Result<Ledger, Vec<Problem>> {
        let source = Source { file, text };
        let parsed: FileText = toml::from_str(text).map_err(|e| vec![source.toml(&e)])?;
        let (mut entries, mut problems) = (Vec::new(), Vec::new());
        for text in parsed.divergence {
            let start = text.trials.span().start;
            match entry(text, source.at(start)) {
                Ok(entry) => entries.push(entry),
                Err(message) => problems.push(source.problem(start, message)),
            }
        }
        let open = parsed.open.into_iter().map(|text| (text, Record::Open));
        let wrong = parsed.wrong.into_iter().map(|text| (text, Record::Wrong));
        for (LooseText { trials, why }, record) in open.chain(wrong) {
            let start = trials.span().start;
            if why.trim().is_empty() {
                problems.push(source.problem(start, format!("what is {record} needs a why")));
            }
            entries.push(Entry {
                trials: trials.get_ref().as_slice().to_vec(),
                devices: None,
                record,
                why,
                cause: Cause::Nx,
                at: source.at(start),
            });
        }
        if problems.is_empty() {
            Ok(Ledger { entries })
        } else {
            Err(problems)
        }
    }

    /// The ledger with the name of a layer in the place of `peer`, by which a ledger for every foreign
    /// backend calls it.
    pub fn about(mut self, layer: &str) -> Ledger {
        for trial in self.entries.iter_mut().flat_map(|entry| &mut entry.trials) {
            if let Some(rest) = trial.strip_prefix("peer::") {
                *trial = format!("{layer}::{rest}");
            }
        }
        self
    }

    /// The entry that records this trial on this device of a layer's.
    pub fn find(&self, trial: &str, device: &str) -> Option<&Entry> {
        let device = here(device);
        self.entries
            .iter()
            .find(|entry| entry.is_about(trial, device))
    }

    /// Entries that are about none of these trials, and trials that two entries are about, on whichever
    /// GPU and whosever kernels.
    pub fn problems<'a>(
        &self,
        trials: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        let trials = trials.flat_map(|(trial, device)| {
            let each: &[&str] = match device {
                "gpu" => &GPUS,
                "cpu" => &["cpu", MLX],
                _ => &[],
            };
            each.iter().map(move |&device| (trial, device))
        });
        for (i, entry) in self.entries.iter().enumerate() {
            let about = trials
                .clone()
                .filter(|(trial, device)| entry.is_about(trial, device));
            let idle = entry
                .trials
                .iter()
                .find(|pattern| !about.clone().any(|(trial, _)| matches(pattern, trial)));
            let others = &self.entries[..i];
            let twice = about
                .clone()
                .find(|(t, d)| others.iter().any(|e| e.is_about(t, d)));
            let message = match (idle, twice) {
                (Some(pattern), _) => format!("{pattern} matches no trial"),
                (None, Some((trial, _))) => format!("{trial} is recorded twice"),
                (None, None) => continue,
            };
            problems.push(Problem {
                at: entry.at.clone(),
                message,
            });
        }
        problems
    }
}

impl Entry {
    /// Whether it records the trial on the CPU, with or without kernels of the engine's, or on one of the GPUs.
    fn is_about(&self, trial: &str, device: &str) -> bool {
        let is_there = |d: &String| {
            d == device || d == "gpu" && GPUS.contains(&device) || d == "cpu" && device == MLX
        };
        let there = self
            .devices
            .as_ref()
            .is_none_or(|all| all.iter().any(is_there));
        there && self.trials.iter().any(|pattern| matches(pattern, trial))
    }
}

fn entry(text: EntryText, at: Location) -> Result<Entry, String> {
    if text.why.trim().is_empty() {
        return Err("a divergence needs a why".to_owned());
    }
    let named = text.when.device.iter().flatten();
    for device in named {
        if !DEVICES.contains(&device.as_str()) {
            let known = DEVICES.join(" ");
            return Err(format!("unknown device {device:?}; known are {known}"));
        }
    }
    let RecordText {
        tol,
        differs,
        out,
        err,
    } = text.result;
    let record = match (tol, out, err) {
        (tol, None, None) if tol.is_some() || !differs.is_empty() => Record::Within(tol, differs),
        (None, None, Some(kind)) if differs.is_empty() => Record::Error(kind),
        (None, Some(out), None) if differs.is_empty() => {
            let read = |text: &String| {
                let literal = Literal::parse(text)?;
                literal.at(literal.ty().dtype)
            };
            Record::Values(
                out.as_slice()
                    .iter()
                    .map(read)
                    .collect::<Result<_, String>>()?,
            )
        }
        _ => return Err("result is tol, differs or both, or one of out and err".to_owned()),
    };
    let trials = text.trials.get_ref().as_slice().to_vec();
    Ok(Entry {
        trials,
        devices: text.when.device,
        record,
        why: text.why,
        cause: text.cause,
        at,
    })
}

/// Matches segment by segment, `*` standing for any characters within one.
fn matches(pattern: &str, name: &str) -> bool {
    let (mut patterns, mut segments) = (pattern.split("::"), name.split("::"));
    loop {
        match (patterns.next(), segments.next()) {
            (None, None) => return true,
            (Some(pattern), Some(segment)) if segment_matches(pattern, segment) => {}
            _ => return false,
        }
    }
}

fn segment_matches(pattern: &str, segment: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == segment;
    };
    let Some(tail) = segment.strip_prefix(start) else {
        return false;
    };
    let ends = (0..=tail.len()).filter(|&end| tail.is_char_boundary(end));
    ends.into_iter()
        .any(|end| segment_matches(rest, &tail[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "fixtures/divergences.toml";

    fn parse(text: &str) -> Result<Ledger, Vec<Problem>> {
        Ledger::parse(Path::new(FILE), text)
    }

    fn entry(trials: &str, rest: &str) -> String {
        format!("[[divergence]]\nwhere = \"{trials}\"\nwhy = \"w\"\n{rest}\n")
    }

    #[test]
    fn stars_stay_within_a_segment() {
        assert!(matches("a::*::c", "a::bb::c"));
        assert!(matches("a::x*y*", "a::x1y"));
        assert!(!matches("a::*", "a::b::c"));
        assert!(!matches("a::x*y", "a::xyz"));
    }

    #[test]
    fn entries_are_found_by_trial_and_device() {
        let text = entry(
            "a::b",
            "when = { device = [\"cpu\"] }\nresult = { tol = \"ulp(4)\" }",
        );
        let ledger = parse(&text).unwrap();
        assert_eq!(
            ledger.find("a::b", "cpu").unwrap().record,
            Record::Within(Some(Tolerance::Ulp(4)), vec![])
        );
        assert!(ledger.find("a::b", "gpu").is_none());
        assert_eq!(ledger.entries[0].at.line, 2);
    }

    #[test]
    fn what_one_gpu_does_is_not_claimed_of_another() {
        let on = |device: &str| {
            let rest =
                format!("when = {{ device = [\"{device}\"] }}\nresult = {{ tol = \"ulp(4)\" }}");
            parse(&entry("a::b", &rest)).unwrap()
        };
        for device in GPUS {
            let ledger = on(device);
            assert_eq!(ledger.find("a::b", "gpu").is_some(), device == GPU);
            assert!(ledger.find("a::b", "cpu").is_none());
            // Wherever it is checked, it is about a trial that there is.
            assert!(ledger.problems([("a::b", "gpu")].into_iter()).is_empty());
            assert_eq!(ledger.problems([("a::b", "cpu")].into_iter()).len(), 1);
        }
        assert!(on("gpu").find("a::b", "gpu").is_some());
        let rest = "when = { device = [\"tpu\"] }\nresult = { tol = \"ulp(4)\" }";
        let unknown = parse(&entry("a::b", rest)).unwrap_err();
        assert!(unknown[0].to_string().contains("cpu cuda gpu metal mlx"));
    }

    #[test]
    fn what_mlx_s_kernels_do_is_not_claimed_of_the_engine_s() {
        let on = |device: &str| {
            let rest =
                format!("when = {{ device = [\"{device}\"] }}\nresult = {{ tol = \"ulp(4)\" }}");
            parse(&entry("a::b", &rest)).unwrap()
        };
        let (mlx, cpu) = (on(MLX), on("cpu"));
        assert!(mlx.entries[0].is_about("a::b", MLX) && !mlx.entries[0].is_about("a::b", "cpu"));
        assert!(cpu.entries[0].is_about("a::b", MLX) && cpu.entries[0].is_about("a::b", "cpu"));
        assert!(mlx.problems([("a::b", "cpu")].into_iter()).is_empty());
    }

    #[test]
    fn the_same_trial_may_differ_on_each_gpu() {
        let on = |device: &str| {
            let rest =
                format!("when = {{ device = [\"{device}\"] }}\nresult = {{ tol = \"ulp(4)\" }}");
            entry("a::b", &rest)
        };
        let trials = [("a::b", "gpu")].into_iter();
        let both = [on("cuda"), on("metal")].concat();
        assert!(parse(&both).unwrap().problems(trials.clone()).is_empty());
        let twice = [on("cuda"), on("gpu")].concat();
        assert_eq!(parse(&twice).unwrap().problems(trials).len(), 1);
    }

    #[test]
    fn a_record_says_how_it_differs() {
        let text = entry(
            "a",
            "result = { tol = \"ulp(1)\", differs = [\"zero\", \"sign\"] }",
        );
        let record = &parse(&text).unwrap().entries[0].record;
        assert_eq!(
            record.to_string(),
            "within ulp(1), differs in zero and sign"
        );
    }

    #[test]
    fn what_matches_nothing_or_twice_is_a_problem() {
        let result = "result = { err = \"dtype\" }";
        let text = [
            entry("a::b", result),
            entry("a::*", result),
            entry("a::x", result),
        ]
        .concat();
        let problems = parse(&text)
            .unwrap()
            .problems([("a::b", "cpu")].into_iter());
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                format!("{FILE}:6: a::b is recorded twice"),
                format!("{FILE}:10: a::x matches no trial"),
            ]
        );
    }

    #[test]
    fn what_is_open_to_every_backend_is_so_to_each() {
        let text = "[[open]]\nwhere = \"peer::a::*\"\nwhy = \"w\"";
        let ledger = parse(text).unwrap().about("My.Backend");
        let record = |trial| ledger.find(trial, "cpu").map(|entry| &entry.record);
        assert_eq!(record("My.Backend::a::b"), Some(&Record::Open));
        assert_eq!(record("nx::a::b"), None);
        assert!(parse("[[open]]\nwhere = \"a\"").is_err());
    }

    #[test]
    fn an_entry_says_why_and_one_result() {
        let text = "[[divergence]]\nwhere = \"a\"\nresult = { tol = \"bits\" }";
        assert!(parse(text).unwrap_err()[0].to_string().contains("why"));
        let both = entry("a", "result = { tol = \"bits\", err = \"dtype\" }");
        assert!(parse(&both).unwrap_err()[0].to_string().contains("one of"));
        let kind = entry("a", "result = { differs = [\"sign\"], err = \"dtype\" }");
        assert!(parse(&kind).unwrap_err()[0].to_string().contains("one of"));
        let out = entry("a", "result = { out = \"f32[1] x\" }");
        assert!(
            parse(&out).unwrap_err()[0]
                .to_string()
                .contains("not a value")
        );
        assert!(parse(&entry("a", "result = { tolerance = \"bits\" }")).is_err());
    }
}
