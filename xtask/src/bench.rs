//! `cargo xtask bench`: the promised figures, each a ratio within one run.
//!
//! Criterion times, and leaves its medians as files; this reads them and judges.

mod beam;
mod figure;
mod kept;
mod models;
mod peers;
mod picture;

use std::path::PathBuf;

use anyhow::Context;
use xshell::{Shell, cmd};

use crate::shell;
use figure::{Row, Unit, brief, median, pair, turn_by_turn};
use kept::{Figures, Kind};

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
    /// Measure operations instead, beside NumPy, JAX, PyTorch and MLX; needs Nx, and fetches 4 GB once.
    #[arg(long, conflicts_with_all = ["beam", "models"])]
    peers: bool,
    /// Keep the figures in docs/bench, where the conformance report finds them.
    #[arg(long, conflicts_with = "model")]
    keep: bool,
    /// Measure this one only (repeatable).
    #[arg(long, value_name = "NAME", value_parser = models::MODELS, requires = "models")]
    model: Vec<String>,
    /// How often they take turns.
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: u32,
    /// Measure them on Torchx too, whose applications are in this folder, as _build/dev/lib.
    #[arg(long, value_name = "DIR", requires = "models")]
    torchx: Option<PathBuf>,
}

pub(crate) fn run(shell: &Shell, args: &Args) -> anyhow::Result<()> {
    let (kind, rows) = if args.models {
        let rows = models::rows(shell, &args.model, args.rounds, args.torchx.as_deref())?;
        (Kind::Models, rows)
    } else if args.peers {
        (Kind::Peers, peers::rows(shell, args.rounds)?)
    } else {
        (Kind::Promises, promises(shell, args.beam)?)
    };
    let figures = Figures::of(shell, kind, rows)?;
    figures.print();
    if args.keep {
        figures.keep(kind)?;
    }
    if let Some(file) = &args.json {
        let json = serde_json::to_string_pretty(&figures)?;
        std::fs::write(file, json).with_context(|| file.display().to_string())?;
    }
    let missed = figures.rows.iter().filter(|row| !row.is_ok()).count();
    anyhow::ensure!(missed == 0, "{missed} figures miss their bar");
    Ok(())
}

/// The promised figures of the engine and, where it is asked for, of the Elixir library.
fn promises(shell: &Shell, beam: bool) -> anyhow::Result<Vec<Row>> {
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
            Unit::Ns,
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
            Unit::Ns,
            f32_matmul,
            numpy,
            1.0 / 0.9,
        ),
        Row::new(
            "f16 matmul 1024³, against f32",
            Unit::Ns,
            median("matmul_1024/f16")?,
            f32_beside,
            2.0,
        ),
        Row::new(
            "bf16 matmul 1024³, against f32",
            Unit::Ns,
            median("matmul_1024/bf16")?,
            f32_beside,
            2.0,
        ),
        Row::new(
            "ten products read after a pause, against at once",
            Unit::Ns,
            median("overlap/read_later")?,
            median("overlap/read_at_once")?,
            0.25,
        ),
        Row::new(
            "memory to read 64 MiB, against 1 MB",
            Unit::Bytes,
            grown,
            1e6,
            1.0,
        ),
    ];
    rows.push(Row::new(
        "s32 matmul 256³, against NumPy",
        Unit::Ns,
        integer_dot,
        numpy_integer_dot,
        3.0,
    ));
    for name in COMPOSITE {
        let figure = format!("{name}, against the plain MLX call");
        rows.push(pair(&figure, &format!("composite_{name}"), 3.0)?);
    }
    if beam {
        rows.extend(beam::rows(shell)?);
    }
    Ok(rows)
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
