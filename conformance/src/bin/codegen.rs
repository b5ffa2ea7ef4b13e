//! Writes what is generated and committed, or with `--check` says what is stale.
//!
//! DIVERGENCES.md, the guides of Nx's functions and Elixir's op list follow from the cases and the
//! contract; accuracy.json and asked.json from the report of a whole run, ACCURACY.md and OPS.md also
//! from these.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::Parser;
use emily_conformance::codegen_elixir::{ELIXIR_OPS, elixir_ops};
use emily_conformance::fixtures::{Fixtures, repository};
use emily_conformance::layer;
use emily_conformance::outcome::Report;
use emily_conformance::report::{
    Accuracy, Asked, EXHAUSTED, Exhaustions, NX_GUIDE, NX_LIN_ALG_GUIDE, Recorded,
    divergences_markdown, nx_guide, nx_lin_alg_guide, ops_markdown,
};
use emily_conformance::run::Run;
use emily_conformance::slices;
use emily_flags::Filter;

const ACCURACY: &str = "conformance/accuracy.json";
const ASKED: &str = "conformance/asked.json";

/// Writes what is generated and committed.
#[derive(Parser)]
struct Options {
    /// Write nothing; fail when something is stale.
    #[arg(long)]
    check: bool,
    /// report.json of a whole conformance run, which measures accuracy and counts what was asked;
    /// without it the rest is written.
    report: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let root = repository();
    let report = options.report.as_deref().map(report).transpose()?;
    let mut measured = Measured::stated(&root)?;
    if options.check {
        return check(&root, &measured, report.as_ref());
    }
    if let Some(report) = &report {
        measured = measured.renewed(report);
        write(&root.join(ACCURACY), &measured.accuracy.json()?)?;
        write(&root.join(ASKED), &measured.asked.json()?)?;
    }
    for (name, text) in pages(&measured)? {
        write(&root.join(name), &text)?;
    }
    Ok(())
}

/// What whole runs measured.
#[derive(Default)]
struct Measured {
    accuracy: Accuracy,
    asked: Asked,
    exhausted: Exhaustions,
}

impl Measured {
    /// What the committed files state; nothing where there are none yet.
    fn stated(root: &Path) -> anyhow::Result<Measured> {
        let text = |name: &str| {
            let file = root.join(name);
            let exists = file.exists();
            exists.then(|| read(&file)).transpose()
        };
        let mut stated = Measured::default();
        if let Some(text) = text(ACCURACY)? {
            stated.accuracy = Accuracy::parse(&text).context(ACCURACY)?;
        }
        if let Some(text) = text(ASKED)? {
            stated.asked = Asked::parse(&text).context(ASKED)?;
        }
        if let Some(text) = text(EXHAUSTED)? {
            stated.exhausted = Exhaustions::parse(&text).context(EXHAUSTED)?;
        }
        Ok(stated)
    }

    /// What this run measured, and for layers that it did not have, what was stated.
    fn renewed(self, report: &Report) -> Measured {
        let mut measured = Measured {
            accuracy: Accuracy::measured(report),
            asked: Asked::counted(report),
            exhausted: self.exhausted,
        };
        measured.accuracy.keep_absent(self.accuracy);
        measured.asked.keep_absent(self.asked);
        measured
    }
}

/// What a run said of ops: whole models are none, and are not everywhere.
fn report(file: &Path) -> anyhow::Result<Report> {
    let report = serde_json::from_str(&read(file)?);
    let mut report: Report = report.with_context(|| file.display().to_string())?;
    report.trials.retain(|trial| trial.layer != slices::LAYER);
    report.layers.retain(|state| state.layer != slices::LAYER);
    Ok(report)
}

/// What follows from other committed files, and is the same on every machine.
fn pages(measured: &Measured) -> anyhow::Result<Vec<(&'static str, String)>> {
    let problems = |problems: Vec<emily_conformance::case::Problem>| {
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow!(texts.join("\n"))
    };
    let fixtures = Fixtures::load(&repository()).map_err(problems)?;
    let ops = elixir_ops(&fixtures.cases).map_err(|problems| anyhow!(problems))?;
    let run = Run::new(fixtures, layer::all(), &Filter::default()).map_err(problems)?;
    let recorded: Vec<Recorded> = run.recorded().collect();
    Ok(vec![
        (
            "OPS.md",
            ops_markdown(&run.layer_names(), run.planned(), &measured.asked),
        ),
        (NX_GUIDE, nx_guide(&recorded)),
        (NX_LIN_ALG_GUIDE, nx_lin_alg_guide(&recorded)),
        ("DIVERGENCES.md", divergences_markdown(recorded)),
        (
            "ACCURACY.md",
            measured.accuracy.markdown() + &measured.exhausted.markdown(),
        ),
        (ELIXIR_OPS, ops),
    ])
}

fn check(root: &Path, stated: &Measured, report: Option<&Report>) -> anyhow::Result<()> {
    let mut stale = Vec::new();
    for (name, text) in pages(stated)? {
        if read(&root.join(name))? != text {
            stale.push(format!("{name} is stale"));
        }
    }
    if let Err(reason) = stated.exhausted.check(root) {
        stale.push(format!("{EXHAUSTED} is stale: {reason}"));
    }
    if let Some(report) = report {
        let accuracy = (ACCURACY, stated.accuracy.check(report));
        for (name, checked) in [accuracy, (ASKED, stated.asked.check(report))] {
            if let Err(reason) = checked {
                stale.push(format!("{name} is stale: {reason}"));
            }
        }
    }
    if !stale.is_empty() {
        bail!(
            "{}\nrun `cargo xtask codegen` and commit what it writes",
            stale.join("\n")
        );
    }
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).with_context(|| file.display().to_string())
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(file, text).with_context(|| file.display().to_string())
}
