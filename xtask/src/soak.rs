//! `cargo xtask soak`: the same work again and again, and what grows meanwhile.
//!
//! Harnesses of the engine are run by `emily-soak`, those of the BEAM by ExUnit; both tell what they
//! measure, and `emily-soak` judges all of it.

use std::path::{Path, PathBuf};

use xshell::{Shell, cmd};

use crate::beam::{self, Beam};
use crate::shell;

/// What to run, and how long.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Run this harness only (repeatable).
    #[arg(long, value_name = "NAME")]
    harness: Vec<String>,
    /// For so many minutes, of all harnesses together.
    #[arg(long, conflicts_with = "iterations")]
    minutes: Option<f64>,
    /// So many iterations of each harness; each has its own number when absent.
    #[arg(long)]
    iterations: Option<u64>,
    /// Run this layer only: engine or beam.
    #[arg(long)]
    layer: Option<Layer>,
    /// The device, cpu or gpu; the preferred one when absent.
    #[arg(long)]
    device: Option<String>,
    /// Where records, report.json and report.html go.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Layer {
    Engine,
    Beam,
}

impl Args {
    /// Every harness, for so many minutes.
    pub(crate) fn minutes(minutes: f64) -> Args {
        Args {
            minutes: Some(minutes),
            ..Args::default()
        }
    }

    /// The minutes of each layer that runs.
    fn share(&self) -> Option<String> {
        let layers = if self.layer.is_some() { 1.0 } else { 2.0 };
        self.minutes.map(|minutes| (minutes / layers).to_string())
    }
}

pub(crate) fn run(shell: &Shell, args: &Args) -> anyhow::Result<()> {
    let folder = match &args.report {
        Some(folder) => std::path::absolute(folder)?,
        None => shell::target_dir().join("soak"),
    };
    shell.remove_path(folder.join("records"))?;
    shell.create_dir(folder.join("records"))?;
    if args.layer != Some(Layer::Beam) {
        engine(shell, args, &folder)?;
    }
    let mut not_run = Vec::new();
    let mut tested = Ok(());
    if args.layer != Some(Layer::Engine) {
        match beam::prepare(shell)? {
            Beam::Whole => tested = beam(shell, args, &folder),
            Beam::Nothing(reason) | Beam::NifOnly(reason) => {
                not_run = vec![
                    "--not-run".to_owned(),
                    format!("the BEAM's harnesses: {reason}"),
                ];
            }
        }
    }
    shell::step("the report");
    shell::show(cmd!(
        shell,
        "cargo run --quiet --bin emily-soak -- report {folder} {not_run...}"
    ))?;
    // What is red there is red in the report too, unless a test failed in another way.
    tested
}

/// The engine's harnesses, each in a process of its own.
fn engine(shell: &Shell, args: &Args, folder: &Path) -> anyhow::Result<()> {
    // `serving` is the BEAM's alone.
    let names: Vec<&String> = args
        .harness
        .iter()
        .filter(|name| *name != "serving")
        .collect();
    if names.is_empty() && !args.harness.is_empty() {
        return Ok(());
    }
    shell::step("the engine's harnesses");
    let mut flags: Vec<String> = Vec::new();
    flags.extend(
        names
            .into_iter()
            .flat_map(|name| ["--harness".to_owned(), name.clone()]),
    );
    for (flag, value) in [
        ("--minutes", args.share()),
        (
            "--iterations",
            args.iterations.map(|count| count.to_string()),
        ),
        ("--device", args.device.clone()),
    ] {
        flags.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value]));
    }
    shell::show(cmd!(
        shell,
        "cargo run --quiet --bin emily-soak -- run {flags...} {folder}"
    ))
}

/// The BEAM's harnesses, which are ExUnit tests.
fn beam(shell: &Shell, args: &Args, folder: &Path) -> anyhow::Result<()> {
    shell::step("the BEAM's harnesses");
    shell::show(cmd!(shell, "cargo build --quiet --bin emily-soak"))?;
    let judge = shell::target_dir().join("debug/emily-soak");
    let _elixir = shell.push_dir("elixir");
    let only = match args.harness.is_empty() {
        true => vec!["soak".to_owned()],
        false => args
            .harness
            .iter()
            .map(|name| format!("soak:{name}"))
            .collect(),
    };
    let only = only.iter().flat_map(|tag| ["--only", tag]);
    let mut test = cmd!(shell, "mix test {only...}")
        .env("EMILY_SOAK", judge)
        .env("EMILY_SOAK_RECORDS", folder.join("records"));
    for (name, value) in [
        ("EMILY_SOAK_MINUTES", args.share()),
        (
            "EMILY_SOAK_ITERATIONS",
            args.iterations.map(|count| count.to_string()),
        ),
        ("EMILY_SOAK_DEVICE", args.device.clone()),
    ] {
        if let Some(value) = value {
            test = test.env(name, value);
        }
    }
    shell::show(test)
}
