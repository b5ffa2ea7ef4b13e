//! ACCURACY.md: the worst error measured per op × dtype × device, beside what is allowed.
//!
//! A measured error depends on the machine: another maths library or BLAS, or another number of
//! threads, rounds elsewhere. Two rules keep the page true on all of them:
//! - it states a class instead of a number: the next power of two, from 0.5 up, cut off at what is
//!   allowed;
//! - [`Accuracy::check`] compares rows and tolerances exactly, since they come from the cases
//!   alone, and calls a measured class wrong only when it is more than one class above the stated
//!   one, and above one unit. A lower one is never wrong: the page promises no less than is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use emily_spec::{DType, ROWS};

use super::grid::in_order;
use super::markdown::{GENERATED, row};
use crate::outcome::{Outcome, Report};

/// The page's text for a whole run.
///
/// Layers and devices that `page`, the text as it was, has and this run does not are kept as they
/// are: one machine seldom has all devices.
pub fn accuracy_markdown(report: &Report, page: Option<&str>) -> String {
    let mut accuracy = Accuracy::measured(report);
    if let Some(page) = page {
        accuracy.keep_absent(Accuracy::parse(page));
    }
    accuracy.to_string()
}

/// A layer on a device.
type Lane = (String, String);

/// An op, a dtype, and the unit of its errors.
type Key = (String, String, String);

/// What the page says, by lane and row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accuracy {
    lanes: BTreeMap<Lane, BTreeMap<Key, Entry>>,
}

/// What the page says of one op at one dtype.
#[derive(Clone, Debug, Default, PartialEq)]
struct Entry {
    /// The class of the worst error among trials that passed; `None` where none did.
    worst: Option<f64>,
    /// The loosest tolerance among them, as text.
    allowed: String,
    /// The trials that differ as the ledger records; their errors are not counted.
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

    /// What a page says. Lines that are not of its form say nothing, so [`Accuracy::check`]
    /// reports what they should have said as missing.
    pub fn parse(page: &str) -> Accuracy {
        let mut accuracy = Accuracy::default();
        let mut lane = None;
        for line in page.lines() {
            if let Some(title) = line.strip_prefix("## ") {
                lane = title
                    .split_once(" on ")
                    .map(|(layer, device)| (layer.to_owned(), device.to_owned()));
                if let Some(lane) = &lane {
                    accuracy.lanes.entry(lane.clone()).or_default();
                }
                continue;
            }
            let Some(rows) = lane.as_ref().and_then(|lane| accuracy.lanes.get_mut(lane)) else {
                continue;
            };
            for (key, entry) in parse_row(line).into_iter().flatten() {
                rows.insert(key, entry);
            }
        }
        accuracy
    }

    /// Takes over the lanes that only `other` has.
    pub fn keep_absent(&mut self, other: Accuracy) {
        for (lane, rows) in other.lanes {
            self.lanes.entry(lane).or_insert(rows);
        }
    }

    /// Checks that this page is current, as the module's docs define it, for every lane of a whole
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
        wrong.push("ACCURACY.md is not current; run `cargo xtask codegen`".to_owned());
        Err(wrong.join("\n"))
    }
}

/// What is wrong with a row, given what the page states and what was measured.
fn compare(stated: Option<&Entry>, measured: Option<&Entry>) -> Option<String> {
    let (stated, measured) = match (stated, measured) {
        (Some(stated), Some(measured)) => (stated, measured),
        (None, Some(_)) => return Some("not on the page".to_owned()),
        (Some(_), None) => return Some("on the page, but no trial measures it".to_owned()),
        (None, None) => return None,
    };
    if stated.allowed != measured.allowed {
        let (old, new) = (&stated.allowed, &measured.allowed);
        return Some(format!("allowed is {new}, the page says {old}"));
    }
    if stated.recorded != measured.recorded {
        let (old, new) = (stated.recorded, measured.recorded);
        return Some(format!("{new} recorded divergences, the page says {old}"));
    }
    match (stated.worst, measured.worst) {
        (Some(old), Some(new)) if new > (2.0 * old).max(1.0) => {
            Some(format!("the worst is {new}, the page says {old}"))
        }
        (None, Some(new)) => Some(format!("the worst is {new}, the page has none")),
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

const INTRO: &str = "
# Accuracy

The worst error that the cases measured, per op and dtype, beside what is allowed. The run turns red
where an error exceeds what is allowed; how each tolerance is derived stands in the op's row in
`conformance/spec/src/row.rs`.

- **worst** is rounded up to a power of two, from 0.5 up, and never above what is allowed. Machines
  differ by their maths library, BLAS and threads: expect the next power on yours.
- **unit**: `ulp` counts representable values of the result's dtype between the answer and the
  reference, for integers their difference. `accum` is eps of the dtype times the sum of the absolute
  values that were added up. `residual` is eps times dimension times norm, for decompositions. `eps`
  is f32's, times the largest slope, for gradients.
- **allowed**: `exact` is the same value, `bits` the same bytes, `ulp(n)` and `accum(n)` up to n units.
- **recorded** counts the trials that differ on record, in DIVERGENCES.md; their errors are not
  among the worst here.
";

impl fmt::Display for Accuracy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{GENERATED}{INTRO}")?;
        let mut first = true;
        for ((layer, device), rows) in &self.lanes {
            if !std::mem::take(&mut first) {
                writeln!(f)?;
            }
            writeln!(f, "## {layer} on {device}\n")?;
            f.write_str("| op | dtypes | worst | unit | allowed | recorded |\n")?;
            f.write_str("|---|---|--:|---|---|--:|\n")?;
            write_rows(f, rows)?;
        }
        Ok(())
    }
}

/// The rows of one lane, with dtypes that say the same in one row.
fn write_rows(f: &mut fmt::Formatter<'_>, rows: &BTreeMap<Key, Entry>) -> fmt::Result {
    let ops = in_order(
        rows.keys().map(|(op, _, _)| op.as_str()),
        ROWS.iter().map(|row| row.name),
    );
    let dtypes = in_order(
        rows.keys().map(|(_, dtype, _)| dtype.as_str()),
        DType::ALL.into_iter().map(DType::name),
    );
    for op in ops {
        // What is said after the dtypes, and the dtypes it is said of.
        let mut said: Vec<([String; 4], Vec<&str>)> = Vec::new();
        for dtype in &dtypes {
            let own = rows
                .iter()
                .filter(|(key, _)| key.0 == op && key.1 == *dtype);
            for ((_, _, unit), entry) in own {
                let cells = entry.cells(unit);
                match said.iter_mut().find(|(other, _)| *other == cells) {
                    Some((_, dtypes)) => dtypes.push(dtype),
                    None => said.push((cells, vec![dtype])),
                }
            }
        }
        for (cells, dtypes) in said {
            let head = [format!("`{op}`"), dtypes.join(" ")];
            f.write_str(&row(head.into_iter().chain(cells)))?;
        }
    }
    Ok(())
}

impl Entry {
    /// The table cells after the dtypes.
    fn cells(&self, unit: &str) -> [String; 4] {
        let or_dash = |text: String| {
            if text.is_empty() {
                "–".to_owned()
            } else {
                text
            }
        };
        [
            or_dash(
                self.worst
                    .map(|worst| worst.to_string())
                    .unwrap_or_default(),
            ),
            unit.to_owned(),
            or_dash(self.allowed.clone()),
            self.recorded.to_string(),
        ]
    }
}

/// What one line of a table says, per dtype; `None` for any other line.
fn parse_row(line: &str) -> Option<Vec<(Key, Entry)>> {
    let cells: Vec<&str> = line
        .strip_prefix('|')?
        .strip_suffix('|')?
        .split('|')
        .map(str::trim)
        .collect();
    let [op, dtypes, worst, unit, allowed, recorded] = cells.try_into().ok()?;
    let op = op.strip_prefix('`')?.strip_suffix('`')?;
    let entry = Entry {
        worst: match worst {
            "–" => None,
            number => Some(number.parse().ok()?),
        },
        allowed: match allowed {
            "–" => String::new(),
            text => text.to_owned(),
        },
        recorded: recorded.parse().ok()?,
    };
    Some(
        dtypes
            .split_whitespace()
            .map(|dtype| {
                let key = (op.to_owned(), dtype.to_owned(), unit.to_owned());
                (key, entry.clone())
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    /// Native trials of exp whose worst errors, in units of 4 allowed, are these.
    fn exp(errors: &[(&str, f64)]) -> Report {
        sample::of(errors.iter().map(|(dtype, worst)| {
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

    #[test]
    fn dtypes_that_say_the_same_share_a_row() {
        let page = accuracy_markdown(&exp(&[("f32", 0.9), ("f16", 1.0), ("bf16", 0.2)]), None);
        assert!(page.starts_with("<!--"), "{page}");
        assert!(page.contains("cargo xtask codegen"), "{page}");
        assert!(
            page.ends_with(
                "## native on cpu\n\n\
                 | op | dtypes | worst | unit | allowed | recorded |\n\
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
        let page = accuracy_markdown(&report, None);
        report.trials.reverse();
        assert_eq!(page, accuracy_markdown(&report, None));
    }

    #[test]
    fn a_page_reads_back() {
        let report = sample::report();
        let page = accuracy_markdown(&report, None);
        let read = Accuracy::parse(&page);
        assert_eq!(read, Accuracy::measured(&report));
        assert_eq!(read.check(&report), Ok(()));
        assert_eq!(accuracy_markdown(&report, Some(&page)), page);
    }

    #[test]
    fn a_lane_that_did_not_run_is_kept() {
        let mut gpu = exp(&[("f32", 2.0)]);
        gpu.trials[0].device = "gpu".to_owned();
        let page = accuracy_markdown(&gpu, None);
        let cpu = exp(&[("f32", 1.0)]);
        let both = accuracy_markdown(&cpu, Some(&page));
        assert!(both.contains("## native on cpu"), "{both}");
        assert!(both.contains("## native on gpu"), "{both}");
        assert_eq!(Accuracy::parse(&both).check(&cpu), Ok(()));
        assert_eq!(Accuracy::parse(&both).check(&gpu), Ok(()));
    }

    #[test]
    fn another_machine_may_be_one_class_off() {
        let page = Accuracy::measured(&exp(&[("f32", 1.0)]));
        for fine in [0.0, 0.4, 1.0, 2.0] {
            assert_eq!(page.check(&exp(&[("f32", fine)])), Ok(()), "{fine}");
        }
        let error = page.check(&exp(&[("f32", 2.5)])).unwrap_err();
        assert!(
            error.contains("exp f32: the worst is 4, the page says 1"),
            "{error}"
        );
        assert!(error.contains("cargo xtask codegen"), "{error}");
    }

    #[test]
    fn rows_and_tolerances_must_be_the_same() {
        let page = Accuracy::measured(&exp(&[("f32", 1.0), ("f16", 1.0)]));
        let error = page
            .check(&exp(&[("f32", 1.0), ("bf16", 1.0)]))
            .unwrap_err();
        assert!(error.contains("exp bf16: not on the page"), "{error}");
        assert!(error.contains("exp f16: on the page, but"), "{error}");

        let mut tighter = exp(&[("f32", 1.0), ("f16", 1.0)]);
        for trial in &mut tighter.trials {
            trial.allowed = Some("ulp(2)".to_owned());
            trial.allowed_worst = Some(2.0);
        }
        let error = page.check(&tighter).unwrap_err();
        assert!(
            error.contains("allowed is ulp(2), the page says ulp(4)"),
            "{error}"
        );
    }

    #[test]
    fn recorded_divergences_are_counted_apart() {
        let mut far = sample::trial("native", "exp", "f16", Outcome::Diverges);
        far.worst = Some(1e6);
        let near = sample::trial("native", "exp", "f32", Outcome::Diverges);
        let good = sample::trial("native", "exp", "f16", Outcome::Passed);
        let page = accuracy_markdown(&sample::of([far, near, good]), None);
        assert!(
            page.contains("| `exp` | f16 | 1 | ulp | ulp(4) | 1 |"),
            "{page}"
        );
        assert!(page.contains("| `exp` | f32 | – | ulp | – | 1 |"), "{page}");
    }
}
