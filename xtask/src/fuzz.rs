//! `cargo xtask fuzz`: random calls, shrunk to cases.

use xshell::{Shell, cmd};

use crate::{beam, shell};

/// How much to try, and on what.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Calls to try per op.
    #[arg(long, default_value_t = 1000)]
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
        }
    }
}

pub(crate) fn run(shell: &Shell, args: &Args) -> anyhow::Result<()> {
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
        "cargo run --quiet -p emily-conformance --bin emily-fuzz -- --cases {cases} --minutes {minutes} --layer {layer} {ops...} {seed...}"
    ))
}
