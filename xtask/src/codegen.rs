//! `cargo xtask codegen`: what is generated and committed, and whether it is current.

use xshell::{Shell, cmd};

use crate::{conformance, shell};

/// Write, or only look.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing; fail when something is stale.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(shell: &Shell, args: &Args) -> anyhow::Result<()> {
    conformance::run(shell, &conformance::Args::default())?;
    if args.check {
        return check(shell);
    }
    generate(shell, &[])?;
    shell::step("MLX's bindings");
    bindings(shell)
}

/// Compares with what the last full conformance run reported.
pub(crate) fn check(shell: &Shell) -> anyhow::Result<()> {
    shell::step("generated files are current");
    generate(shell, &["--check"])
}

fn generate(shell: &Shell, flags: &[&str]) -> anyhow::Result<()> {
    let report = shell::target_dir().join("conformance/report.json");
    shell::show(cmd!(
        shell,
        "cargo run --quiet -p emily-conformance --bin emily-codegen -- {flags...} {report}"
    ))
}

/// MLX's bindings need libclang, so a check of them that needs none is mlx-sys's own test.
fn bindings(shell: &Shell) -> anyhow::Result<()> {
    shell::show(cmd!(
        shell,
        "cargo run --quiet -p mlx-sys --features bindgen --bin mlx-bindings"
    ))
}
