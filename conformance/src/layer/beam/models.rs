//! Whole models on the BEAM, by Bumblebee: `Emily.Conformance.Slices` answers.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use emily_spec::{DType, Result, Tensor};

use crate::layer::Absent;

use super::setup::Code;
use super::term::{self, Answer};
use super::{Servers, another_question, exception, internal, kind_named};

/// A question about a head of a model.
#[derive(Clone, Copy, Debug)]
pub struct ModelQuestion<'a> {
    /// The model's folder.
    pub folder: &'a Path,
    /// The head's name there.
    pub head: &'a str,
    /// The dtype of parameters, computation and outputs.
    pub dtype: DType,
    /// `eager`, `compiled`, or `reference`, which is `Nx.BinaryBackend`.
    pub lane: &'a str,
    /// `cpu` or `gpu`.
    pub device: &'a str,
    /// `outputs`, `tokens`, `sample` or `gradients`.
    pub ask: &'a str,
    /// A mistake that the answer is to have, by its name.
    pub mistake: Option<&'a str>,
}

/// The VMs that have Bumblebee.
pub struct Models {
    servers: Arc<Servers>,
}

impl Default for Models {
    fn default() -> Models {
        Models {
            servers: Servers::new(Code::Models),
        }
    }
}

impl Models {
    /// Whether models can run on a device here.
    ///
    /// # Errors
    /// What is missing, and what to do.
    pub fn available(&self, device: &str) -> std::result::Result<(), Absent> {
        self.servers.available(device == "gpu")
    }

    /// The versions of what runs there, by name.
    pub fn versions(&self) -> HashMap<String, String> {
        self.servers.versions()
    }

    /// The results, in the order that the head's description has.
    ///
    /// # Errors
    /// What was raised, or that there is no answer.
    pub fn ask(&self, question: &ModelQuestion<'_>) -> Result<Vec<Tensor>> {
        let answer = self.servers.ask(&term::model(question)).map_err(internal)?;
        match answer {
            Answer::Results(results) => Ok(results),
            Answer::Error(kind, message) => Err(emily_spec::Error::new(kind_named(&kind), message)),
            Answer::Raised(module, text) | Answer::Unanswered(module, text) => {
                Err(internal(exception(&module, &text)))
            }
            Answer::Each(_) | Answer::Versions(_) => Err(another_question()),
        }
    }
}
