//! `cargo xtask mutants`: systematic mistakes in the oracle, all of which the cases must catch.

use xshell::{Shell, cmd};

use crate::shell;

/// Which ops to try.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Try this op only (repeatable).
    #[arg(long)]
    op: Vec<String>,
}

pub(crate) fn run(shell: &Shell, args: &Args) -> anyhow::Result<()> {
    let ops = args.op.iter().flat_map(|op| ["--op", op]);
    shell::show(cmd!(
        shell,
        "cargo test --quiet --workspace --test mutants -- {ops...}"
    ))
}
