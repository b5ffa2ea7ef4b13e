//! `report.json` and `report.html`, and the table that is printed.

mod html;
#[doc(hidden)]
pub mod sample;
mod table;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::budget::Budgets;
use crate::judge::{Outcome, Run, judge};
use crate::live;
use crate::record::Record;

pub use table::print;

/// Runs, judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// What it ran on.
    pub machine: BTreeMap<String, String>,
    /// In the order of their layers and harnesses.
    pub runs: Vec<Run>,
    /// What did not run here, and why.
    pub not_run: Vec<String>,
}

impl Report {
    /// Judges the records beside which a report is to be.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn of(folder: &Path, not_run: Vec<String>) -> anyhow::Result<Report> {
        let budgets = Budgets::load()?;
        let folder = live::records(folder);
        let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        let mut runs = Vec::new();
        for entry in entries {
            runs.push(judge_file(&entry?.path(), &budgets)?);
        }
        runs.sort_by_key(|run| (run.layer, run.harness));
        Ok(Report {
            machine: machine(),
            runs,
            not_run,
        })
    }

    /// Reads `report.json`.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(file: &Path) -> anyhow::Result<Report> {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        serde_json::from_str(&text).with_context(|| file.display().to_string())
    }

    /// Writes both files into the folder.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        std::fs::write(folder.join("report.json"), serde_json::to_string(self)?)?;
        std::fs::write(folder.join("report.html"), html::page(self)?)?;
        Ok(())
    }

    /// The worst outcome; nothing ran where there is none.
    pub fn outcome(&self) -> Option<Outcome> {
        self.runs.iter().map(|run| run.outcome).min()
    }
}

/// Judges one record.
///
/// # Errors
/// When it cannot be read.
pub fn judge_file(file: &Path, budgets: &Budgets) -> anyhow::Result<Run> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let record = Record::parse(&text).with_context(|| file.display().to_string())?;
    judge(&record, budgets).with_context(|| file.display().to_string())
}

/// What this runs on.
fn machine() -> BTreeMap<String, String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut machine = BTreeMap::from([
        ("MLX".to_owned(), emily_engine::version().clone()),
        ("cores".to_owned(), cores.to_string()),
        (
            "system".to_owned(),
            format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        ),
    ]);
    // Only Linux says it in a file.
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    if let Some((_, model)) = model.and_then(|rest| rest.split_once(':')) {
        machine.insert("processor".to_owned(), model.trim().to_owned());
    }
    machine
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Begin, Fault, Layer, Line};

    #[test]
    fn records_become_a_report_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let records = live::records(folder.path());
        std::fs::create_dir(&records).unwrap();
        for (name, layer) in [("a", Layer::Beam), ("b", Layer::Engine)] {
            let begin = Begin {
                harness: "memory".to_owned(),
                layer,
                device: "cpu".to_owned(),
            };
            let fault = Fault {
                text: format!("{name} failed"),
            };
            let mut file = std::fs::File::create(records.join(name)).unwrap();
            Line::Begin(begin).write(&mut file).unwrap();
            Line::Fault(fault).write(&mut file).unwrap();
        }
        let report = Report::of(folder.path(), Vec::new()).unwrap();
        let first: Vec<&str> = report.runs.iter().map(|run| &*run.reasons[0]).collect();
        assert_eq!(first, ["b failed", "a failed"]);
        assert_eq!(report.outcome(), Some(Outcome::Red));
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let report = sample::report(5e6, 0.0, "other bits").unwrap();
        let outcomes: Vec<Outcome> = report.runs.iter().map(|run| run.outcome).collect();
        assert_eq!(outcomes, [Outcome::Green, Outcome::Red]);
        let folder = tempfile::tempdir().unwrap();
        report.write(folder.path()).unwrap();
        let read = Report::read(&folder.path().join("report.json")).unwrap();
        assert_eq!(read.machine, report.machine);
        assert_eq!(read.runs[1].reasons, report.runs[1].reasons);
        assert_eq!(
            read.runs[0].curves[0].points,
            report.runs[0].curves[0].points
        );
    }
}
