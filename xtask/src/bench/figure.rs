//! A figure against its bar: how it is measured, and how it is shown.

use anyhow::Context;
use serde::Serialize;
use xshell::{Shell, cmd};

use crate::shell;

/// One figure against its bar.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// What is measured.
    pub(super) name: String,
    /// The measured median, in `unit`.
    pub(super) median: f64,
    /// `ns`, `bytes`, …
    pub(super) unit: &'static str,
    /// What it is compared with, in the same unit and run.
    pub(super) reference: f64,
    /// `median / reference`; smaller is better.
    pub(super) ratio: f64,
    /// The largest ratio that is good enough.
    pub(super) bar: f64,
    /// Whether it is.
    pub(super) ok: bool,
}

impl Row {
    pub(super) fn new(
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

/// Emily against mlx-rs within one criterion group.
pub(super) fn pair(name: &str, group: &str, bar: f64) -> anyhow::Result<Row> {
    let emily = median(&format!("{group}/emily"))?;
    let mlx = median(&format!("{group}/mlx_rs"))?;
    Ok(Row::new(name, "ns", emily, mlx, bar))
}

/// The median that criterion left for this bench, in nanoseconds.
pub(super) fn median(bench: &str) -> anyhow::Result<f64> {
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
pub(super) fn turn_by_turn(
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
pub(super) fn brief(shell: &Shell, file: &str, bench: &str) -> anyhow::Result<f64> {
    shell::show(cmd!(
        shell,
        "cargo bench --quiet -p emily-engine --bench {file} -- --noplot
         --warm-up-time 1 --measurement-time 2 {bench}"
    ))?;
    median(bench)
}

/// The table of all figures.
pub(super) fn print(rows: &[Row]) {
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
