//! `cargo xtask bench`: the promised figures, each a ratio within one run.
//!
//! Criterion times, and leaves its medians as files; this reads them and judges.

mod beam;
mod figure;
mod models;

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;
use xshell::{Shell, cmd};

use crate::shell;
use figure::{Row, brief, median, pair, print, turn_by_turn};

/// The operations of the engine's bench `composite`.
const COMPOSITE: &[&str] = &[
    "conv",
    "sort",
    "window_max",
    "cumulative_sum",
    "take",
    "gather",
    "bf16_sum",
    "softmax",
    "layer_norm",
    "scaled_dot_product_attention",
];

/// What to measure, and where to.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also write the rows to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure the Elixir library too; needs Nx.
    #[arg(long)]
    beam: bool,
    /// Measure whole models instead, beside PyTorch and JAX; needs Bumblebee, and fetches 4 GB once.
    #[arg(long, conflicts_with = "beam")]
    models: bool,
    /// Measure this one only (repeatable).
    #[arg(long, value_name = "NAME", value_parser = models::MODELS, requires = "models")]
    model: Vec<String>,
    /// How often they take turns.
    #[arg(long, value_name = "N", default_value_t = 5, requires = "models")]
    rounds: u32,
    /// Measure them on Torchx too, whose applications are in this folder, as _build/dev/lib.
    #[arg(long, value_name = "DIR", requires = "models")]
    torchx: Option<PathBuf>,
}

pub(crate) fn run(shell: &Shell, args: &Args) -> anyhow::Result<()> {
    if args.models {
        let figures = models::figures(shell, &args.model, args.rounds, args.torchx.as_deref())?;
        models::print(&figures);
        return conclude(&figures.loading, &figures, args.json.as_deref());
    }
    shell::step("criterion benches");
    shell::show(cmd!(
        shell,
        "cargo bench --quiet -p emily-engine --benches -- --noplot"
    ))?;
    let f32_beside = median("matmul_1024/f32")?;
    shell::step("f32 matmul, turn by turn with NumPy's");
    let (f32_matmul, numpy) = turn_by_turn(
        || brief(shell, "matmul", "matmul_1024/f32"),
        || numpy_matmul(shell, "float32", 1024),
    )?;
    shell::step("integer matmul, turn by turn with NumPy's");
    let (integer_dot, numpy_integer_dot) = turn_by_turn(
        || brief(shell, "composite", "composite_integer_dot/emily"),
        || numpy_matmul(shell, "int32", 256),
    )?;
    let grown = cmd!(
        shell,
        "cargo run --quiet --release -p emily-engine --example zero_copy"
    )
    .read()?
    .trim()
    .parse()?;
    let mut rows = vec![
        Row::new(
            "submit of one add, against 1 µs",
            "ns",
            median("submit_add")?,
            1000.0,
            1.0,
        ),
        pair(
            "chain of 150 adds and a read, against mlx-rs",
            "chain_of_150",
            1.5,
        )?,
        pair(
            "eight workers at once, against mlx-rs threads",
            "eight_at_once",
            1.0 / 0.9,
        )?,
        Row::new(
            "f32 matmul 1024³, against NumPy",
            "ns",
            f32_matmul,
            numpy,
            1.0 / 0.9,
        ),
        Row::new(
            "f16 matmul 1024³, against f32",
            "ns",
            median("matmul_1024/f16")?,
            f32_beside,
            2.0,
        ),
        Row::new(
            "bf16 matmul 1024³, against f32",
            "ns",
            median("matmul_1024/bf16")?,
            f32_beside,
            2.0,
        ),
        Row::new(
            "ten products read after a pause, against at once",
            "ns",
            median("overlap/read_later")?,
            median("overlap/read_at_once")?,
            0.25,
        ),
        Row::new(
            "memory to read 64 MiB, against 1 MB",
            "bytes",
            grown,
            1e6,
            1.0,
        ),
    ];
    rows.push(Row::new(
        "s32 matmul 256³, against NumPy",
        "ns",
        integer_dot,
        numpy_integer_dot,
        3.0,
    ));
    for name in COMPOSITE {
        let figure = format!("{name}, against the plain MLX call");
        rows.push(pair(&figure, &format!("composite_{name}"), 3.0)?);
    }
    if args.beam {
        rows.extend(beam::rows(shell)?);
    }
    conclude(&rows, &rows, args.json.as_deref())
}

/// Prints the rows, writes all that was measured, and fails where a row misses its bar.
fn conclude(rows: &[Row], all: &impl Serialize, file: Option<&Path>) -> anyhow::Result<()> {
    print(rows);
    if let Some(file) = file {
        let json = serde_json::to_string_pretty(all)?;
        std::fs::write(file, json).with_context(|| file.display().to_string())?;
    }
    let missed = rows.iter().filter(|row| !row.ok).count();
    anyhow::ensure!(missed == 0, "{missed} figures miss their bar");
    Ok(())
}

/// The median time of NumPy's n³ matmul in nanoseconds, from a virtual environment.
fn numpy_matmul(shell: &Shell, dtype: &str, n: usize) -> anyhow::Result<f64> {
    const SCRIPT: &str = "
import statistics, sys, time, numpy
n = int(sys.argv[2])
a = numpy.ones((n, n), sys.argv[1])
def once():
    start = time.perf_counter_ns()
    a @ a
    return time.perf_counter_ns() - start
for _ in range(5): once()
print(statistics.median(once() for _ in range(50)))
";
    let venv = shell::target_dir().join("bench-venv");
    let python = venv.join("bin/python");
    if !python.exists() {
        shell::show(cmd!(shell, "python3 -m venv {venv}"))?;
        shell::show(cmd!(shell, "{python} -m pip install --quiet numpy"))?;
    }
    let n = n.to_string();
    Ok(cmd!(shell, "{python} -c {SCRIPT} {dtype} {n}")
        .quiet()
        .read()?
        .parse()?)
}
