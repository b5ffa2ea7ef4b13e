//! `cargo xtask drift`: what moved between two soaks.

use std::path::PathBuf;

use xshell::{Shell, cmd};

use crate::shell;

/// Runs of the memory harness, in a fresh report and in the committed one: what lies between runs is noise.
const RUNS: &str = "3";

/// The reports to compare.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The older report.json; the committed baseline of the memory harness when absent.
    #[arg(requires = "new")]
    old: Option<PathBuf>,
    /// The newer one; a fresh run of that harness when absent.
    new: Option<PathBuf>,
    /// Write a fresh run as the baseline, instead of comparing it.
    #[arg(long, conflicts_with = "old")]
    write: bool,
}

pub(crate) fn run(shell: &Shell, args: &Args) -> anyhow::Result<()> {
    let (old, new) = match (&args.old, &args.new) {
        (Some(old), Some(new)) => (std::path::absolute(old)?, std::path::absolute(new)?),
        _ => ("soak/baseline.json".into(), fresh(shell)?),
    };
    if args.write {
        return shell::show(cmd!(
            shell,
            "cargo run --quiet --bin emily-soak -- baseline {new} {old}"
        ));
    }
    shell::show(cmd!(
        shell,
        "cargo run --quiet --bin emily-soak -- drift {old} {new}"
    ))
}

/// The report of a fresh run of the memory harness.
fn fresh(shell: &Shell) -> anyhow::Result<PathBuf> {
    shell::step("the memory harness");
    let folder = shell::target_dir().join("soak-drift");
    shell.remove_path(&folder)?;
    shell::show(cmd!(
        shell,
        "cargo run --quiet --bin emily-soak -- run --harness memory --device cpu --repeat {RUNS} {folder}"
    ))?;
    shell::show(cmd!(
        shell,
        "cargo run --quiet --bin emily-soak -- report {folder}"
    ))?;
    Ok(folder.join("report.json"))
}
