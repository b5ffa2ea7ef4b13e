//! `cargo xtask codegen`: what is generated and committed, and whether it is current.

use std::path::PathBuf;

use xshell::{Shell, cmd};

use crate::{conformance, shell};

/// Write, or only look.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail when something is stale.
    #[arg(long)]
    check: bool,
    /// Also write MLX's bindings, from the headers of the runtime in use. Needs libclang.
    #[arg(long, conflicts_with = "check")]
    bindings: bool,
}

pub(crate) fn run(shell: &Shell, args: &Args) -> anyhow::Result<()> {
    if args.check {
        conformance::run(shell, &conformance::Args::default())?;
        return check(shell);
    }
    // What Elixir knows of the ops comes first: a library of other ops does not load.
    pages(shell)?;
    conformance::run(shell, &conformance::Args::default())?;
    generate(shell, &[], Some(report()))?;
    if args.bindings {
        shell::step("MLX's bindings");
        bindings(shell)?;
    }
    Ok(())
}

/// What follows from committed files alone.
pub(crate) fn pages(shell: &Shell) -> anyhow::Result<()> {
    generate(shell, &[], None)
}

/// Compares with what the last full conformance run reported.
pub(crate) fn check(shell: &Shell) -> anyhow::Result<()> {
    shell::step("generated files are current");
    generate(shell, &["--check"], Some(report()))
}

/// Where a conformance run leaves what it found.
pub(crate) fn report() -> PathBuf {
    shell::target_dir().join("conformance/report.json")
}

fn generate(shell: &Shell, flags: &[&str], report: Option<PathBuf>) -> anyhow::Result<()> {
    shell::show(cmd!(
        shell,
        "cargo run --quiet --bin emily-codegen -- {flags...} {report...}"
    ))
}

/// Their check is mlx-sys's own test, which needs no libclang.
fn bindings(shell: &Shell) -> anyhow::Result<()> {
    shell::show(cmd!(
        shell,
        "cargo run --quiet -p mlx-sys --features bindgen --bin mlx-bindings"
    ))
}
