//! `cargo xtask ci`: the gate. CI.md says what a red of each step means.

use xshell::{Shell, cmd};

use crate::{codegen, cross, fuzz, mnist, shell, test, threads};

/// How much of it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also what takes too long for every change: half an hour of fuzzing, training on MNIST, the orders in
    /// which threads may go, and Miri.
    #[arg(long)]
    long: bool,
}

pub(crate) fn run(shell: &Shell, args: &Args) -> anyhow::Result<()> {
    shell::step("formatting");
    shell::show(cmd!(shell, "cargo fmt --all --check"))?;
    shell::step("clippy");
    shell::show(cmd!(
        shell,
        "cargo clippy --quiet --workspace --all-targets -- -D warnings"
    ))?;
    shell::step("documentation");
    let doc = cmd!(shell, "cargo doc --quiet --workspace --no-deps");
    shell::show(doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    cross::check(shell)?;
    test::run(shell)?;
    codegen::check(shell)?;
    if args.long {
        threads::check(shell)?;
        mnist::run(shell)?;
        shell::step("fuzzing");
        fuzz::run(shell, &fuzz::Args::minutes(30))?;
    }
    Ok(())
}
