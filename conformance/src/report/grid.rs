//! A layer's trials as a grid of op × dtype, and the totals beside it.

use std::collections::{BTreeMap, BTreeSet};

use emily_spec::{DType, ROWS};

use super::face::{WORST_FIRST, rank};
use crate::outcome::{Calls, LayerState, Outcome, Report, TrialResult, Unasked};

/// The name of a layer on a device, as the report's summary has it: `native`, `native@gpu`.
pub(super) fn lane(layer: &LayerState) -> String {
    match layer.device.as_str() {
        "cpu" => layer.layer.clone(),
        device => format!("{}@{device}", layer.layer),
    }
}

/// True for a trial of this layer on this device.
pub(super) fn ran_on(trial: &TrialResult, layer: &LayerState) -> bool {
    trial.layer == layer.layer && trial.device == layer.device
}

/// How many trials a layer would have had that could not run; 0 for one that ran.
pub(super) fn absent_trials(report: &Report, layer: &LayerState) -> u64 {
    let counts = report.summary.layers.get(&lane(layer));
    counts
        .filter(|_| !layer.ran)
        .map_or(0, |counts| counts.not_run)
}

/// The calls in cases that the layer has no trial of.
pub(super) fn unasked(report: &Report, layer: &LayerState) -> u64 {
    let own = |unasked: &&Unasked| unasked.layer == layer.layer && unasked.device == layer.device;
    report
        .unasked
        .iter()
        .filter(own)
        .map(|unasked| unasked.calls)
        .sum()
}

/// The ops of a set of trials: in the order of the spec's rows, unknown ones last, by name.
pub(super) fn ops(trials: &[TrialResult]) -> Vec<&str> {
    in_order(
        trials.iter().map(|trial| trial.op.as_str()),
        ROWS.iter().map(|row| row.name),
    )
}

/// The dtypes of a set of trials: in the spec's order, others last, by name.
pub(super) fn dtypes(trials: &[TrialResult]) -> Vec<&str> {
    in_order(
        trials.iter().map(|trial| trial.dtype.as_str()),
        DType::ALL.into_iter().map(DType::name),
    )
}

/// The distinct values: those of `order` in that order, then the rest sorted.
pub(super) fn in_order<'a>(
    values: impl Iterator<Item = &'a str>,
    order: impl Iterator<Item = &'static str>,
) -> Vec<&'a str> {
    let mut rest: BTreeSet<&str> = values.collect();
    let mut found: Vec<&str> = order.filter_map(|name| rest.take(name)).collect();
    found.extend(rest);
    found
}

/// The worst outcome per (op, dtype) of one layer on one device.
pub(super) fn worst_cells<'a>(
    report: &'a Report,
    layer: &LayerState,
) -> BTreeMap<(&'a str, &'a str), Outcome> {
    let mut cells = BTreeMap::new();
    for trial in report.trials.iter().filter(|trial| ran_on(trial, layer)) {
        cells
            .entry((trial.op.as_str(), trial.dtype.as_str()))
            .and_modify(|worst| {
                if rank(trial.outcome) < rank(*worst) {
                    *worst = trial.outcome;
                }
            })
            .or_insert(trial.outcome);
    }
    cells
}

/// The sums over some trials.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// How many trials.
    pub(super) trials: u64,
    /// How many of them per outcome, in the order of [`WORST_FIRST`].
    pub(super) outcomes: [u64; WORST_FIRST.len()],
    /// How many values were compared.
    pub(super) checked: u64,
    /// How many calls, and how they were judged.
    pub(super) calls: Calls,
}

impl Tally {
    /// Sums over trials.
    pub(super) fn of<'a>(trials: impl Iterator<Item = &'a TrialResult>) -> Tally {
        trials.fold(Tally::default(), |mut tally, trial| {
            tally.trials += 1;
            tally.outcomes[rank(trial.outcome)] += 1;
            tally.checked += trial.checked;
            tally.calls += trial.calls;
            tally
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_cell_shows_its_worst_trial() {
        use Outcome::*;
        for (outcomes, want) in [
            (vec![Passed, Passed], Passed),
            (vec![Passed, Diverges], Diverges),
            (vec![NotRun, Passed], NotRun),
            (vec![Diverges, NotRun], NotRun),
            (vec![Blocked, NotRun, Passed], Blocked),
            (vec![Stale, Blocked], Stale),
            (vec![Stale, Changed], Changed),
            (vec![Changed, Failed, Passed], Failed),
        ] {
            let report = sample::of(
                outcomes
                    .iter()
                    .map(|outcome| sample::trial("native", "add", "f32", *outcome)),
            );
            let cells = worst_cells(&report, &sample::layer("native"));
            assert_eq!(cells.len(), 1);
            assert_eq!(cells[&("add", "f32")], want, "{outcomes:?}");
        }
    }

    #[test]
    fn a_cell_belongs_to_one_layer() {
        let report = sample::of([
            sample::trial("oracle", "add", "f32", Outcome::Failed),
            sample::trial("native", "add", "f32", Outcome::Passed),
        ]);
        assert_eq!(
            worst_cells(&report, &sample::layer("native"))[&("add", "f32")],
            Outcome::Passed
        );
    }

    #[test]
    fn ops_and_dtypes_come_in_the_spec_s_order() {
        let report = sample::of([
            sample::trial("native", "zeta", "f32", Outcome::Passed),
            sample::trial("native", "sum", "mixed", Outcome::Passed),
            sample::trial("native", "add", "u8", Outcome::Passed),
        ]);
        assert_eq!(ops(&report.trials), ["add", "sum", "zeta"]);
        assert_eq!(dtypes(&report.trials), ["u8", "f32", "mixed"]);
    }
}
