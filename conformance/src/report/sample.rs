//! Reports for the tests of this module.

use crate::outcome::{Calls, LayerState, Outcome, Report, Summary, TrialResult};

/// A trial with ten values, one of four units used.
pub(super) fn trial(layer: &str, op: &str, dtype: &str, outcome: Outcome) -> TrialResult {
    let name = format!("{layer}::family::{op}::case::{dtype}");
    TrialResult {
        name,
        layer: layer.to_owned(),
        op: op.to_owned(),
        case: "case".to_owned(),
        dtype: dtype.to_owned(),
        device: "cpu".to_owned(),
        outcome,
        checked: 10,
        worst: Some(1.0),
        allowed: Some("ulp(4)".to_owned()),
        allowed_worst: Some(4.0),
        unit: "ulp".to_owned(),
        calls: Calls {
            judged: 1,
            ..Calls::default()
        },
        refusals: 0,
        failed: u64::from(outcome.is_red()),
        millis: 0.25,
        judging_millis: 0.125,
        message: outcome.is_red().then(|| "1 of 10 elements".to_owned()),
    }
}

/// A layer that ran on the CPU.
pub(super) fn layer(name: &str) -> LayerState {
    LayerState {
        layer: name.to_owned(),
        device: "cpu".to_owned(),
        ran: true,
        start_millis: 0.5,
        reason: None,
        remedy: None,
    }
}

/// A report of these trials, on the layers oracle and native.
pub(super) fn report_of(trials: impl IntoIterator<Item = TrialResult>) -> Report {
    let mut report = Report {
        versions: [("mlx".to_owned(), "0.32.2".to_owned())].into(),
        layers: vec![layer("oracle"), layer("native")],
        summary: Summary {
            seconds: 1.5,
            ..Summary::default()
        },
        trials: trials.into_iter().collect(),
        unasked: Vec::new(),
    };
    for trial in &report.trials {
        report.summary.trials += 1;
        report.summary.checked += trial.checked;
        report.summary.calls += trial.calls;
        let counts = report.summary.layers.entry(trial.layer.clone());
        counts.or_default().add(trial.outcome);
    }
    report
}

/// Every outcome that a layer of Emily has, on every dtype, and a layer that did not run.
pub(super) fn report() -> Report {
    use Outcome::*;
    let outcomes = [Passed, Failed, Diverges, Stale, Changed, Blocked, NotRun];
    let mut trials = Vec::new();
    for (i, dtype) in emily_spec::DType::ALL.into_iter().enumerate() {
        trials.push(trial("oracle", "add", dtype.name(), Passed));
        trials.push(trial(
            "native",
            "add",
            dtype.name(),
            outcomes[i % outcomes.len()],
        ));
        trials.push(trial("native", "concatenate", dtype.name(), Passed));
    }
    let mut report = report_of(trials);
    report.layers.push(LayerState {
        ran: false,
        start_millis: 0.5,
        reason: Some("no Nx".to_owned()),
        remedy: Some("cargo xtask doctor".to_owned()),
        ..layer("backend")
    });
    let absent = report.summary.layers.entry("backend".to_owned());
    absent.or_default().not_run = 120;
    report
}
