//! Writes what is generated and committed, or with `--check` says what is stale.
//!
//! OPS.md, DIVERGENCES.md and Elixir's op list follow from the cases and the contract; accuracy.json
//! from the report of a whole run, and ACCURACY.md from accuracy.json.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::Parser;
use emily_conformance::codegen_elixir::{ELIXIR_OPS, elixir_ops};
use emily_conformance::layer;
use emily_conformance::outcome::Report;
use emily_conformance::report::{Accuracy, divergences_markdown, ops_markdown};
use emily_conformance::run::{Filter, Fixtures, Run, repository};

const ACCURACY: &str = "conformance/accuracy.json";

/// Writes what is generated and committed.
#[derive(Parser)]
struct Options {
    /// Write nothing; fail when something is stale.
    #[arg(long)]
    check: bool,
    /// report.json of a whole conformance run, which measures accuracy; without it the rest is written.
    report: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let root = repository();
    let report = options.report.as_deref().map(report).transpose()?;
    let file = root.join(ACCURACY);
    let stated = match file.exists() {
        true => Accuracy::parse(&read(&file)?).context(ACCURACY)?,
        false => Accuracy::default(),
    };
    if options.check {
        return check(&root, &pages(&stated)?, &stated, report.as_ref());
    }
    let accuracy = match &report {
        Some(report) => {
            let mut measured = Accuracy::measured(report);
            measured.keep_absent(stated);
            write(&file, &measured.json()?)?;
            measured
        }
        None => stated,
    };
    for (name, text) in pages(&accuracy)? {
        write(&root.join(name), &text)?;
    }
    Ok(())
}

fn report(file: &Path) -> anyhow::Result<Report> {
    serde_json::from_str(&read(file)?).with_context(|| file.display().to_string())
}

/// What follows from other committed files, and is the same on every machine.
fn pages(accuracy: &Accuracy) -> anyhow::Result<Vec<(&'static str, String)>> {
    let problems = |problems: Vec<emily_conformance::case::Problem>| {
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow!(texts.join("\n"))
    };
    let fixtures = Fixtures::load(&repository()).map_err(problems)?;
    let ops = elixir_ops(&fixtures.cases).map_err(|problems| anyhow!(problems))?;
    let run = Run::new(fixtures, layer::all(), &Filter::default()).map_err(problems)?;
    Ok(vec![
        ("OPS.md", ops_markdown(&run.layer_names(), run.planned())),
        ("DIVERGENCES.md", divergences_markdown(run.recorded())),
        ("ACCURACY.md", accuracy.markdown()),
        (ELIXIR_OPS, ops),
    ])
}

fn check(
    root: &Path,
    pages: &[(&str, String)],
    stated: &Accuracy,
    report: Option<&Report>,
) -> anyhow::Result<()> {
    let mut stale = Vec::new();
    for (name, text) in pages {
        if read(&root.join(name))? != *text {
            stale.push(format!("{name} is stale"));
        }
    }
    if let Some(report) = report
        && let Err(reason) = stated.check(report)
    {
        stale.push(format!("{ACCURACY} is stale: {reason}"));
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
