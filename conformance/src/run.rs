//! The suite: which trials there are, and their results.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use emily_flags::{Filter, label};

use crate::case::{Case, Problem, Reading};
use crate::fixtures::Fixtures;
use crate::judge::{judge, trial_name};
use crate::layer::Layer;
use crate::outcome::{LayerState, Outcome, Report, Summary, TrialResult, Unasked};
use crate::report::{Planned, Recorded};

mod planned;

use planned::is_left_out;
pub(crate) use planned::{is_planned, signatures};

/// The trials of one run, and their results as they come in.
pub struct Run {
    fixtures: Fixtures,
    layers: Vec<Box<dyn Layer>>,
    states: Vec<LayerState>,
    hearings: Vec<Hearing>,
    results: Mutex<Vec<TrialResult>>,
    start: Instant,
}

/// One case at one dtype: its layers are judged together, once.
struct Hearing {
    case: usize,
    reading: usize,
    results: OnceLock<Vec<TrialResult>>,
}

/// A trial of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrialId {
    hearing: usize,
    layer: usize,
}

impl Run {
    /// A run of these cases on these layers, the lowest first; nothing runs yet.
    ///
    /// # Errors
    /// Ledger entries that match no trial, or the same one.
    pub fn new(
        fixtures: Fixtures,
        layers: Vec<Box<dyn Layer>>,
        filter: &Filter,
    ) -> Result<Run, Vec<Problem>> {
        let hearings: Vec<Hearing> = fixtures
            .cases
            .iter()
            .enumerate()
            .flat_map(|(case, c)| (0..c.readings.len()).map(move |reading| (case, reading)))
            .map(|(case, reading)| Hearing {
                case,
                reading,
                results: OnceLock::new(),
            })
            .collect();
        let start = Instant::now();
        let results = Mutex::default();
        let mut run = Run {
            fixtures,
            layers,
            states: Vec::new(),
            hearings,
            results,
            start,
        };
        let problems = run.ledger_problems();
        if !problems.is_empty() {
            return Err(problems);
        }
        run.find_layers(filter);
        Ok(run)
    }

    fn ledger_problems(&self) -> Vec<Problem> {
        let names: Vec<(String, &str)> = self
            .every_trial()
            .map(|id| {
                let (case, reading, layer) = self.parts(id);
                (trial_name(layer.name(), case, reading), layer.device())
            })
            .collect();
        self.fixtures
            .ledger
            .problems(names.iter().map(|(name, device)| (name.as_str(), *device)))
    }

    /// Asks the layers that the filter leaves whether they can run.
    fn find_layers(&mut self, filter: &Filter) {
        for layer in &self.layers {
            let (name, device) = (layer.name(), layer.device());
            if !filter.takes_layer(name, device) {
                continue;
            }
            let state = LayerState::find(name, device, || layer.available());
            self.states.push(state);
        }
    }

    fn every_trial(&self) -> impl Iterator<Item = TrialId> + '_ {
        let of_layer =
            |layer: usize| (0..self.hearings.len()).map(move |hearing| TrialId { hearing, layer });
        (0..self.layers.len()).flat_map(of_layer).filter(|id| {
            let (case, reading, layer) = self.parts(*id);
            is_planned(case, reading, layer)
        })
    }

    fn parts(&self, id: TrialId) -> (&Case, &Reading, &dyn Layer) {
        let hearing = &self.hearings[id.hearing];
        let case = &self.fixtures.cases[hearing.case];
        (
            case,
            &case.readings[hearing.reading],
            &*self.layers[id.layer],
        )
    }

    /// The trials that the filter leaves, on layers that can run; the lowest layer's first.
    pub fn trials(&self, filter: &Filter) -> Vec<TrialId> {
        let ran = |id: &TrialId| self.state(*id).is_some_and(|state| state.ran);
        self.chosen(filter).filter(ran).collect()
    }

    /// The trials that the cases plan on the CPU, whether or not their layers can run here; one that is
    /// of several dtypes once for each.
    pub fn planned(&self) -> impl Iterator<Item = Planned<'_>> {
        let on_cpu = |id: &TrialId| self.layers[id.layer].device() == "cpu";
        self.every_trial().filter(on_cpu).flat_map(|id| {
            let (case, reading, layer) = self.parts(id);
            let name = trial_name(layer.name(), case, reading);
            let recorded = self.fixtures.ledger.find(&name, layer.device()).is_some();
            planned::counted(case, reading)
                .into_iter()
                .map(move |dtype| Planned {
                    layer: layer.name(),
                    op: case.row.name,
                    dtype,
                    recorded,
                })
        })
    }

    /// The ledger's entries, as DIVERGENCES.md lists them.
    pub fn recorded(&self) -> impl Iterator<Item = Recorded> {
        self.fixtures.ledger.entries.iter().map(|entry| Recorded {
            trials: entry.trials.clone(),
            when: entry
                .devices
                .as_ref()
                .map_or_else(String::new, |d| format!("device: {}", d.join(", "))),
            result: entry.record.to_string(),
            why: entry.why.clone(),
            cause: entry.cause,
        })
    }

    fn chosen<'a>(&'a self, filter: &'a Filter) -> impl Iterator<Item = TrialId> + 'a {
        self.every_trial().filter(|id| {
            let (case, reading, layer) = self.parts(*id);
            filter.takes_layer(layer.name(), layer.device())
                && filter.takes_op(case.row)
                && filter.takes_dtype(&reading.dtype)
        })
    }

    fn state(&self, id: TrialId) -> Option<&LayerState> {
        let layer = &self.layers[id.layer];
        self.states
            .iter()
            .find(|s| s.layer == layer.name() && s.device == layer.device())
    }

    /// A trial's name.
    pub fn name(&self, id: TrialId) -> String {
        let (case, reading, layer) = self.parts(id);
        label(&trial_name(layer.name(), case, reading), layer.device())
    }

    /// The layers on the devices that the filter left, and whether they can run.
    pub fn states(&self) -> &[LayerState] {
        &self.states
    }

    /// Every known layer's name.
    pub fn layer_names(&self) -> Vec<&'static str> {
        let mut names: Vec<&str> = self.layers.iter().map(|layer| layer.name()).collect();
        names.dedup();
        names
    }

    /// Runs a trial, unless another one of the same case and dtype has run it already.
    pub fn result(&self, id: TrialId) -> TrialResult {
        let hearing = &self.hearings[id.hearing];
        let results = hearing.results.get_or_init(|| self.judge(id));
        let name = self.name(id);
        let found = results.iter().find(|result| result.name == name).cloned();
        let result = found.unwrap_or_else(|| self.judge_alone(id));
        let mut all = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(result.clone());
        result
    }

    /// Judges a case on all layers that can run, the oracle always among them.
    fn judge(&self, id: TrialId) -> Vec<TrialResult> {
        let (case, reading, _) = self.parts(id);
        let layers: Vec<&dyn Layer> = (0..self.layers.len())
            .filter(|&layer| {
                let state = self.state(TrialId { layer, ..id });
                let runs = state.map_or(self.layers[layer].name() == "oracle", |state| state.ran);
                runs && is_planned(case, reading, &*self.layers[layer])
            })
            .map(|layer| &*self.layers[layer])
            .collect();
        judge(case, reading, &layers, &self.fixtures.ledger)
    }

    fn judge_alone(&self, id: TrialId) -> TrialResult {
        let (case, reading, layer) = self.parts(id);
        judge(case, reading, &[layer], &self.fixtures.ledger).swap_remove(0)
    }

    /// The report of what has run.
    pub fn report(&self, filter: &Filter) -> Report {
        let mut trials = self
            .results
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        trials.sort_by(|a, b| a.name.cmp(&b.name));
        let mut summary = Summary {
            trials: trials.len() as u64,
            checked: trials.iter().map(|trial| trial.checked).sum(),
            seconds: self.start.elapsed().as_secs_f64(),
            ..Summary::default()
        };
        for trial in &trials {
            summary.calls += trial.calls;
            let key = label(&trial.layer, &trial.device);
            summary.layers.entry(key).or_default().add(trial.outcome);
        }
        let unasked = self.unasked(&trials);
        summary.calls.left_out += unasked.iter().map(|unasked| unasked.calls).sum::<u64>();
        for id in self.chosen(filter) {
            if let Some(state) = self.state(id).filter(|state| !state.ran) {
                let key = label(&state.layer, &state.device);
                summary.layers.entry(key).or_default().add(Outcome::NotRun);
            }
        }
        let mut versions = versions();
        for layer in &self.layers {
            let ran = |s: &LayerState| s.ran && s.layer == layer.name();
            if self.states.iter().any(ran) {
                versions.extend(layer.versions());
            }
        }
        Report {
            versions,
            layers: self.states.clone(),
            summary,
            trials,
            unasked,
        }
    }

    /// The calls that the oracle was asked and a layer, of whose words the case is none, was not.
    fn unasked(&self, trials: &[TrialResult]) -> Vec<Unasked> {
        let asked = |trial: &&TrialResult| trial.layer == "oracle";
        let asked: HashMap<_, u64> = trials
            .iter()
            .filter(asked)
            .map(|trial| {
                (
                    (&*trial.op, &*trial.case, &*trial.dtype),
                    trial.calls.answered(),
                )
            })
            .collect();
        let mut unasked: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
        for hearing in &self.hearings {
            let case = &self.fixtures.cases[hearing.case];
            let reading = &case.readings[hearing.reading];
            let Some(&calls) = asked.get(&(case.row.name, &*case.name, &*reading.dtype)) else {
                continue;
            };
            for layer in &self.layers {
                let ran =
                    |s: &LayerState| s.ran && s.layer == layer.name() && s.device == layer.device();
                if self.states.iter().any(ran) && is_left_out(case, reading, &**layer) {
                    let key = (layer.name(), layer.device(), case.row.name);
                    *unasked.entry(key).or_default() += calls;
                }
            }
        }
        let unasked = unasked
            .into_iter()
            .map(|((layer, device, op), calls)| Unasked {
                layer: layer.to_owned(),
                device: device.to_owned(),
                op: op.to_owned(),
                calls,
            });
        unasked.collect()
    }
}

fn versions() -> BTreeMap<String, String> {
    let pairs = [
        ("emily", env!("CARGO_PKG_VERSION").to_owned()),
        ("mlx", emily_engine::MLX_VERSION.to_owned()),
        (
            "platform",
            format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        ),
    ];
    pairs
        .map(|(name, version)| (name.to_owned(), version))
        .into()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::fixtures::repository;
    use crate::ledger::Ledger;

    #[test]
    fn a_ledger_entry_about_nothing_is_a_problem() {
        let mut fixtures = Fixtures::load(&repository()).unwrap();
        let text = "[[divergence]]\nwhere = \"native::unary::rond::halves::f32\"\n\
                    result = { tol = \"ulp(1)\" }\nwhy = \"w\"";
        fixtures.ledger = Ledger::parse(Path::new("divergences.toml"), text).unwrap();
        let problems = Run::new(fixtures, crate::layer::all(), &Filter::default())
            .err()
            .unwrap();
        assert!(
            problems[0].to_string().contains("matches no trial"),
            "{}",
            problems[0]
        );
    }
}
