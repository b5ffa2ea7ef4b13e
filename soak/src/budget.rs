//! How much of what a harness may use more of: `soak/budgets.toml`, which explains itself.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::harness::Harness;
use crate::metric::Metric;
use crate::record::Layer;

/// Limits by metric; one without any is shown and not judged.
pub type Budget = BTreeMap<Metric, Limit>;

/// What one metric may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// The largest slope for a thousand iterations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<f64>,
    /// What the slope may come to over the whole run besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slack: Option<f64>,
    /// The largest mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
    /// The most that may be left over at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<f64>,
    /// The largest value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most: Option<f64>,
}

/// The file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budgets {
    every: Budget,
    #[serde(default)]
    engine: BTreeMap<Harness, Budget>,
    #[serde(default)]
    beam: BTreeMap<Harness, Budget>,
}

impl Budgets {
    /// Those of this repository.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn load() -> anyhow::Result<Budgets> {
        Budgets::parse(include_str!("../budgets.toml")).context("soak/budgets.toml")
    }

    fn parse(text: &str) -> anyhow::Result<Budgets> {
        Ok(toml::from_str(text)?)
    }

    /// A harness's budget: its own limit of a metric takes the place of that for every harness.
    pub fn budget_of(&self, harness: Harness, layer: Layer) -> Budget {
        let own = match layer {
            Layer::Engine => &self.engine,
            Layer::Beam => &self.beam,
        };
        let mut budget = self.every.clone();
        budget.extend(own.get(&harness).into_iter().flatten());
        budget
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_and_bounds_what_leaks() {
        let budgets = Budgets::load().unwrap();
        for harness in Harness::all() {
            for layer in [Layer::Engine, Layer::Beam] {
                let budget = budgets.budget_of(harness, layer);
                for metric in [Metric::Active, Metric::Threads, Metric::Handles] {
                    assert!(budget[&metric].drift.is_some(), "{harness} {metric}");
                    assert!(budget[&metric].left.is_some(), "{harness} {metric}");
                }
            }
        }
    }

    #[test]
    fn a_harness_has_its_own_limits_and_all_others() {
        let text = "[every]\nactive = { drift = 1, left = 0 }\nthreads = { left = 0 }\n\
                    [engine.training]\nactive = { left = 5 }";
        let budgets = Budgets::parse(text).unwrap();
        let of = |harness, layer| budgets.budget_of(harness, layer);
        let own = of(Harness::Training, Layer::Engine);
        assert_eq!(
            (own[&Metric::Active].drift, own[&Metric::Active].left),
            (None, Some(5.0))
        );
        assert_eq!(own[&Metric::Threads].left, Some(0.0));
        assert_eq!(
            of(Harness::Training, Layer::Beam),
            of(Harness::Memory, Layer::Engine)
        );
    }

    #[test]
    fn what_nobody_knows_is_refused() {
        for text in [
            "[every]\nactive = { drifts = 1 }",
            "[every]\nmemory = { drift = 1 }",
            "[every]\n[engine.sleeping]\nactive = { drift = 1 }",
            "[every]\n[gpu.memory]\nactive = { drift = 1 }",
        ] {
            assert!(Budgets::parse(text).is_err(), "{text}");
        }
    }
}
