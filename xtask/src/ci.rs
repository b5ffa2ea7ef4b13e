//! `cargo xtask ci`: the gate. CI.md says what a red of each step means.

use xshell::{Shell, cmd};

use crate::{codegen, cross, fuzz, mnist, package, shell, soak, test, threads};

/// Minutes of the soak for every change: enough for a leak of one tensor in a thousand iterations.
const SOAK: f64 = 1.5;

/// Those of the long one.
const LONG_SOAK: f64 = 30.0;

/// How often each end of a process is tried there.
const ENDS: u32 = 100;

/// Calls of the library with any terms there.
const CALLS: u64 = 1_000_000;

/// How much of it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also what takes too long for every change: half an hour each of the soak and of fuzzing, a million calls
    /// of the library with any terms, a hundred of each end of a process, training on MNIST, the orders in which
    /// threads may go, Miri, and the package, made twice and installed in a fresh project.
    #[arg(long)]
    long: bool,
}

pub(crate) fn run(shell: &Shell, args: &Args) -> anyhow::Result<()> {
    shell::step("formatting");
    shell::show(cmd!(shell, "cargo fmt --all --check"))?;
    cross::clippy(shell)?;
    cross::document(shell)?;
    test::run(shell, args.long)?;
    shell::step("faults that the soak has to find");
    shell::show(cmd!(
        shell,
        "cargo test --quiet --workspace --features emily-soak/planted --test planted"
    ))?;
    let minutes = if args.long { LONG_SOAK } else { SOAK };
    soak::run(shell, &soak::Args::minutes(minutes))?;
    codegen::check(shell)?;
    if args.long {
        package::gate(shell)?;
        threads::check(shell)?;
        mnist::run(shell)?;
        test::ends(shell, ENDS)?;
        shell::step("any terms");
        fuzz::run(shell, &fuzz::Args::nif(CALLS))?;
        shell::step("fuzzing");
        fuzz::run(shell, &fuzz::Args::minutes(30))?;
    }
    Ok(())
}
