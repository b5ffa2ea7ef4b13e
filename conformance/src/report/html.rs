//! `report.html`.
//!
//! The page's script reads the trials from an embedded JSON document. Per column that repeats
//! itself, the document holds the distinct values once and an index per trial: a run has tens of
//! thousands of trials, and the page must open on a phone.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Serialize;

use super::face::{Face, REFUSAL, WORST_FIRST, face, rank};
use super::grid::{absent_trials, dtypes, lane, ops, ran_on, unasked};
use super::page::Page;
use crate::outcome::Report;

const PAGE: Page<'_> = Page {
    about: "conformance",
    drawn: "matrix",
    heart: "trials",
    body: include_str!("page.html"),
    style: "",
    script: include_str!("page.js"),
};

/// The whole page, with the figures of speed that are kept.
pub(super) fn page(report: &Report, speed: &[serde_json::Value]) -> anyhow::Result<String> {
    let page = PAGE.with(&Data::of(report, speed));
    page.context("cannot write the report's data")
}

/// What the page's script reads.
#[derive(Serialize)]
struct Data<'a> {
    versions: &'a BTreeMap<String, String>,
    seconds: f64,
    layers: Vec<Lane<'a>>,
    /// Every outcome, worst first.
    outcomes: Vec<OutcomeFace>,
    /// How a cell looks that passed, of trials that are all refusals.
    refusal: OutcomeFace,
    ops: Vec<&'a str>,
    dtypes: Vec<&'a str>,
    allowed: Vec<&'a str>,
    units: Vec<&'a str>,
    trials: Columns<'a>,
    /// As `cargo xtask bench --keep` writes them.
    speed: &'a [serde_json::Value],
}

/// A layer on a device.
#[derive(Serialize)]
struct Lane<'a> {
    name: String,
    ran: bool,
    reason: Option<&'a str>,
    remedy: Option<&'a str>,
    /// The trials it would have had.
    not_run: u64,
    /// The calls in cases that it has no trial of.
    unasked: u64,
}

#[derive(Serialize)]
struct OutcomeFace {
    key: &'static str,
    letter: char,
    label: &'static str,
    means: &'static str,
    red: bool,
}

impl OutcomeFace {
    fn new(face: Face, red: bool) -> OutcomeFace {
        OutcomeFace {
            key: face.key,
            letter: face.letter,
            label: face.label,
            means: face.means,
            red,
        }
    }
}

/// One array per property, one place in each per trial; worst outcomes first, then in the
/// report's order. Where the value is an index, it is into the list of that name in [`Data`].
#[derive(Default, Serialize)]
struct Columns<'a> {
    name: Vec<&'a str>,
    layer: Vec<Option<usize>>,
    op: Vec<Option<usize>>,
    dtype: Vec<Option<usize>>,
    outcome: Vec<usize>,
    /// Whether all its calls had to be refused.
    refusal: Vec<bool>,
    checked: Vec<u64>,
    by_type: Vec<u64>,
    left_out: Vec<u64>,
    worst: Vec<Option<f64>>,
    allowed: Vec<Option<usize>>,
    allowed_worst: Vec<Option<f64>>,
    unit: Vec<Option<usize>>,
    millis: Vec<f64>,
    /// By the trial's place, for those that have one.
    message: BTreeMap<usize, &'a str>,
}

impl<'a> Data<'a> {
    fn of(report: &'a Report, speed: &'a [serde_json::Value]) -> Data<'a> {
        let mut sorted: Vec<_> = report.trials.iter().collect();
        sorted.sort_by_key(|trial| rank(trial.outcome));

        let ops = ops(&report.trials);
        let dtypes = dtypes(&report.trials);
        let units = distinct(sorted.iter().map(|trial| trial.unit.as_str()));
        let allowed = distinct(sorted.iter().filter_map(|trial| trial.allowed.as_deref()));

        let mut trials = Columns::default();
        for (i, trial) in sorted.into_iter().enumerate() {
            trials.name.push(&trial.name);
            trials
                .layer
                .push(report.layers.iter().position(|layer| ran_on(trial, layer)));
            trials.op.push(place(&ops, &trial.op));
            trials.dtype.push(place(&dtypes, &trial.dtype));
            trials.outcome.push(rank(trial.outcome));
            trials.refusal.push(trial.is_refusal());
            trials.checked.push(trial.checked);
            trials.by_type.push(trial.calls.by_type);
            trials.left_out.push(trial.calls.left_out);
            trials.worst.push(trial.worst);
            trials.allowed.push(
                trial
                    .allowed
                    .as_deref()
                    .and_then(|text| place(&allowed, text)),
            );
            trials.allowed_worst.push(trial.allowed_worst);
            trials.unit.push(place(&units, &trial.unit));
            trials.millis.push((trial.millis * 1000.0).round() / 1000.0);
            if let Some(message) = &trial.message {
                trials.message.insert(i, message);
            }
        }
        Data {
            versions: &report.versions,
            seconds: report.summary.seconds,
            layers: report
                .layers
                .iter()
                .map(|layer| Lane {
                    name: lane(layer),
                    ran: layer.ran,
                    reason: layer.reason.as_deref(),
                    remedy: layer.remedy.as_deref(),
                    not_run: absent_trials(report, layer),
                    unasked: unasked(report, layer),
                })
                .collect(),
            outcomes: WORST_FIRST
                .into_iter()
                .map(|outcome| OutcomeFace::new(face(outcome), outcome.is_red()))
                .collect(),
            refusal: OutcomeFace::new(REFUSAL, false),
            ops,
            dtypes,
            allowed,
            units,
            trials,
            speed,
        }
    }
}

/// The distinct values, in order.
fn distinct<'a>(values: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let set: std::collections::BTreeSet<_> = values.collect();
    set.into_iter().collect()
}

fn place(list: &[&str], value: &str) -> Option<usize> {
    list.iter().position(|other| *other == value)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::outcome::Outcome;

    /// The embedded document, as a browser would cut it out.
    fn data_of(page: &str) -> serde_json::Value {
        let open = r#"<script type="application/json" id="data">"#;
        let (_, rest) = page.split_once(open).unwrap();
        let (json, _) = rest.split_once("</script>").unwrap();
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_message_cannot_leave_its_script_element() {
        let hostile = "</script><script>alert(1)</script><!-- {data} /*{script}*/";
        let mut report =
            sample::report_of([sample::trial("native", "add", "f32", Outcome::Failed)]);
        report.trials[0].message = Some(hostile.to_owned());
        let page = page(&report, &[]).unwrap();
        assert!(!page.contains("<script>alert"));
        assert_eq!(data_of(&page)["trials"]["message"]["0"], hostile);
    }

    #[test]
    fn every_trial_is_embedded_worst_first() {
        let report = sample::report();
        let data = data_of(&page(&report, &[]).unwrap());
        let names = data["trials"]["name"].as_array().unwrap();
        assert_eq!(names.len(), report.trials.len());
        let outcomes: Vec<u64> = data["trials"]["outcome"]
            .as_array()
            .unwrap()
            .iter()
            .map(|rank| rank.as_u64().unwrap())
            .collect();
        assert!(outcomes.is_sorted(), "{outcomes:?}");
        assert_eq!(data["outcomes"][0]["key"], "failed");
    }

    #[test]
    fn nothing_outside_the_file_is_needed() {
        let page = page(&sample::report(), &[]).unwrap();
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains(r#"name="viewport""#));
    }
}
