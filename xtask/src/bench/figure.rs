//! A figure against its bar: how it is measured, and how it is shown.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use xshell::{Shell, cmd};

use crate::shell;

/// One figure, with what it is compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    /// What is measured.
    pub(super) name: String,
    /// `ns`, `bytes`, or tokens a call, which are shown by the second.
    pub(super) unit: Unit,
    /// The medians, by what was measured: Emily's in some ways, others'.
    pub(super) by: BTreeMap<String, f64>,
    /// Emily's best over the best of those that the bar is about; smaller is better.
    pub(super) ratio: f64,
    /// The largest ratio that is good enough, where one is promised.
    pub(super) bar: Option<f64>,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    /// Nanoseconds.
    Ns,
    /// Bytes.
    Bytes,
    /// Nanoseconds of a call that makes so many tokens.
    Tokens(u32),
}

impl Row {
    /// Emily's figure beside one other.
    pub(super) fn new(name: &str, unit: Unit, median: f64, reference: f64, bar: f64) -> Row {
        let by = [("emily", median), ("reference", reference)];
        Row {
            name: name.to_owned(),
            unit,
            by: by.map(|(who, value)| (who.to_owned(), value)).into(),
            ratio: median / reference,
            bar: Some(bar),
        }
    }

    /// Whether it keeps its bar.
    pub(super) fn is_ok(&self) -> bool {
        self.bar.is_none_or(|bar| self.ratio <= bar)
    }

    /// The figure of one of those measured, as it reads well; a dash where it was not.
    pub(super) fn text(&self, who: &str) -> String {
        let Some(&value) = self.by.get(who) else {
            return "–".to_owned();
        };
        match self.unit {
            Unit::Tokens(tokens) => format!("{:.1} /s", f64::from(tokens) * 1e9 / value),
            Unit::Bytes => format!("{value:.0} bytes"),
            Unit::Ns if value >= 1e6 => format!("{:.2} ms", value / 1e6),
            Unit::Ns if value >= 1e3 => format!("{:.2} µs", value / 1e3),
            Unit::Ns => format!("{value:.0} ns"),
        }
    }

    /// The bar, and whether it is kept: `1.50 ok`.
    pub(super) fn verdict(&self) -> String {
        match self.bar {
            Some(bar) => format!("{bar:.2} {}", if self.is_ok() { "ok" } else { "MISSED" }),
            None => String::new(),
        }
    }
}

/// Emily against mlx-rs within one criterion group.
pub(super) fn pair(name: &str, group: &str, bar: f64) -> anyhow::Result<Row> {
    let emily = median(&format!("{group}/emily"))?;
    let mlx = median(&format!("{group}/mlx_rs"))?;
    Ok(Row::new(name, Unit::Ns, emily, mlx, bar))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_a_time_or_tokens_a_second_or_a_dash() {
        let mut row = Row::new("m", Unit::Ns, 2.5e9, 4e9, 1.0);
        assert_eq!(row.text("emily"), "2500.00 ms");
        assert_eq!(row.text("jax"), "–");
        row.unit = Unit::Tokens(64);
        assert_eq!(row.text("reference"), "16.0 /s");
    }

    #[test]
    fn a_bar_is_kept_up_to_itself() {
        assert_eq!(Row::new("m", Unit::Ns, 1.0, 2.0, 0.5).verdict(), "0.50 ok");
        let missed = Row::new("m", Unit::Ns, 1.1, 2.0, 0.5);
        assert_eq!(missed.verdict(), "0.50 MISSED");
        let row = Row {
            bar: None,
            ..missed
        };
        assert!(row.is_ok() && row.verdict().is_empty());
    }

    #[test]
    fn a_row_reads_back_as_it_was_written() {
        let row = Row::new("m", Unit::Tokens(64), 1.0, 2.0, 0.5);
        let text = serde_json::to_string(&row).unwrap();
        assert_eq!(serde_json::from_str::<Row>(&text).unwrap(), row);
    }
}
