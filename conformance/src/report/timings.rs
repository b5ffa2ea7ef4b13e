//! Where a run's time went: per layer, per op, and the slowest trials.
//!
//! Trials run on several threads, so the times of layers add up to more than the run's.

use std::collections::BTreeMap;

use super::grid::{lane, ran_on};
use crate::outcome::{Report, TrialResult};

/// The ops and trials that are named.
const NAMED: usize = 20;

/// Prints where the time went.
pub fn print_timings(report: &Report) {
    anstream::print!("{}", text(report));
}

/// Time and calls of some trials.
#[derive(Clone, Copy, Default)]
struct Sum {
    trials: u64,
    calls: u64,
    answering: f64,
    judging: f64,
}

impl Sum {
    fn add(&mut self, trial: &TrialResult) {
        self.trials += 1;
        self.calls += trial.calls.answered();
        self.answering += trial.millis / 1e3;
        self.judging += trial.judging_millis / 1e3;
    }

    fn per_call(&self) -> f64 {
        self.answering * 1e6 / self.calls.max(1) as f64
    }
}

fn text(report: &Report) -> String {
    let mut out = format!(
        "\n{:12} {:>8} {:>9} {:>9} {:>11} {:>9} {:>11}\n",
        "layer", "starts s", "trials", "calls", "answers s", "µs a call", "judging s"
    );
    for layer in report.layers.iter().filter(|layer| layer.ran) {
        let mut sum = Sum::default();
        let trials = report.trials.iter().filter(|trial| ran_on(trial, layer));
        trials.for_each(|trial| sum.add(trial));
        out += &format!(
            "{:12} {:8.2} {:9} {:9} {:11.2} {:9.0} {:11.2}\n",
            lane(layer),
            layer.start_millis / 1e3,
            sum.trials,
            sum.calls,
            sum.answering,
            sum.per_call(),
            sum.judging,
        );
    }
    let mut ops: BTreeMap<(&str, &str), Sum> = BTreeMap::new();
    for trial in &report.trials {
        let key = (trial.layer.as_str(), trial.op.as_str());
        ops.entry(key).or_default().add(trial);
    }
    let mut ops: Vec<_> = ops.into_iter().collect();
    ops.sort_by(|a, b| b.1.answering.total_cmp(&a.1.answering));
    out += "\nslowest ops: seconds, calls\n";
    for ((layer, op), sum) in ops.iter().take(NAMED) {
        let name = format!("{layer} {op}");
        out += &format!("{:8.2} {:9} {name}\n", sum.answering, sum.calls);
    }
    let mut trials: Vec<&TrialResult> = report.trials.iter().collect();
    trials.sort_by(|a, b| b.millis.total_cmp(&a.millis));
    out += "\nslowest trials: seconds, calls\n";
    for trial in trials.iter().take(NAMED) {
        out += &format!(
            "{:8.2} {:9} {}\n",
            trial.millis / 1e3,
            trial.calls.answered(),
            trial.name
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::outcome::Outcome;

    #[test]
    fn the_slowest_come_first() {
        let mut fast = sample::trial("native", "exp", "f32", Outcome::Passed);
        let mut slow = sample::trial("oracle", "add", "f16", Outcome::Passed);
        (fast.calls.judged, fast.millis) = (4, 2.0);
        (slow.calls.judged, slow.millis) = (1, 3000.0);
        let text = text(&sample::report_of([fast, slow]));
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        let native = lines.iter().find(|line| line.first() == Some(&"native"));
        assert_eq!(native.unwrap()[2..6], ["1", "4", "0.00", "500"], "{text}");
        let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text}"));
        assert!(place("oracle add") < place("native exp"), "{text}");
        let [slow, fast] = ["oracle::family::add", "native::family::exp"].map(place);
        assert!(slow < fast, "{text}");
    }
}
