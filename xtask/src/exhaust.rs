//! `cargo xtask exhaust`: a unary op on every f32 there is.

use xshell::{Shell, cmd};

use crate::{codegen, shell};

/// Which ops to try.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Try this op (repeatable).
    #[arg(long, required = true)]
    op: Vec<String>,
}

/// Takes minutes an op; what was measured goes into ACCURACY.md.
pub(crate) fn run(shell: &Shell, args: &Args) -> anyhow::Result<()> {
    let ops = args.op.iter().flat_map(|op| ["--op", op]);
    shell::show(cmd!(
        shell,
        "cargo run --quiet --bin emily-exhaust -- {ops...}"
    ))?;
    codegen::pages(shell)
}
