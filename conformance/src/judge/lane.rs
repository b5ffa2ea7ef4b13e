//! A layer's part in a reading: what it answered, added up to a verdict.

use emily_flags::label;
use emily_spec::{Result, Tensor, Tolerance};

use super::expect::{Allowance, Expectation, Slack};
use super::{trial_name, want};
use crate::case::{Case, Reading, Want};
use crate::compare::{Comparison, Difference, Expected};
use crate::layer::{Layer, Reference};
use crate::ledger::{Entry, Ledger, Record};
use crate::outcome::{Calls, Outcome, TrialResult};
use crate::plan::Call;
use crate::tally::Tally;

/// A layer's part in a reading.
pub(super) struct Lane<'a> {
    pub(super) layer: &'a dyn Layer,
    pub(super) name: String,
    pub(super) entry: Option<&'a Entry>,
    pub(super) tally: Tally,
    /// What the ledger's record says of the same answers.
    pub(super) recorded: Tally,
    /// The second layer that answers were held against.
    pub(super) second: Option<&'static str>,
    /// The recorded differences in kind that there were.
    forgiven: Vec<Difference>,
    pub(super) calls: Calls,
    /// The calls that had to be refused.
    refusals: u64,
    /// The calls that raised where an answer was due.
    pub(super) refused: u64,
    pub(super) millis: f64,
    pub(super) judging_millis: f64,
}

impl<'a> Lane<'a> {
    pub(super) fn new(
        layer: &'a dyn Layer,
        case: &Case,
        reading: &Reading,
        ledger: &'a Ledger,
    ) -> Lane<'a> {
        let name = trial_name(layer.name(), case, reading);
        let entry = ledger.find(&name, layer.device());
        let name = label(&name, layer.device());
        Lane {
            layer,
            name,
            entry,
            tally: Tally::default(),
            recorded: Tally::default(),
            second: None,
            forgiven: Vec::new(),
            calls: Calls::default(),
            refusals: 0,
            refused: 0,
            millis: 0.0,
            judging_millis: 0.0,
        }
    }

    /// Counts the answer, and holds it against the ledger's record, where there is one.
    pub(super) fn record(
        &mut self,
        call: &Call,
        expectation: &Expectation<'_>,
        found: &[Comparison],
        got: &Result<Vec<Tensor>>,
        compare: impl Fn(&Expectation<'_>, &Result<Vec<Tensor>>) -> Vec<Comparison>,
    ) {
        match expectation {
            Expectation::Types(_) => self.calls.by_type += 1,
            Expectation::Values(..)
            | Expectation::Promise
            | Expectation::Slopes(..)
            | Expectation::Error(_) => self.calls.judged += 1,
        }
        self.refusals += u64::from(matches!(expectation, Expectation::Error(_)));
        let Some(entry) = self.entry else {
            return;
        };
        let agrees = found.iter().all(Comparison::agrees);
        let found = match (&entry.record, expectation) {
            (Record::Within(tolerance, differences), Expectation::Values(expected, allowance)) => {
                let allowance = Allowance {
                    tolerance: tolerance.map_or(allowance.tolerance, Slack::Fixed),
                    forgiven: differences,
                };
                compare(&Expectation::Values(expected.clone(), allowance), got)
            }
            _ if agrees => found.to_vec(),
            // Even what is open is no reason to end the VM.
            (Record::Open, _) => match got {
                Err(error) if self.layer.raised(error).is_none() => found.to_vec(),
                Ok(_) | Err(_) => Vec::new(),
            },
            (Record::Wrong, _) => Vec::new(),
            (Record::Within(..), _) => found.to_vec(),
            (Record::Error(kind), _) => compare(&Expectation::Error(*kind), got),
            (Record::Values(values), _) => {
                let expected = values.iter().map(|t| Expected {
                    tensor: t,
                    magnitude: None,
                });
                let exact = Slack::Fixed(Tolerance::Exact).into();
                compare(&Expectation::Values(expected.collect(), exact), got)
            }
        };
        for comparison in &found {
            self.forgiven.extend(&comparison.forgiven);
        }
        self.recorded.add(Some(call), &found);
    }

    /// The recorded differences in kind that there were none of.
    fn missing(&self) -> Vec<Difference> {
        let recorded = match self.entry.map(|entry| &entry.record) {
            Some(Record::Within(_, differences)) => differences.as_slice(),
            Some(Record::Values(_) | Record::Error(_) | Record::Open | Record::Wrong) | None => &[],
        };
        let missing = recorded.iter().filter(|d| !self.forgiven.contains(d));
        missing.copied().collect()
    }

    pub(super) fn result(
        mut self,
        case: &Case,
        reading: &Reading,
        blocker: Option<String>,
    ) -> TrialResult {
        for difference in self.missing() {
            let message = format!("no element differs in {difference}, as recorded");
            self.recorded.add(None, &[Comparison::broken(message)]);
        }
        let foreign = self.layer.is_foreign();
        let is_open = self.entry.is_some_and(|entry| entry.record == Record::Open);
        let outcome = match (
            self.entry,
            self.tally.agrees(),
            self.recorded.agrees(),
            &blocker,
        ) {
            _ if self.calls.left_out > 0 && self.calls.answered() == 0 && foreign => Outcome::Open,
            _ if self.calls.left_out > 0 && self.calls.answered() == 0 => Outcome::NotRun,
            (None, true, _, _) => Outcome::Passed,
            (Some(_), true, _, _) if is_open => Outcome::Passed,
            (_, _, _, Some(_)) => Outcome::Blocked,
            // Also where Nx leaves the answer open: there is none.
            (entry, false, _, None)
                if foreign
                    && (entry.is_none() || is_open)
                    && self.refused == self.tally.failed() =>
            {
                Outcome::Refused
            }
            (Some(_), false, true, None) if is_open => Outcome::Open,
            (None, false, _, None) => Outcome::Failed,
            (Some(_), true, _, None) => Outcome::Stale,
            (Some(_), false, true, None) => Outcome::Diverges,
            (Some(_), false, false, None) => Outcome::Changed,
        };
        let tally = match outcome == Outcome::Changed {
            true => &self.recorded,
            false => &self.tally,
        };
        let against = match (self.layer.reference(), want(reading)) {
            (Reference::Layer(name), _) => name,
            (Reference::Differences, _) => "finite differences",
            (_, Want::Values(_) | Want::Error(_)) => "the case",
            (Reference::Literals, Want::Oracle | Want::Recorded) => "the contract",
            (Reference::Oracle | Reference::OracleAnd(_), Want::Oracle | Want::Recorded) => {
                "oracle"
            }
        };
        let against = match self.second {
            Some(second) => format!("{against} and {second}"),
            None => against.to_owned(),
        };
        let place = |what: &str| {
            let at = &case.at;
            format!(
                "{}\n  at {at}      judged against: {against}\n{what}",
                self.name
            )
        };
        let file = match case.at.file.starts_with("fixtures") {
            true => String::new(),
            false => format!(" --case {}", case.at.file.display()),
        };
        let variant = match self.layer.device() {
            "gpu" if cfg!(target_os = "linux") => "EMILY_MLX_VARIANT=cuda13 ",
            _ => "",
        };
        // What chose kernels, where something did.
        let chosen = ["EMILY_EXECUTOR", "EMILY_CPU"].map(|name| {
            let value = std::env::var(name);
            value.map_or(String::new(), |value| format!("{name}={value} "))
        });
        let repro = format!(
            "  repro: {variant}{}cargo xtask conformance{}{file} --exact {}",
            chosen.concat(),
            self.layer.flags(),
            self.name
        );
        let message = match (outcome, self.entry) {
            (Outcome::Passed, _) => None,
            (Outcome::NotRun, _) => Some("the layer has no answer to any of the calls".to_owned()),
            (Outcome::Open, None) => {
                Some("it answers where the contract has an error, which Nx leaves open".to_owned())
            }
            (Outcome::Failed | Outcome::Refused, _) => {
                Some(place(&format!("{}\n{repro}", tally.text())))
            }
            (Outcome::Blocked, _) => blocker.map(|name| format!("blocked: {name} is red")),
            (Outcome::Diverges | Outcome::Open, entry) => entry.map(|entry| entry.why.clone()),
            (Outcome::Stale, entry) => entry.map(|entry| {
                place(&format!(
                    "  stale: it agrees now; delete the entry at {}\n{repro}",
                    entry.at
                ))
            }),
            (Outcome::Changed, entry) => entry.map(|entry| {
                let text = tally.text();
                place(&format!(
                    "  changed: not as recorded at {}\n{text}\n{repro}",
                    entry.at
                ))
            }),
        };
        let worst = tally.worst();
        TrialResult {
            layer: self.layer.name().to_owned(),
            op: case.row.name.to_owned(),
            case: case.name.clone(),
            dtype: reading.dtype.clone(),
            device: self.layer.device().to_owned(),
            outcome,
            checked: tally.checked(),
            worst: worst.map(|(distance, _)| distance),
            allowed: worst.map(|(_, allowed)| allowed.text.clone()),
            allowed_worst: worst.map(|(_, allowed)| allowed.distance),
            unit: worst.map_or("ulp", |(_, allowed)| allowed.unit).to_owned(),
            calls: self.calls,
            refusals: self.refusals,
            failed: self.tally.failed(),
            millis: self.millis,
            judging_millis: self.judging_millis,
            message,
            name: self.name,
        }
    }
}
