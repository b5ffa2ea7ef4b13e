//! The Elixir library's figures, which elixir/bench measures.

use std::path::PathBuf;

use anyhow::Context;
use xshell::{Shell, cmd};

use super::figure::{Row, Unit, brief, turn_by_turn};
use crate::beam::{self, Beam};
use crate::shell;

/// The Elixir library's figures.
pub(super) fn rows(shell: &Shell) -> anyhow::Result<Vec<Row>> {
    match beam::prepare(shell)? {
        Beam::Whole => {}
        Beam::Nothing(reason) | Beam::NifOnly(reason) => anyhow::bail!("no BEAM bench: {reason}"),
    }
    optimised_nif(shell)?;
    shell::step("the Elixir library's benches");
    let mut rows = bench_script(shell, &[])?
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| {
            let row: BeamRow = serde_json::from_str(line).with_context(|| line.to_owned())?;
            Ok(Row::new(
                &row.name,
                row.unit,
                row.median,
                row.reference,
                row.bar,
            ))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    shell::step("eight processes, turn by turn with eight mlx-rs threads");
    let (processes, threads) = turn_by_turn(
        || eight_processes(shell),
        || brief(shell, "dispatch", "eight_at_once/mlx_rs"),
    )?;
    rows.push(Row::new(
        "eight processes with a stream each, against mlx-rs threads",
        Unit::Ns,
        processes,
        threads,
        1.0 / 0.9,
    ));
    Ok(rows)
}

/// Builds the NIF as users have it: its library.
pub(super) fn optimised_nif(shell: &Shell) -> anyhow::Result<PathBuf> {
    shell::show(cmd!(shell, "cargo build --quiet --release -p emily-nif"))?;
    Ok(library())
}

fn library() -> PathBuf {
    shell::target_dir().join("release").join(beam::library())
}

/// The median time of eight processes' chains, in nanoseconds.
fn eight_processes(shell: &Shell) -> anyhow::Result<f64> {
    let printed = bench_script(shell, &["eight_at_once"])?;
    let nanoseconds = printed.lines().last().unwrap_or_default();
    nanoseconds.parse().with_context(|| printed.clone())
}

/// What elixir/bench prints, on an optimised NIF.
fn bench_script(shell: &Shell, args: &[&str]) -> anyhow::Result<String> {
    let _elixir = shell.push_dir("elixir");
    let script = cmd!(shell, "mix run bench/bench.exs {args...}");
    Ok(script
        .env("MIX_ENV", "prod")
        .env("EMILY_NIF", library())
        .read()?)
}

/// A row as elixir/bench prints it.
#[derive(serde::Deserialize)]
struct BeamRow {
    name: String,
    median: f64,
    unit: Unit,
    reference: f64,
    bar: f64,
}
