//! Whether a record is green.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::budget::{Budget, Budgets, Limit};
use crate::fit::{Fit, fit};
use crate::harness::Harness;
use crate::metric::Metric;
use crate::record::{Layer, Record};

/// What came of a harness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Something is wrong.
    Red,
    /// Something could not be judged, and nothing is known to be wrong.
    Short,
    /// All is well.
    Green,
}

impl Outcome {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Red => "red",
            Outcome::Short => "too short",
            Outcome::Green => "green",
        }
    }
}

/// A harness's run, judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Which harness.
    pub harness: Harness,
    /// Where it ran.
    pub layer: Layer,
    /// The device that computed.
    pub device: String,
    /// The worst of what follows.
    pub outcome: Outcome,
    /// What makes it red, or leaves something unjudged, a sentence each.
    pub reasons: Vec<String>,
    /// Iterations.
    pub iterations: u64,
    /// Seconds.
    pub seconds: f64,
    /// Requests, and how many of them were answered.
    pub asked: u64,
    /// See `asked`.
    pub answered: u64,
    /// What was measured.
    pub curves: Vec<Curve>,
}

/// A metric over a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// What was measured.
    pub metric: Metric,
    /// Red or green by itself.
    pub outcome: Outcome,
    /// Iterations and values.
    pub points: Vec<(f64, f64)>,
    /// The line through them; nothing where there are too few.
    pub fit: Option<Fit>,
    /// The largest value.
    pub most: f64,
    /// What was left over at the end; nothing where that was not measured.
    pub left: Option<f64>,
    /// What it may do.
    pub limit: Limit,
}

/// Judges a record.
///
/// # Errors
/// When the record is of no harness that there is.
pub fn judge(record: &Record, budgets: &Budgets) -> anyhow::Result<Run> {
    let begin = &record.begin;
    let harness: Harness = begin.harness.parse()?;
    let budget = budgets.budget_of(harness, begin.layer);
    let mut reasons: Vec<String> = record
        .faults
        .iter()
        .map(|fault| fault.text.clone())
        .collect();
    let mut outcome = match reasons.is_empty() {
        true => Outcome::Green,
        false => Outcome::Red,
    };
    match &record.end {
        Some(end) if end.answered != end.asked => {
            outcome = Outcome::Red;
            let (asked, answered) = (end.asked, end.answered);
            reasons.push(format!("of {asked} requests {answered} were answered"));
        }
        Some(_) => {}
        None => {
            outcome = Outcome::Red;
            reasons.push("the process ended before the run did".to_owned());
        }
    }
    let curves = curves(record, &budget, &mut reasons);
    let worst = curves.iter().map(|curve| curve.outcome).min();
    let last = record.samples.last();
    let end = record.end.as_ref();
    Ok(Run {
        harness,
        layer: begin.layer,
        device: begin.device.clone(),
        outcome: outcome.min(worst.unwrap_or(Outcome::Short)),
        reasons,
        iterations: end.map_or(last.map_or(0, |s| s.iteration), |end| end.iterations),
        seconds: end.map_or(last.map_or(0.0, |s| s.seconds), |end| end.seconds),
        asked: end.map_or(0, |end| end.asked),
        answered: end.map_or(0, |end| end.answered),
        curves,
    })
}

/// Every metric that was measured, judged.
fn curves(record: &Record, budget: &Budget, reasons: &mut Vec<String>) -> Vec<Curve> {
    let measured = record
        .samples
        .iter()
        .flat_map(|sample| sample.values.keys());
    let metrics: BTreeSet<Metric> = measured.copied().collect();
    let mut curves = Vec::new();
    for metric in metrics {
        let points = record.series(metric);
        let limit = budget.get(&metric).copied().unwrap_or_default();
        let mut curve = Curve {
            metric,
            outcome: Outcome::Green,
            fit: fit(&points),
            most: points.iter().map(|point| point.1).fold(f64::MIN, f64::max),
            left: record
                .end
                .as_ref()
                .and_then(|end| end.left.get(&metric).copied()),
            points,
            limit,
        };
        let told = reasons.len();
        reasons.extend(curve.excesses());
        if reasons.len() > told {
            curve.outcome = Outcome::Red;
        } else if curve.fit.is_none() && (limit.drift.is_some() || limit.level.is_some()) {
            curve.outcome = Outcome::Short;
            let count = curve.points.len();
            reasons.push(format!(
                "{}: {count} samples are too few for a slope",
                metric.label()
            ));
        }
        curves.push(curve);
    }
    curves
}

impl Curve {
    /// A sentence for each limit that it is over.
    fn excesses(&self) -> Vec<String> {
        let Limit {
            drift,
            slack,
            level,
            left,
            most,
        } = self.limit;
        let unit = self.metric.unit();
        let name = self.metric.label();
        let show = |value| unit.show(value);
        let mut told = Vec::new();
        if let (Some(drift), Some(fit)) = (drift, &self.fit) {
            // Over how many thousand iterations.
            let run = self.points.last().map_or(0.0, |point| point.0 / 1000.0);
            let allowed = drift + slack.unwrap_or_default() / run;
            if 1000.0 * fit.low > allowed {
                told.push(format!(
                    "{name}: grows by {} in a thousand iterations (99 %: {} to {}), {} are allowed",
                    show(1000.0 * fit.slope),
                    show(1000.0 * fit.low),
                    show(1000.0 * fit.high),
                    show(allowed),
                ));
            }
        }
        if let (Some(allowed), Some(fit)) = (level, &self.fit)
            && fit.level > allowed
        {
            let (level, allowed) = (show(fit.level), show(allowed));
            told.push(format!(
                "{name}: {level} in the mean, {allowed} are allowed"
            ));
        }
        if let (Some(allowed), Some(left)) = (left, self.left)
            && left > allowed
        {
            let (left, allowed) = (show(left), show(allowed));
            told.push(format!(
                "{name}: {left} are left at the end, {allowed} are allowed"
            ));
        }
        if let Some(allowed) = most
            && self.most > allowed
        {
            let (most, allowed) = (show(self.most), show(allowed));
            told.push(format!("{name}: {most} at most, {allowed} are allowed"));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Begin, End, Fault, Sample};

    /// A green record of tensor memory of so many bytes.
    fn record(active: impl Fn(u64) -> f64) -> Record {
        let sample = |i: u64| Sample {
            iteration: 100 * i,
            seconds: i as f64,
            done: i as f64 / 100.0,
            values: [(Metric::Active, active(100 * i))].into(),
        };
        Record {
            begin: Begin {
                harness: "memory".to_owned(),
                layer: Layer::Engine,
                device: "cpu".to_owned(),
            },
            samples: (0..100).map(sample).collect(),
            faults: Vec::new(),
            end: Some(End {
                iterations: 10_000,
                seconds: 100.0,
                asked: 10_000,
                answered: 10_000,
                left: [(Metric::Active, 0.0)].into(),
            }),
        }
    }

    fn judged(record: &Record) -> Run {
        judge(record, &Budgets::load().unwrap()).unwrap()
    }

    #[test]
    fn memory_that_stays_is_green() {
        let run = judged(&record(|_| 5e6));
        assert_eq!((run.outcome, &run.reasons[..]), (Outcome::Green, &[][..]));
    }

    #[test]
    fn one_tensor_in_a_thousand_iterations_is_red() {
        let run = judged(&record(|i| 5e6 + 8192.0 * (i / 1000) as f64));
        assert_eq!(run.outcome, Outcome::Red);
        assert!(
            run.reasons[0].contains("in a thousand iterations"),
            "{:?}",
            run.reasons
        );
    }

    #[test]
    fn what_is_left_or_lost_or_ends_early_is_red() {
        let mut left = record(|_| 5e6);
        left.end.as_mut().unwrap().left.insert(Metric::Active, 4.0);
        let mut lost = record(|_| 5e6);
        lost.end.as_mut().unwrap().answered -= 1;
        let mut fault = record(|_| 5e6);
        fault.faults.push(Fault {
            text: "other bits".to_owned(),
        });
        let mut ended = record(|_| 5e6);
        ended.end = None;
        for (record, want) in [
            (left, "4 B are left"),
            (lost, "of 10000 requests 9999"),
            (fault, "other bits"),
            (ended, "ended before"),
        ] {
            let run = judged(&record);
            assert_eq!(run.outcome, Outcome::Red);
            assert!(run.reasons[0].contains(want), "{:?}", run.reasons);
        }
    }

    #[test]
    fn a_run_that_is_too_short_says_so() {
        let mut short = record(|_| 5e6);
        short.samples.truncate(10);
        let run = judged(&short);
        assert_eq!(run.outcome, Outcome::Short);
        assert!(run.reasons[0].contains("too few"), "{:?}", run.reasons);
    }
}
