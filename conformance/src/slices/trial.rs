//! Which trials a model has.

use emily_flags::label;
use emily_spec::DType;

use super::LAYER;
use super::model::{Head, Model};

/// What a model is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The head's outputs, against Transformers' in f64.
    Outputs,
    /// The likeliest tokens, one after the other, against Transformers'.
    Tokens,
    /// Tokens drawn with a fixed seed, against those that `Nx.BinaryBackend` draws.
    Sample,
    /// The loss's gradients by all parameters, against torch's.
    Gradients,
}

impl Ask {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Ask::Outputs => "outputs",
            Ask::Tokens => "tokens",
            Ask::Sample => "sample",
            Ask::Gradients => "gradients",
        }
    }

    /// Tokens and gradients are what is right in one dtype.
    fn is_for(self, head: &Head, dtype: DType) -> bool {
        match self {
            Ask::Outputs => head.dtypes.iter().any(|name| name == dtype.name()),
            Ask::Tokens => head.generates.is_some() && dtype == DType::F32,
            Ask::Sample => Ask::Tokens.is_for(head, dtype) && !head.large,
            Ask::Gradients => head.trains && dtype == DType::F32,
        }
    }

    /// How it is asked. What is drawn is Nx.BinaryBackend's to the token, which `fast` rounds otherwise.
    const fn lanes(self) -> &'static [&'static str] {
        match self {
            Ask::Outputs | Ask::Tokens => &["eager", "compiled", "fast"],
            Ask::Sample | Ask::Gradients => &["eager", "compiled"],
        }
    }
}

/// A trial of the layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    pub(super) model: usize,
    /// The head's name.
    pub head: String,
    /// What it is asked.
    pub ask: Ask,
    pub(super) lane: &'static str,
    /// The dtype of everything in the model.
    pub dtype: DType,
    pub(super) device: String,
}

impl Slice {
    pub(super) fn of(place: usize, model: &Model, device: &str) -> Vec<Slice> {
        let mut slices = Vec::new();
        for (name, head) in &model.heads {
            for ask in [Ask::Outputs, Ask::Tokens, Ask::Sample, Ask::Gradients] {
                for dtype in [DType::F32, DType::Bf16, DType::F16] {
                    if !ask.is_for(head, dtype) {
                        continue;
                    }
                    slices.extend(ask.lanes().iter().map(|&lane| Slice {
                        model: place,
                        head: name.clone(),
                        ask,
                        lane,
                        dtype,
                        device: device.to_owned(),
                    }));
                }
            }
        }
        slices
    }

    /// `head::ask::lane`.
    pub(super) fn case(&self) -> String {
        format!("{}::{}::{}", self.head, self.ask.name(), self.lane)
    }

    pub(super) fn name(&self, model: &str) -> String {
        let (case, dtype) = (self.case(), self.dtype.name());
        label(&format!("{LAYER}::{model}::{case}::{dtype}"), &self.device)
    }
}
