//! What `cargo xtask exhaust` measured, kept in `conformance/exhausted.json` and shown in ACCURACY.md.

mod sources;

use std::collections::BTreeMap;
use std::path::Path;

use emily_spec::{ROWS, Row};
use serde::{Deserialize, Serialize};

use super::grid::in_order;
use super::markdown::row;
use super::matrix::grouped;
use crate::exhaust::{self, Exhausted};

pub use sources::digest;

/// Where the measurements are kept, from the repository's root.
pub const EXHAUSTED: &str = "conformance/exhausted.json";

/// The measurements, by op.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exhaustions {
    ops: BTreeMap<String, Line>,
}

/// One line of `exhausted.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    op: String,
    values: u64,
    outside: u64,
    worst: f64,
    unit: String,
    allowed: String,
    date: String,
    /// Of the code that was measured; none where that is another than today's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

impl Line {
    fn check(&self, root: &Path) -> Result<(), String> {
        let remedy = format!("run `cargo xtask exhaust --op {}`", self.op);
        let is_judged_so = |row: &&Row| {
            let judged = exhaust::judged(row);
            judged.is_ok_and(|(_, tolerance)| tolerance.to_string() == self.allowed)
        };
        let Some(row) = Row::named(&self.op).filter(is_judged_so) else {
            return Err(format!("{}: {remedy}", self.op));
        };
        let Some(measured) = &self.digest else {
            return Ok(());
        };
        match digest(root, row) {
            Ok(now) if now == *measured => Ok(()),
            Ok(now) => Err(format!(
                "{}: its code is {now}, not {measured}: {remedy}, or leave the digest out, which calls it stale",
                self.op
            )),
            Err(error) => Err(format!("{}: {error:#}", self.op)),
        }
    }

    /// When it was measured, and whether that is of another code than today's.
    fn day(&self) -> String {
        let stale = if self.digest.is_none() { ", stale" } else { "" };
        format!("{}{stale}", self.date)
    }
}

impl Exhaustions {
    /// Reads `exhausted.json`.
    ///
    /// # Errors
    /// When it is not what [`Exhaustions::json`] writes.
    pub fn parse(json: &str) -> serde_json::Result<Exhaustions> {
        let lines: Vec<Line> = serde_json::from_str(json)?;
        let ops = lines.into_iter().map(|line| (line.op.clone(), line));
        Ok(Exhaustions { ops: ops.collect() })
    }

    /// The text of `exhausted.json`, a line per op.
    ///
    /// # Errors
    /// None: numbers and text are JSON.
    pub fn json(&self) -> serde_json::Result<String> {
        let lines: Result<Vec<String>, _> = self.ops.values().map(serde_json::to_string).collect();
        Ok(format!("[\n{}\n]\n", lines?.join(",\n")))
    }

    /// Takes over what was found of an op, whose code has this [`digest`].
    pub fn insert(&mut self, row: &Row, found: &Exhausted, date: &str, digest: String) {
        let line = Line {
            op: row.name.to_owned(),
            values: found.values,
            outside: found.outside,
            worst: found.worst,
            unit: found.allowed.unit.to_owned(),
            allowed: found.allowed.text.clone(),
            date: date.to_owned(),
            digest: Some(digest),
        };
        self.ops.insert(line.op.clone(), line);
    }

    /// Checks that what was measured is judged by today's tolerances, and is of the code at `root` where it says so.
    ///
    /// # Errors
    /// One line per op of which it is not, and the remedy.
    pub fn check(&self, root: &Path) -> Result<(), String> {
        let wrong: Vec<String> = self
            .ops
            .values()
            .filter_map(|line| line.check(root).err())
            .collect();
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(wrong.join("\n"))
        }
    }

    /// The section of ACCURACY.md; nothing where nothing was measured.
    pub fn markdown(&self) -> String {
        if self.ops.is_empty() {
            return String::new();
        }
        let mut text = String::from(
            "\n## native on cpu, every f32\n\n\
             All 2³² values of the operand, by `cargo xtask exhaust --op OP`; **worst** is what that run\n\
             measured, not rounded. A date is stale where the code that computes the op has changed since.\n\n\
             | op | values | outside | worst | unit | allowed | date |\n\
             |---|--:|--:|--:|---|---|---|\n",
        );
        let names = self.ops.keys().map(String::as_str);
        for op in in_order(names, ROWS.iter().map(|row| row.name)) {
            let line = &self.ops[op];
            text += &row([
                format!("`{op}`"),
                grouped(line.values),
                grouped(line.outside),
                line.worst.to_string(),
                line.unit.clone(),
                line.allowed.clone(),
                line.day(),
            ]);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Allowed;
    use crate::fixtures::repository;
    use emily_spec::Tolerance;

    fn measured(tolerance: Tolerance) -> Exhaustions {
        let found = Exhausted {
            values: 1 << 32,
            outside: 0,
            worst: 0.0,
            allowed: Allowed::of(tolerance),
            misses: Vec::new(),
        };
        let mut all = Exhaustions::default();
        let row = Row::named("floor").unwrap();
        let digest = digest(&repository(), row).unwrap();
        all.insert(row, &found, "2026-11-27", digest);
        all
    }

    #[test]
    fn what_is_written_reads_back_and_is_shown() {
        let all = measured(Tolerance::Exact);
        assert_eq!(Exhaustions::parse(&all.json().unwrap()).unwrap(), all);
        assert!(
            all.markdown()
                .ends_with("| `floor` | 4,294,967,296 | 0 | 0 | ulp | exact | 2026-11-27 |\n"),
            "{}",
            all.markdown()
        );
    }

    #[test]
    fn another_tolerance_asks_for_another_run() {
        assert_eq!(measured(Tolerance::Exact).check(&repository()), Ok(()));
        let error = measured(Tolerance::Ulp(7))
            .check(&repository())
            .unwrap_err();
        assert!(error.contains("cargo xtask exhaust --op floor"), "{error}");
    }

    #[test]
    fn other_code_asks_for_another_run_or_for_saying_so() {
        let mut all = measured(Tolerance::Exact);
        let line = all.ops.get_mut("floor").unwrap();
        line.digest = Some("0".repeat(16));
        let error = all.check(&repository()).unwrap_err();
        assert!(error.contains("cargo xtask exhaust --op floor"), "{error}");
        let line = all.ops.get_mut("floor").unwrap();
        line.digest = None;
        assert_eq!(all.check(&repository()), Ok(()));
        assert!(all.markdown().ends_with("| 2026-11-27, stale |\n"));
        assert_eq!(Exhaustions::parse(&all.json().unwrap()).unwrap(), all);
    }

    #[test]
    fn what_is_kept_is_of_today_s_code() {
        let text = std::fs::read_to_string(repository().join(EXHAUSTED)).unwrap();
        let kept = Exhaustions::parse(&text).unwrap();
        assert_eq!(kept.check(&repository()), Ok(()));
    }
}
