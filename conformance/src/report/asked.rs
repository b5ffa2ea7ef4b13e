//! How much each layer was asked of each op: the calls, those left out, and those judged by type alone.
//!
//! `conformance/asked.json` holds it, and OPS.md shows it. The counts follow from the cases and the
//! layers' rules, so they are the same on every machine and [`Asked::check`] compares them exactly.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::outcome::{Calls, Report, TrialResult};

/// The calls by layer and op, on the CPU: every layer is there on every machine but the GPU's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    layers: BTreeMap<String, BTreeMap<String, Calls>>,
}

/// One line of `asked.json`.
#[derive(Serialize, Deserialize)]
struct Line {
    layer: String,
    op: String,
    #[serde(flatten)]
    calls: Calls,
}

impl Asked {
    /// What a run asked.
    pub fn counted(report: &Report) -> Asked {
        let mut asked = Asked::default();
        let on_cpu = |trial: &&TrialResult| trial.device == "cpu";
        for trial in report.trials.iter().filter(on_cpu) {
            let ops = asked.layers.entry(trial.layer.clone()).or_default();
            *ops.entry(trial.op.clone()).or_default() += trial.calls;
        }
        for unasked in report
            .unasked
            .iter()
            .filter(|unasked| unasked.device == "cpu")
        {
            let ops = asked.layers.entry(unasked.layer.clone()).or_default();
            ops.entry(unasked.op.clone()).or_default().left_out += unasked.calls;
        }
        asked
    }

    /// What a layer was asked of an op.
    pub fn calls(&self, layer: &str, op: &str) -> Calls {
        let ops = self.layers.get(layer);
        ops.and_then(|ops| ops.get(op)).copied().unwrap_or_default()
    }

    /// Reads `asked.json`.
    ///
    /// # Errors
    /// When it is not what [`Asked::json`] writes.
    pub fn parse(json: &str) -> serde_json::Result<Asked> {
        let mut asked = Asked::default();
        for line in serde_json::from_str::<Vec<Line>>(json)? {
            let ops = asked.layers.entry(line.layer).or_default();
            ops.insert(line.op, line.calls);
        }
        Ok(asked)
    }

    /// The text of `asked.json`: one line per layer and op, so that a change is a line of a diff.
    ///
    /// # Errors
    /// None: numbers and text are JSON.
    pub fn json(&self) -> serde_json::Result<String> {
        let mut lines = Vec::new();
        for (layer, ops) in &self.layers {
            for (op, &calls) in ops {
                let (layer, op) = (layer.clone(), op.clone());
                lines.push(serde_json::to_string(&Line { layer, op, calls })?);
            }
        }
        Ok(format!("[\n{}\n]\n", lines.join(",\n")))
    }

    /// Takes over the layers that only `other` has: not every machine has an Elixir.
    pub fn keep_absent(&mut self, other: Asked) {
        for (layer, ops) in other.layers {
            self.layers.entry(layer).or_insert(ops);
        }
    }

    /// Checks that this is what the run asked, for the layers that ran.
    ///
    /// # Errors
    /// One line per layer and op of which it is not, and the remedy.
    pub fn check(&self, report: &Report) -> Result<(), String> {
        let counted = Asked::counted(report);
        let mut wrong = Vec::new();
        for (layer, ops) in &counted.layers {
            let stated = self.layers.get(layer).cloned().unwrap_or_default();
            let gone = stated.keys().filter(|op| !ops.contains_key(*op));
            for op in ops.keys().chain(gone) {
                let (old, new) = (self.calls(layer, op), counted.calls(layer, op));
                if old != new {
                    wrong.push(format!("{layer}: {op}: {new:?}, stated is {old:?}"));
                }
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        wrong.push("conformance/asked.json is not current; run `cargo xtask codegen`".to_owned());
        Err(wrong.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::outcome::Outcome;

    fn run(judged: u64, left_out: u64) -> Report {
        let mut trial = sample::trial("nx", "add", "f32", Outcome::Passed);
        trial.calls = Calls {
            judged,
            by_type: 0,
            left_out,
        };
        sample::report_of([trial])
    }

    #[test]
    fn a_call_less_is_told() {
        let stated = Asked::counted(&run(3, 1));
        assert_eq!(stated.check(&run(3, 1)), Ok(()));
        let error = stated.check(&run(2, 2)).unwrap_err();
        assert!(error.contains("nx: add"), "{error}");
        assert!(error.contains("cargo xtask codegen"), "{error}");
    }

    #[test]
    fn the_file_is_read_as_it_was_written() {
        let asked = Asked::counted(&run(3, 1));
        let json = asked.json().unwrap();
        assert_eq!(json.lines().count(), 3, "{json}");
        assert_eq!(Asked::parse(&json).unwrap(), asked);
    }
}
