//! The layer `slices`: whole models that Bumblebee runs on Emily, held against Hugging Face's Transformers.
//!
//! fixtures/slices has tiny models of the architectures that people use, with random weights, and what
//! Transformers answers; fixtures/slices/make.py writes them. Another folder may have real ones. A trial is a model × a head × what is asked ×
//! a lane × a dtype.

mod judge;
mod model;
mod safetensors;
mod trial;

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use emily_flags::{Filter, label};

use crate::layer::Models;
use crate::outcome::{LayerState, Outcome, Report, TrialResult};
use model::Model;
pub use trial::{Ask, Slice};

/// The layer's name.
pub const LAYER: &str = "slices";

/// The folder of the models, in the repository.
pub const FOLDER: &str = "fixtures/slices";

/// The models, the VMs that run them, and the results as they come in.
#[derive(Default)]
pub struct Slices {
    models: Vec<Model>,
    vms: Models,
    states: Vec<LayerState>,
    results: Mutex<Vec<TrialResult>>,
}

impl Slices {
    /// The models in a folder; nothing runs yet.
    ///
    /// # Errors
    /// When a file is missing or is not what it should be.
    pub fn load(folder: &Path) -> anyhow::Result<Slices> {
        let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
        let mut models = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.join("slices.json").is_file() {
                models.push(Model::read(&path)?);
            }
        }
        models.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Slices {
            models,
            ..Slices::default()
        })
    }

    /// Asks whether the models can run on the devices that the filter leaves. An op or a part of them
    /// leaves none.
    pub fn find(&mut self, filter: &Filter) {
        if !filter.ops.is_empty() || filter.shard.is_some() {
            return;
        }
        for device in ["cpu", "gpu"] {
            if !filter.takes_layer(LAYER, device) {
                continue;
            }
            let state = LayerState::find(LAYER, device, || self.vms.available(device));
            self.states.push(state);
        }
    }

    /// The layer on the devices that the filter left, and whether it can run.
    pub fn states(&self) -> &[LayerState] {
        &self.states
    }

    /// The trials that the filter leaves, on devices that can run.
    pub fn trials(&self, filter: &Filter) -> Vec<Slice> {
        let ran = self.states.iter().filter(|state| state.ran);
        ran.flat_map(|state| self.trials_on(state, filter))
            .collect()
    }

    fn trials_on<'a>(
        &'a self,
        state: &'a LayerState,
        filter: &'a Filter,
    ) -> impl Iterator<Item = Slice> + 'a {
        let models = self.models.iter().enumerate();
        let all = models.flat_map(|(place, model)| Slice::of(place, model, &state.device));
        all.filter(|slice| filter.takes_dtype(slice.dtype.name()))
    }

    /// A trial's name.
    pub fn name(&self, slice: &Slice) -> String {
        slice.name(&self.models[slice.model].name)
    }

    /// Runs a trial.
    pub fn result(&self, slice: &Slice) -> TrialResult {
        let result = self.judge(slice, None);
        let mut all = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(result.clone());
        result
    }

    /// Runs a trial with a mistake in the model, by the name that `Emily.Conformance.Slices.Mistake` has for it.
    pub fn judge(&self, slice: &Slice, mistake: Option<&str>) -> TrialResult {
        judge::judge(&self.models[slice.model], &self.vms, slice, mistake)
    }

    /// Adds what has run to a report.
    pub fn add_to(&self, report: &mut Report, filter: &Filter) {
        let mut trials = self
            .results
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        trials.sort_by(|a, b| a.name.cmp(&b.name));
        for trial in &trials {
            report.summary.trials += 1;
            report.summary.checked += trial.checked;
            report.summary.calls += trial.calls;
            let counts = report.summary.layers.entry(label(LAYER, &trial.device));
            counts.or_default().add(trial.outcome);
        }
        for state in &self.states {
            if state.ran {
                report.versions.extend(self.vms.versions());
                continue;
            }
            let counts = report.summary.layers.entry(label(LAYER, &state.device));
            let counts = counts.or_default();
            for _ in self.trials_on(state, filter) {
                counts.add(Outcome::NotRun);
            }
        }
        report.layers.extend(self.states.iter().cloned());
        report.trials.extend(trials);
    }
}
