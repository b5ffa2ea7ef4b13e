//! `cargo xtask soak`: the same work again and again, and what grows meanwhile.
//!
//! Harnesses of the engine are run by `emily-soak`, those of the BEAM by ExUnit; both tell what they
//! measure, and `emily-soak` judges all of it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
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
    #[arg(long, conflicts_with = "iterations", value_parser = minutes)]
    minutes: Option<f64>,
    /// So many iterations of each harness; each has its own number when absent.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
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

/// A run of no time is over before it is measured once.
fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|error| format!("{error}"))?;
    match Duration::try_from_secs_f64(60.0 * minutes) {
        Ok(time) if !time.is_zero() => Ok(minutes),
        Ok(_) | Err(_) => Err("a run takes more than 0 minutes, and ends".to_owned()),
    }
}

/// Takes the report's folder for one run, for as long as the file is held.
fn lock(folder: &Path) -> anyhow::Result<File> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another soak writes to {}; give --report another folder",
            folder.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| path.display().to_string()),
    }
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
    let _lock = lock(&folder)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_takes_time() {
        for text in ["0", "-1", "inf", "NaN", "1e99", "1e-12", "two"] {
            assert!(minutes(text).is_err(), "{text}");
        }
        assert_eq!(minutes("0.5"), Ok(0.5));
    }

    #[test]
    fn a_folder_has_one_run_at_a_time() {
        let folder = std::env::temp_dir().join(format!("emily-soak-{}", std::process::id()));
        let held = lock(&folder).unwrap();
        let refused = lock(&folder).unwrap_err().to_string();
        assert!(refused.starts_with("another soak writes to"), "{refused}");
        drop(held);
        assert!(lock(&folder).is_ok());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
