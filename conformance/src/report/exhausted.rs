//! What `cargo xtask exhaust` measured, kept in `conformance/exhausted.json` and shown in ACCURACY.md.

use std::collections::BTreeMap;

use emily_spec::{ROWS, Row};
use serde::{Deserialize, Serialize};

use super::grid::in_order;
use super::markdown::row;
use super::matrix::grouped;
use crate::exhaust::{self, Exhausted};

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

    /// Takes over what was found of an op.
    pub fn insert(&mut self, row: &Row, found: &Exhausted, date: &str) {
        let line = Line {
            op: row.name.to_owned(),
            values: found.values,
            outside: found.outside,
            worst: found.worst,
            unit: found.allowed.unit.to_owned(),
            allowed: found.allowed.text.clone(),
            date: date.to_owned(),
        };
        self.ops.insert(line.op.clone(), line);
    }

    /// Checks that what was measured is judged by today's tolerances.
    ///
    /// # Errors
    /// One line per op of which it is not, and the remedy.
    pub fn check(&self) -> Result<(), String> {
        let current = |line: &&Line| {
            let row = Row::named(&line.op);
            let judged = row.and_then(|row| exhaust::judged(row).ok());
            judged.is_some_and(|(_, tolerance)| tolerance.to_string() == line.allowed)
        };
        let wrong: Vec<String> = self
            .ops
            .values()
            .filter(|line| !current(line))
            .map(|line| format!("{0}: run `cargo xtask exhaust --op {0}`", line.op))
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
             measured, not rounded.\n\n\
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
                line.date.clone(),
            ]);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Allowed;
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
        all.insert(Row::named("floor").unwrap(), &found, "2026-11-27");
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
        assert_eq!(measured(Tolerance::Exact).check(), Ok(()));
        let error = measured(Tolerance::Ulp(7)).check().unwrap_err();
        assert!(error.contains("cargo xtask exhaust --op floor"), "{error}");
    }
}
