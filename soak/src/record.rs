//! What a harness tells while it runs: one line of JSON for each thing.
//!
//! A harness is a process of its own, in Rust or on the BEAM, and whoever judges it reads this. So a
//! process that ends in the middle leaves a record without an end, which is red.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::metric::Metric;

/// Where a harness runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// On the engine, in process.
    Engine,
    /// On the BEAM, through the library that Elixir's users install.
    Beam,
}

impl Layer {
    /// The name in options and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Layer::Engine => "engine",
            Layer::Beam => "beam",
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case", deny_unknown_fields)]
pub enum Line {
    /// The first.
    Begin(Begin),
    /// What was measured at a moment.
    Sample(Sample),
    /// Something that may not happen did.
    Fault(Fault),
    /// The last.
    End(End),
}

/// Who tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// The harness's name.
    pub harness: String,
    /// Where it runs.
    pub layer: Layer,
    /// The device that computes.
    pub device: String,
}

/// What was measured at a moment at which nothing was being computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Iterations done before.
    pub iteration: u64,
    /// Seconds since the start.
    pub seconds: f64,
    /// How much of the run is done.
    pub done: f64,
    /// What could be measured here.
    pub values: BTreeMap<Metric, f64>,
}

/// Something that may not happen: a wrong answer, a request without a reply, an error without a cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What happened.
    pub text: String,
}

/// The end, after everything was let go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Iterations.
    pub iterations: u64,
    /// Seconds.
    pub seconds: f64,
    /// Requests that were made.
    pub asked: u64,
    /// Those that were answered, with a value or with the error that belongs there.
    pub answered: u64,
    /// What is there more than before.
    pub left: BTreeMap<Metric, f64>,
}

/// All that a harness told.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Who.
    pub begin: Begin,
    /// In their order.
    pub samples: Vec<Sample>,
    /// In their order.
    pub faults: Vec<Fault>,
    /// Nothing where the process ended before.
    pub end: Option<End>,
}

impl Line {
    /// Writes the line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, mut to: impl Write) -> anyhow::Result<()> {
        let mut text = serde_json::to_string(self)?;
        text.push('\n');
        // In one piece, so that a process that is killed leaves whole lines.
        to.write_all(text.as_bytes())?;
        Ok(to.flush()?)
    }
}

impl Record {
    /// Reads a record's lines.
    ///
    /// # Errors
    /// When a line is none, or the first does not say who tells.
    pub fn parse(text: &str) -> anyhow::Result<Record> {
        let mut lines = text.lines().enumerate().map(|(number, line)| {
            serde_json::from_str(line).with_context(|| format!("line {}", number + 1))
        });
        let Some(Line::Begin(begin)) = lines.next().transpose()? else {
            anyhow::bail!("the first line does not say which harness this is of");
        };
        let mut record = Record {
            begin,
            samples: Vec::new(),
            faults: Vec::new(),
            end: None,
        };
        for line in lines {
            match line? {
                Line::Begin(_) => anyhow::bail!("a second harness begins"),
                Line::Sample(sample) => record.samples.push(sample),
                Line::Fault(fault) => record.faults.push(fault),
                Line::End(end) => record.end = Some(end),
            }
        }
        Ok(record)
    }

    /// A metric's values over iterations.
    pub fn series(&self, metric: Metric) -> Vec<(f64, f64)> {
        let point = |sample: &Sample| {
            let value = sample.values.get(&metric)?;
            Some((sample.iteration as f64, *value))
        };
        self.samples.iter().filter_map(point).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let begin = Begin {
            harness: "memory".to_owned(),
            layer: Layer::Beam,
            device: "cpu".to_owned(),
        };
        let sample = Sample {
            iteration: 7,
            seconds: 0.5,
            done: 0.25,
            values: [(Metric::LongSchedules, 2.0)].into(),
        };
        let fault = Fault {
            text: "no reply".to_owned(),
        };
        let mut text = Vec::new();
        for line in [
            Line::Begin(begin.clone()),
            Line::Sample(sample.clone()),
            Line::Fault(fault.clone()),
        ] {
            line.write(&mut text).unwrap();
        }
        let record = Record::parse(std::str::from_utf8(&text).unwrap()).unwrap();
        let want = Record {
            begin,
            samples: vec![sample],
            faults: vec![fault],
            end: None,
        };
        assert_eq!(record, want);
        assert_eq!(record.series(Metric::LongSchedules), [(7.0, 2.0)]);
    }

    #[test]
    fn what_is_no_record_says_where() {
        for (text, want) in [
            ("", "which harness"),
            ("{\"line\":\"fault\",\"text\":\"\"}", "which harness"),
            ("{\"line\":\"middle\"}", "line 1"),
        ] {
            let error = format!("{:#}", Record::parse(text).unwrap_err());
            assert!(error.contains(want), "{error}");
        }
    }
}
