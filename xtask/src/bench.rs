//! `cargo xtask bench`: the promised figures, each a ratio within one run.
//!
//! Criterion times, and leaves its medians as files; this reads them and judges.

use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;
use xshell::{Shell, cmd};

use crate::{beam, shell};

/// What to measure, and where to.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also write the rows to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure the Elixir library too; needs Nx.
    #[arg(long)]
    beam: bool,
}

/// One figure against its bar.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// What is measured.
    pub(crate) name: String,
    /// The measured median, in `unit`.
    pub(crate) median: f64,
    /// `ns`, `bytes`, …
    pub(crate) unit: &'static str,
    /// What it is compared with, in the same unit and run.
    pub(crate) reference: f64,
    /// `median / reference`; smaller is better.
    pub(crate) ratio: f64,
    /// The largest ratio that is good enough.
    pub(crate) bar: f64,
    /// Whether it is.
    pub(crate) ok: bool,
}

impl Row {
    pub(crate) fn new(
        name: &str,
        unit: &'static str,
        median: f64,
        reference: f64,
        bar: f64,
    ) -> Row {
        let ratio = median / reference;
        Row {
            name: name.to_owned(),
            median,
            unit,
            reference,
            ratio,
            bar,
            ok: ratio <= bar,
        }
    }
}

pub(crate) fn run(shell: &Shell, args: &Args) -> anyhow::Result<()> {
    shell::step("criterion benches");
    shell::show(cmd!(
        shell,
        "cargo bench --quiet -p emily-engine --benches -- --noplot"
    ))?;
    let f32_beside = median("matmul_1024/f32")?;
    shell::step("f32 matmul, turn by turn with NumPy's");
    let (f32_matmul, numpy) = turn_by_turn(
        || brief(shell, "matmul", "matmul_1024/f32"),
        || numpy_matmul(shell),
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
            "memory to read 64 MiB, against 1 MB",
            "bytes",
            grown,
            1e6,
            1.0,
        ),
    ];
    if args.beam {
        rows.extend(beam::bench(shell)?);
    }
    print(&rows);
    if let Some(file) = &args.json {
        let json = serde_json::to_string_pretty(&rows)?;
        std::fs::write(file, json).with_context(|| file.display().to_string())?;
    }
    let missed = rows.iter().filter(|row| !row.ok).count();
    anyhow::ensure!(missed == 0, "{missed} figures miss their bar");
    Ok(())
}

/// Emily against mlx-rs within one criterion group.
fn pair(name: &str, group: &str, bar: f64) -> anyhow::Result<Row> {
    let emily = median(&format!("{group}/emily"))?;
    let mlx = median(&format!("{group}/mlx_rs"))?;
    Ok(Row::new(name, "ns", emily, mlx, bar))
}

/// The median that criterion left for this bench, in nanoseconds.
fn median(bench: &str) -> anyhow::Result<f64> {
    let file = shell::target_dir().join(format!("criterion/{bench}/new/estimates.json"));
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let estimates: serde_json::Value = serde_json::from_str(&text)?;
    estimates["median"]["point_estimate"]
        .as_f64()
        .with_context(|| format!("no median in {}", file.display()))
}

/// The median of two figures that take turns, five times each.
///
/// Two processes cannot be timed at once, and a machine that other tenants share drifts by a fifth
/// within a minute: taking turns puts both under the same weather.
pub(crate) fn turn_by_turn(
    mut ours: impl FnMut() -> anyhow::Result<f64>,
    mut theirs: impl FnMut() -> anyhow::Result<f64>,
) -> anyhow::Result<(f64, f64)> {
    const ROUNDS: usize = 5;
    let mut rounds = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        rounds[1].push(theirs()?);
        rounds[0].push(ours()?);
    }
    let [ours, theirs] = rounds.map(|mut figures| {
        figures.sort_by(f64::total_cmp);
        figures[ROUNDS / 2]
    });
    Ok((ours, theirs))
}

/// Runs one of the engine's benches briefly: its median in nanoseconds.
pub(crate) fn brief(shell: &Shell, file: &str, bench: &str) -> anyhow::Result<f64> {
    shell::show(cmd!(
        shell,
        "cargo bench --quiet -p emily-engine --bench {file} -- --noplot
         --warm-up-time 1 --measurement-time 2 {bench}"
    ))?;
    median(bench)
}

/// The median time of NumPy's f32 1024³ matmul in nanoseconds, from a virtual environment.
fn numpy_matmul(shell: &Shell) -> anyhow::Result<f64> {
    const SCRIPT: &str = "
import statistics, time, numpy
a = numpy.ones((1024, 1024), numpy.float32)
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
    Ok(cmd!(shell, "{python} -c {SCRIPT}")
        .quiet()
        .read()?
        .parse()?)
}

fn print(rows: &[Row]) {
    println!(
        "\n{:<48} {:>12} {:>12} {:>6} {:>6}",
        "figure", "median", "reference", "ratio", "bar"
    );
    for row in rows {
        let mark = if row.ok { "ok" } else { "MISSED" };
        println!(
            "{:<48} {:>12} {:>12} {:>6.2} {:>6.2} {mark}",
            row.name,
            figure(row.median, row.unit),
            figure(row.reference, row.unit),
            row.ratio,
            row.bar
        );
    }
}

/// A figure in a unit that reads well.
fn figure(value: f64, unit: &str) -> String {
    match unit {
        "ns" if value >= 1e6 => format!("{:.2} ms", value / 1e6),
        "ns" if value >= 1e3 => format!("{:.2} µs", value / 1e3),
        _ => format!("{value:.0} {unit}"),
    }
}
