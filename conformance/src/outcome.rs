//! What a run says: one result per trial, counts per layer, and the layers that could not run.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::layer::Absent;

/// The verdict on one trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Agrees with its reference within the tolerance.
    Passed,
    /// Does not. Red.
    Failed,
    /// Raises where it owes an answer, and never gives a wrong one: a foreign backend's refusal. Red.
    Refused,
    /// Differs exactly as `fixtures/divergences.toml` records.
    Diverges,
    /// A foreign backend's own matter: it differs where Nx leaves open what is right.
    Open,
    /// The ledger records a difference that is no longer there. Red.
    Stale,
    /// Differs, but not as the ledger records. Red.
    Changed,
    /// A lower layer failed the same case; its red counts, not this one.
    Blocked,
    /// The layer cannot run here, or has no answer to any call.
    NotRun,
}

impl Outcome {
    /// True for the outcomes that make a run fail.
    pub const fn is_red(self) -> bool {
        match self {
            Outcome::Failed | Outcome::Refused | Outcome::Stale | Outcome::Changed => true,
            Outcome::Passed
            | Outcome::Diverges
            | Outcome::Open
            | Outcome::Blocked
            | Outcome::NotRun => false,
        }
    }
}

/// The calls of some trials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// Asked, and judged by their answers.
    pub judged: u64,
    /// Asked, but only their results' types were judged: there is no reference for the values.
    pub by_type: u64,
    /// Not asked, since the layer's words cannot say the call, or without an answer there.
    pub left_out: u64,
}

impl Calls {
    /// The calls that were asked and answered.
    pub const fn answered(self) -> u64 {
        self.judged + self.by_type
    }
}

impl AddAssign for Calls {
    fn add_assign(&mut self, more: Calls) {
        self.judged += more.judged;
        self.by_type += more.by_type;
        self.left_out += more.left_out;
    }
}

/// The verdict on one trial and the numbers behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialResult {
    /// `layer::family::op::case::dtype`, with `@gpu` behind it where the device is not the CPU.
    pub name: String,
    /// The layer that ran.
    pub layer: String,
    /// The op's name.
    pub op: String,
    /// The case's name.
    pub case: String,
    /// The dtype the case was read at.
    pub dtype: String,
    /// `cpu` or `gpu`.
    pub device: String,
    /// The verdict.
    pub outcome: Outcome,
    /// The number of values compared.
    pub checked: u64,
    /// The largest distance seen, in `unit`; `f64::MAX` where it has no size (NaN against 1).
    pub worst: Option<f64>,
    /// The tolerance as text, `ulp(4)`.
    pub allowed: Option<String>,
    /// The largest distance allowed, in `unit`.
    pub allowed_worst: Option<f64>,
    /// What `worst` counts: `ulp`, `accum`, or `residual`. For integers an ulp is 1.
    pub unit: String,
    /// Its calls, and how they were judged.
    pub calls: Calls,
    /// Those of its calls that have to be refused, of which no value can be compared.
    #[serde(default)]
    pub refusals: u64,
    /// The calls whose answers are not as they should be.
    #[serde(default)]
    pub failed: u64,
    /// The time this layer took to answer, in milliseconds.
    pub millis: f64,
    /// The time that judging its answers took, in milliseconds.
    pub judging_millis: f64,
    /// What went wrong, ready to print.
    pub message: Option<String>,
}

impl TrialResult {
    /// Whether every call had to be refused: what it says of the op is that it refuses, and nothing of its answers.
    pub fn is_refusal(&self) -> bool {
        self.refusals > 0 && self.refusals == self.calls.answered()
    }
}

/// Whether a layer ran on a device, and if not, why and what to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerState {
    /// The layer's name.
    pub layer: String,
    /// `cpu` or `gpu`.
    pub device: String,
    /// True when it ran.
    pub ran: bool,
    /// The time it took to start, in milliseconds, with what it builds before.
    pub start_millis: f64,
    /// Why it did not.
    pub reason: Option<String>,
    /// What would enable it.
    pub remedy: Option<String>,
}

impl LayerState {
    /// Asks whether a layer can run.
    pub(crate) fn find(
        layer: &str,
        device: &str,
        available: impl FnOnce() -> Result<(), Absent>,
    ) -> LayerState {
        let start = Instant::now();
        let absent = available().err();
        LayerState {
            layer: layer.to_owned(),
            device: device.to_owned(),
            ran: absent.is_none(),
            start_millis: start.elapsed().as_secs_f64() * 1e3,
            reason: absent.as_ref().map(|absent| absent.reason.clone()),
            remedy: absent.map(|absent| absent.remedy),
        }
    }
}

/// How many trials ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "one count per outcome, named as the outcome")]
pub struct Counts {
    pub passed: u64,
    pub failed: u64,
    #[serde(default)]
    pub refused: u64,
    pub diverges: u64,
    #[serde(default)]
    pub open: u64,
    pub stale: u64,
    pub changed: u64,
    pub blocked: u64,
    pub not_run: u64,
}

impl Counts {
    /// Counts one more trial.
    pub fn add(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Passed => &mut self.passed,
            Outcome::Failed => &mut self.failed,
            Outcome::Refused => &mut self.refused,
            Outcome::Diverges => &mut self.diverges,
            Outcome::Open => &mut self.open,
            Outcome::Stale => &mut self.stale,
            Outcome::Changed => &mut self.changed,
            Outcome::Blocked => &mut self.blocked,
            Outcome::NotRun => &mut self.not_run,
        } += 1;
    }

    /// The number of trials that make a run fail.
    pub const fn red(&self) -> u64 {
        self.failed + self.refused + self.stale + self.changed
    }
}

/// A run in numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Trials that ran.
    pub trials: u64,
    /// Values compared in them.
    pub checked: u64,
    /// Calls in them, and how they were judged.
    pub calls: Calls,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Counts per layer; a layer on a GPU is `native@gpu`. An absent layer counts its trials as
    /// `not_run`.
    pub layers: BTreeMap<String, Counts>,
}

/// A run, as `report.json` holds it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Versions of what ran: `emily`, `mlx`, `rustc`, `os` …
    pub versions: BTreeMap<String, String>,
    /// Every layer on every device asked for.
    pub layers: Vec<LayerState>,
    /// The run in numbers.
    pub summary: Summary,
    /// Every trial that ran, by name.
    pub trials: Vec<TrialResult>,
    /// What layers that ran were asked nothing of, and so have no trial of; per layer and op.
    #[serde(default)]
    pub unasked: Vec<Unasked>,
}

/// The calls of an op in cases that a layer has no trial of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unasked {
    /// The layer's name.
    pub layer: String,
    /// `cpu` or `gpu`.
    pub device: String,
    /// The op's name.
    pub op: String,
    /// How many calls the oracle was asked there.
    pub calls: u64,
}
