//! What a run leaves behind, all of it computed from one [`Report`].
//!
//! - [`write()`]: `report.json` for programs and the self-contained `report.html` for readers;
//! - `page`: what the page of any report has, the soak's too;
//! - [`print_matrix`]: the op × dtype matrix and the totals, for the terminal;
//! - [`print_timings`]: where the time went;
//! - [`peer_markdown`]: a foreign backend's page, which is committed in docs/conformance;
//! - [`accuracy`]: `accuracy.json`, which is committed and checked to be current;
//! - [`Asked`]: `asked.json`, likewise;
//! - [`Exhaustions`]: `exhausted.json`, which maintainers measure.
//!
//! The pages ACCURACY.md, OPS.md and DIVERGENCES.md show what is committed: those files, the cases
//! ([`ops`]) and the ledger ([`divergences`]); so do the guides of Nx's functions ([`nx_guide`]).
//!
//! A cell of a matrix shows the worst outcome among its trials, so that no green hides a red; how
//! outcomes rank is written once, in `face.rs`.

pub mod accuracy;
mod asked;
pub mod divergences;
mod exhausted;
mod face;
mod grid;
mod guides;
mod html;
mod markdown;
mod matrix;
pub mod ops;
mod page;
mod peer;
#[cfg(test)]
mod sample;
mod timings;

use std::path::Path;
use std::time::SystemTime;

use anyhow::Context as _;

pub use accuracy::Accuracy;
pub use asked::Asked;
pub use divergences::{Recorded, divergences_markdown};
pub use exhausted::{EXHAUSTED, Exhaustions, digest};
pub use guides::{NX_GUIDE, NX_LIN_ALG_GUIDE, nx_guide, nx_lin_alg_guide};
pub use matrix::print_matrix;
pub use ops::{Planned, ops_markdown};
pub use page::Page;
pub use peer::peer_markdown;
pub use timings::print_timings;

use crate::fixtures::repository;
use crate::outcome::Report;

/// The day, as reports and finds name it: `2026-01-02`.
pub fn today() -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    now.split('T').next().unwrap_or_default().to_owned()
}

/// Writes `report.json` and `report.html` into `dir`, which is made if it is missing.
///
/// # Errors
/// When the folder or one of the files cannot be written; the error names it.
pub fn write(dir: &Path, report: &Report) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let put = |name: &str, text: String| {
        let path = dir.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    put("report.json", serde_json::to_string_pretty(report)? + "\n")?;
    put("report.html", html::page(report, &speed()?)?)
}

/// The figures that `cargo xtask bench --keep` left in docs/bench, a document for each kind of bench.
fn speed() -> anyhow::Result<Vec<serde_json::Value>> {
    let folder = repository().join("docs/bench");
    let Ok(files) = std::fs::read_dir(&folder) else {
        return Ok(Vec::new());
    };
    let mut files: Vec<_> = files.flatten().map(|file| file.path()).collect();
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "json")
    });
    files.sort();
    let read = |file: std::path::PathBuf| {
        let text = std::fs::read_to_string(&file)?;
        serde_json::from_str(&text).with_context(|| file.display().to_string())
    };
    files.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_holds_summary_and_trials() {
        let dir = tempfile::tempdir().unwrap();
        let report = sample::report();
        write(&dir.path().join("deep/er"), &report).unwrap();
        let text = std::fs::read_to_string(dir.path().join("deep/er/report.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(json["summary"].is_object(), "{text}");
        let trials = json["trials"].as_array().unwrap();
        assert_eq!(trials.len(), report.trials.len());
        for key in [
            "name", "layer", "op", "case", "dtype", "device", "outcome", "checked", "worst",
            "allowed",
        ] {
            assert!(trials.iter().all(|trial| trial.get(key).is_some()), "{key}");
        }
        assert!(dir.path().join("deep/er/report.html").exists());
    }

    #[test]
    fn an_unwritable_folder_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = write(&file.path().join("below"), &sample::report()).unwrap_err();
        assert!(error.to_string().contains("below"), "{error}");
    }
}
