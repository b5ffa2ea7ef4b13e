//! A layer's trials as a grid of op × dtype, and the totals beside it.

use std::collections::{BTreeMap, BTreeSet};

use emily_spec::{DType, ROWS};

use super::face::{Face, REFUSAL, WORST_FIRST, face, rank};
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

/// What is shown of an op's trials at a dtype.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    /// The worst outcome of them.
    pub(super) worst: Outcome,
    /// Whether every call in them had to be refused.
    pub(super) is_refusal: bool,
}

impl Cell {
    /// How it looks.
    pub(super) fn face(self) -> Face {
        match self {
            Cell {
                worst: Outcome::Passed,
                is_refusal: true,
            } => REFUSAL,
            Cell { worst, .. } => face(worst),
        }
    }
}

/// The cells of one layer on one device, by op and dtype.
pub(super) fn cells<'a>(
    report: &'a Report,
    layer: &LayerState,
) -> BTreeMap<(&'a str, &'a str), Cell> {
    let mut cells: BTreeMap<_, Cell> = BTreeMap::new();
    for trial in report.trials.iter().filter(|trial| ran_on(trial, layer)) {
        let own = Cell {
            worst: trial.outcome,
            is_refusal: trial.is_refusal(),
        };
        cells
            .entry((trial.op.as_str(), trial.dtype.as_str()))
            .and_modify(|cell| {
                if rank(own.worst) < rank(cell.worst) {
                    cell.worst = own.worst;
                }
                cell.is_refusal &= own.is_refusal;
            })
            .or_insert(own);
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
            let report = sample::report_of(
                outcomes
                    .iter()
                    .map(|outcome| sample::trial("native", "add", "f32", *outcome)),
            );
            let cells = cells(&report, &sample::layer("native"));
            assert_eq!(cells.len(), 1);
            assert_eq!(cells[&("add", "f32")].worst, want, "{outcomes:?}");
        }
    }

    #[test]
    fn a_cell_belongs_to_one_layer() {
        let report = sample::report_of([
            sample::trial("oracle", "add", "f32", Outcome::Failed),
            sample::trial("native", "add", "f32", Outcome::Passed),
        ]);
        assert_eq!(
            cells(&report, &sample::layer("native"))[&("add", "f32")].worst,
            Outcome::Passed
        );
    }

    #[test]
    fn a_cell_without_an_answer_looks_like_a_refusal() {
        let refusal = || TrialResult {
            refusals: 1,
            ..sample::trial("native", "round", "u8", Outcome::Passed)
        };
        let answer = sample::trial("native", "round", "u8", Outcome::Passed);
        let failure = sample::trial("native", "round", "u8", Outcome::Failed);
        let letter = |trials: Vec<TrialResult>| {
            let report = sample::report_of(trials);
            cells(&report, &sample::layer("native"))[&("round", "u8")]
                .face()
                .letter
        };
        assert_eq!(letter(vec![refusal(), refusal()]), 'e');
        assert_eq!(letter(vec![refusal(), answer]), '.');
        assert_eq!(letter(vec![refusal(), failure]), 'F');
    }

    #[test]
    fn ops_and_dtypes_come_in_the_spec_s_order() {
        let report = sample::report_of([
            sample::trial("native", "zeta", "f32", Outcome::Passed),
            sample::trial("native", "sum", "mixed", Outcome::Passed),
            sample::trial("native", "add", "u8", Outcome::Passed),
        ]);
        assert_eq!(ops(&report.trials), ["add", "sum", "zeta"]);
        assert_eq!(dtypes(&report.trials), ["u8", "f32", "mixed"]);
    }
}
