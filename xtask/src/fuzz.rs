//! `cargo xtask fuzz`: random calls, shrunk to cases; with `--nif` calls of the library with any terms.

use anyhow::Context as _;
use xshell::{Shell, cmd};

use crate::beam::Beam;
use crate::{beam, shell};

/// How much to try, and on what.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Calls to try per op.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    cases: u32,
    /// Then go round the ops again with other seeds, until this many minutes are over.
    #[arg(long, default_value_t = 0)]
    minutes: u64,
    /// Try this op only (repeatable).
    #[arg(long)]
    op: Vec<String>,
    /// The layer to try.
    #[arg(long, default_value = "native")]
    layer: String,
    /// Start from this seed instead of a fresh one; a run prints its own.
    #[arg(long)]
    seed: Option<u64>,
    /// Call the library's functions with any terms instead, and see that nothing crashes, hangs or leaks.
    #[arg(long)]
    nif: bool,
    /// How many of these calls.
    #[arg(long, default_value_t = 1_000_000, requires = "nif", value_parser = clap::value_parser!(u64).range(1..))]
    calls: u64,
}

impl Args {
    /// Every op, for so long.
    pub(crate) fn minutes(minutes: u64) -> Args {
        Args {
            cases: 1000,
            minutes,
            op: Vec::new(),
            layer: "native".to_owned(),
            seed: None,
            nif: false,
            calls: 0,
        }
    }

    /// The library's functions, called so often.
    pub(crate) fn nif(calls: u64) -> Args {
        Args {
            nif: true,
            calls,
            ..Args::minutes(0)
        }
    }
}

pub(crate) fn run(shell: &Shell, args: &Args) -> anyhow::Result<()> {
    if args.nif {
        return run_nif(shell, args);
    }
    if args.layer != "native" {
        beam::prepare(shell)?;
    }
    let layer = &args.layer;
    let (cases, minutes) = (args.cases.to_string(), args.minutes.to_string());
    let ops = args.op.iter().flat_map(|op| ["--op", op]);
    let seed = args.seed.map(|seed| seed.to_string());
    let seed = seed.iter().flat_map(|seed| ["--seed", seed]);
    shell::show(cmd!(
        shell,
        "cargo run --quiet --bin emily-fuzz -- --cases {cases} --minutes {minutes} --layer {layer} {ops...} {seed...}"
    ))
}

/// Calls the library with any terms. Where the VM ends, the last call is in the note's files.
fn run_nif(shell: &Shell, args: &Args) -> anyhow::Result<()> {
    match beam::prepare(shell)? {
        Beam::Whole => {}
        Beam::Nothing(reason) | Beam::NifOnly(reason) => anyhow::bail!("{reason}"),
    }
    let note = shell::target_dir().join("nif-fuzz");
    let seed = args.seed.map(|seed| format!(", {seed}"));
    let call = format!(
        "Emily.NifFuzz.main({}{})",
        args.calls,
        seed.unwrap_or_default()
    );
    let _elixir = shell.push_dir("elixir");
    let fuzz = cmd!(shell, "mix run --no-compile -e {call}");
    shell::show(
        fuzz.env("MIX_ENV", "test")
            .env("EMILY_NIF_FUZZ_NOTE", &note),
    )
    .with_context(|| format!("the last calls are in {}.0 and .1", note.display()))
}
