//! The worst error measured per op × dtype × device, beside what is allowed.
//!
//! `conformance/accuracy.json` holds it, and ACCURACY.md shows that. A measured error depends on the
//! machine: another maths library or BLAS, or another number of threads, rounds elsewhere. Two rules
//! keep the file true on all of them:
//! - it states a class instead of a number: the next power of two, from 0.5 up, cut off at what is
//!   allowed;
//! - [`Accuracy::check`] compares rows and tolerances exactly, since they come from the cases
//!   alone, and calls a measured class wrong only when it is more than one class above the stated
//!   one, and above one unit. A lower one is never wrong: it promises no less than is kept.

mod page;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::outcome::{Outcome, Report};

/// A layer on a device.
type Lane = (String, String);

/// An op, the dtype that trials are named by, and the unit of the errors.
type Key = (String, String, String);

/// What was measured, by lane and row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accuracy {
    lanes: BTreeMap<Lane, BTreeMap<Key, Entry>>,
}

/// What is said of one op at one dtype.
#[derive(Clone, Debug, Default, PartialEq)]
struct Entry {
    /// The class of the worst error among trials that passed; `None` where none did.
    worst: Option<f64>,
    /// The loosest tolerance among them, as text.
    allowed: String,
    /// The trials that differ as the ledger records; their errors are not counted.
    recorded: usize,
}

/// One line of `accuracy.json`.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Line {
    layer: String,
    device: String,
    op: String,
    dtype: String,
    unit: String,
    worst: Option<f64>,
    allowed: String,
    recorded: usize,
}

/// What the trials of one row measured, before it becomes an [`Entry`].
#[derive(Default)]
struct Sizes<'a> {
    /// The worst error, the largest bound and its text, among trials that passed.
    worst: Option<(f64, f64, &'a str)>,
    recorded: usize,
}

impl<'a> Sizes<'a> {
    fn add(&mut self, worst: f64, bound: f64, allowed: Option<&'a str>) {
        let new = (worst, bound, allowed.unwrap_or_default());
        let old = self.worst.unwrap_or(new);
        // Texts with the same bound (`bits`, `exact`) are told apart by name, not by order.
        let loosest = if (new.1, new.2) > (old.1, old.2) {
            new
        } else {
            old
        };
        self.worst = Some((worst.max(old.0), loosest.1, loosest.2));
    }

    fn entry(&self) -> Entry {
        Entry {
            worst: self.worst.map(|(worst, bound, _)| class(worst, bound)),
            allowed: self
                .worst
                .map_or_else(String::new, |(_, _, text)| text.to_owned()),
            recorded: self.recorded,
        }
    }
}

impl Accuracy {
    /// What a run measured, from the trials that compared values and were not red.
    pub fn measured(report: &Report) -> Accuracy {
        let mut lanes: BTreeMap<Lane, BTreeMap<Key, Sizes>> = BTreeMap::new();
        for trial in &report.trials {
            let size = match (trial.outcome, trial.worst, trial.allowed_worst) {
                (Outcome::Passed, Some(worst), Some(bound)) => Some((worst, bound)),
                (Outcome::Diverges, ..) => None,
                _ => continue,
            };
            let lane = (trial.layer.clone(), trial.device.clone());
            let key = (trial.op.clone(), trial.dtype.clone(), trial.unit.clone());
            let rows = lanes.entry(lane).or_default();
            let sizes = rows.entry(key).or_default();
            match size {
                Some((worst, bound)) => sizes.add(worst, bound, trial.allowed.as_deref()),
                None => sizes.recorded += 1,
            }
        }
        let entries = |rows: BTreeMap<Key, Sizes>| {
            let rows = rows.into_iter();
            rows.map(|(key, sizes)| (key, sizes.entry())).collect()
        };
        let lanes = lanes.into_iter();
        Accuracy {
            lanes: lanes.map(|(lane, rows)| (lane, entries(rows))).collect(),
        }
    }

    /// Reads `accuracy.json`.
    ///
    /// # Errors
    /// When it is not what [`Accuracy::json`] writes.
    pub fn parse(json: &str) -> serde_json::Result<Accuracy> {
        let mut accuracy = Accuracy::default();
        for line in serde_json::from_str::<Vec<Line>>(json)? {
            let rows = accuracy.lanes.entry((line.layer, line.device)).or_default();
            let entry = Entry {
                worst: line.worst,
                allowed: line.allowed,
                recorded: line.recorded,
            };
            rows.insert((line.op, line.dtype, line.unit), entry);
        }
        Ok(accuracy)
    }

    /// The text of `accuracy.json`: one line per row, so that a change is a line of a diff.
    ///
    /// # Errors
    /// None: numbers and text are JSON.
    pub fn json(&self) -> serde_json::Result<String> {
        let mut lines = Vec::new();
        for ((layer, device), rows) in &self.lanes {
            for ((op, dtype, unit), entry) in rows {
                lines.push(serde_json::to_string(&Line {
                    layer: layer.clone(),
                    device: device.clone(),
                    op: op.clone(),
                    dtype: dtype.clone(),
                    unit: unit.clone(),
                    worst: entry.worst,
                    allowed: entry.allowed.clone(),
                    recorded: entry.recorded,
                })?);
            }
        }
        Ok(format!("[\n{}\n]\n", lines.join(",\n")))
    }

    /// Takes over the lanes that only `other` has: one machine seldom has all devices.
    pub fn keep_absent(&mut self, other: Accuracy) {
        for (lane, rows) in other.lanes {
            self.lanes.entry(lane).or_insert(rows);
        }
    }

    /// Checks that this is current, as the module's docs define it, for every lane of a whole
    /// run. Lanes that the run does not have are not looked at.
    ///
    /// # Errors
    /// One line per row that is missing, superfluous or wrong, and the remedy.
    pub fn check(&self, report: &Report) -> Result<(), String> {
        let measured = Accuracy::measured(report);
        let mut wrong = Vec::new();
        let none = BTreeMap::new();
        for (lane, rows) in &measured.lanes {
            let stated = self.lanes.get(lane).unwrap_or(&none);
            let keys: BTreeSet<&Key> = rows.keys().chain(stated.keys()).collect();
            for key in keys {
                if let Some(problem) = compare(stated.get(key), rows.get(key)) {
                    let ((layer, device), (op, dtype, _)) = (lane, key);
                    wrong.push(format!("{layer} on {device}: {op} {dtype}: {problem}"));
                }
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        wrong
            .push("conformance/accuracy.json is not current; run `cargo xtask codegen`".to_owned());
        Err(wrong.join("\n"))
    }
}

/// What is wrong with a row, given what is stated and what was measured.
fn compare(stated: Option<&Entry>, measured: Option<&Entry>) -> Option<String> {
    let (stated, measured) = match (stated, measured) {
        (Some(stated), Some(measured)) => (stated, measured),
        (None, Some(_)) => return Some("not stated".to_owned()),
        (Some(_), None) => return Some("stated, but no trial measures it".to_owned()),
        (None, None) => return None,
    };
    if stated.allowed != measured.allowed {
        let (old, new) = (&stated.allowed, &measured.allowed);
        return Some(format!("allowed is {new}, stated is {old}"));
    }
    if stated.recorded != measured.recorded {
        let (old, new) = (stated.recorded, measured.recorded);
        return Some(format!("{new} recorded divergences, stated is {old}"));
    }
    match (stated.worst, measured.worst) {
        (Some(old), Some(new)) if new > (2.0 * old).max(1.0) => {
            Some(format!("the worst is {new}, stated is {old}"))
        }
        (None, Some(new)) => Some(format!("the worst is {new}, stated is none")),
        (Some(_), Some(_)) | (Some(_), None) | (None, None) => None,
    }
}

/// The smallest power of two from 0.5 up that is not below the error, cut off at the bound.
fn class(worst: f64, bound: f64) -> f64 {
    if worst == 0.0 {
        return 0.0;
    }
    let mut class = 0.5;
    while class < worst {
        class *= 2.0;
    }
    class.min(bound.max(worst))
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    /// Native trials of exp whose worst errors, in units of 4 allowed, are these.
    fn exp(errors: &[(&str, f64)]) -> Report {
        sample::report_of(errors.iter().map(|(dtype, worst)| {
            let mut trial = sample::trial("native", "exp", dtype, Outcome::Passed);
            trial.worst = Some(*worst);
            trial
        }))
    }

    #[test]
    fn classes_are_powers_of_two_within_the_bound() {
        for (worst, bound, want) in [
            (0.0, 4.0, 0.0),
            (0.01, 4.0, 0.5),
            (0.5, 4.0, 0.5),
            (0.51, 4.0, 1.0),
            (3.0, 4.0, 4.0),
            (3.0, 3.0, 3.0),
            (2.2, 2.5, 2.5),
        ] {
            assert_eq!(class(worst, bound), want, "{worst} of {bound}");
        }
    }

    fn page(report: &Report) -> String {
        Accuracy::measured(report).markdown()
    }

    #[test]
    fn dtypes_that_say_the_same_share_a_row() {
        let page = page(&exp(&[("f32", 0.9), ("f16", 1.0), ("bf16", 0.2)]));
        assert!(page.starts_with("<!--"), "{page}");
        assert!(page.contains("cargo xtask codegen"), "{page}");
        assert!(
            page.ends_with(
                "## native\n\n\
                 | op | operand | worst on cpu | unit | allowed | recorded on cpu |\n\
                 |---|---|--:|---|---|--:|\n\
                 | `exp` | f16 f32 | 1 | ulp | ulp(4) | 0 |\n\
                 | `exp` | bf16 | 0.5 | ulp | ulp(4) | 0 |\n"
            ),
            "{page}"
        );
    }

    #[test]
    fn the_page_does_not_depend_on_the_order_of_trials() {
        let mut report = sample::report();
        let before = page(&report);
        report.trials.reverse();
        assert_eq!(page(&report), before);
    }

    #[test]
    fn what_is_written_reads_back() {
        let report = sample::report();
        let measured = Accuracy::measured(&report);
        let json = measured.json().unwrap();
        let read = Accuracy::parse(&json).unwrap();
        assert_eq!(read, measured);
        assert_eq!(read.check(&report), Ok(()));
        let lines = json.lines().filter(|line| line.starts_with('{')).count();
        let rows: usize = measured.lanes.values().map(BTreeMap::len).sum();
        assert_eq!(lines, rows, "{json}");
        assert!(Accuracy::parse(r#"[{"layer":"native"}]"#).is_err());
    }

    #[test]
    fn a_lane_that_did_not_run_is_kept() {
        let mut gpu = exp(&[("f32", 2.0)]);
        gpu.trials[0].device = "gpu".to_owned();
        let cpu = exp(&[("f32", 1.0)]);
        let mut both = Accuracy::measured(&cpu);
        both.keep_absent(Accuracy::measured(&gpu));
        let page = both.markdown();
        assert!(page.contains("| worst on cpu | worst on gpu |"), "{page}");
        assert!(
            page.contains("| `exp` | f32 | 1 | 2 | ulp | ulp(4) | 0 | 0 |"),
            "{page}"
        );
        assert_eq!(both.check(&cpu), Ok(()));
        assert_eq!(both.check(&gpu), Ok(()));
    }

    #[test]
    fn another_machine_may_be_one_class_off() {
        let stated = Accuracy::measured(&exp(&[("f32", 1.0)]));
        for fine in [0.0, 0.4, 1.0, 2.0] {
            assert_eq!(stated.check(&exp(&[("f32", fine)])), Ok(()), "{fine}");
        }
        let error = stated.check(&exp(&[("f32", 2.5)])).unwrap_err();
        assert!(
            error.contains("exp f32: the worst is 4, stated is 1"),
            "{error}"
        );
        assert!(error.contains("cargo xtask codegen"), "{error}");
    }

    #[test]
    fn rows_and_tolerances_must_be_the_same() {
        let stated = Accuracy::measured(&exp(&[("f32", 1.0), ("f16", 1.0)]));
        let error = stated
            .check(&exp(&[("f32", 1.0), ("bf16", 1.0)]))
            .unwrap_err();
        assert!(error.contains("exp bf16: not stated"), "{error}");
        assert!(error.contains("exp f16: stated, but"), "{error}");

        let mut tighter = exp(&[("f32", 1.0), ("f16", 1.0)]);
        for trial in &mut tighter.trials {
            trial.allowed = Some("ulp(2)".to_owned());
            trial.allowed_worst = Some(2.0);
        }
        let error = stated.check(&tighter).unwrap_err();
        assert!(
            error.contains("allowed is ulp(2), stated is ulp(4)"),
            "{error}"
        );
    }

    #[test]
    fn recorded_divergences_are_counted_apart() {
        let mut far = sample::trial("native", "exp", "f16", Outcome::Diverges);
        far.worst = Some(1e6);
        let near = sample::trial("native", "exp", "f32", Outcome::Diverges);
        let good = sample::trial("native", "exp", "f16", Outcome::Passed);
        let page = page(&sample::report_of([far, near, good]));
        assert!(
            page.contains("| `exp` | f16 | 1 | ulp | ulp(4) | 1 |"),
            "{page}"
        );
        assert!(page.contains("| `exp` | f32 | – | ulp | – | 1 |"), "{page}");
    }
}
