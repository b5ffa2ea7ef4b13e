//! A folder of fixtures/slices: its heads, and what Transformers answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use emily_spec::{DType, Tensor};
use serde::Deserialize;

use super::safetensors;
use crate::compare;

/// A model and its heads.
pub(super) struct Model {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    pub(super) heads: BTreeMap<String, Head>,
    tensors: BTreeMap<String, Tensor>,
}

/// A head, as slices.json describes it; what only the BEAM needs is left out.
#[derive(Deserialize)]
pub(super) struct Head {
    pub(super) dtypes: Vec<String>,
    pub(super) outputs: Vec<String>,
    /// The ids that generation needs, where the head generates.
    pub(super) generates: Option<serde_json::Value>,
    pub(super) trains: bool,
    /// Too large for `Nx.BinaryBackend`.
    #[serde(default)]
    pub(super) large: bool,
}

impl Model {
    /// # Errors
    /// When a file is missing or is not what it should be.
    pub(super) fn read(folder: &Path) -> anyhow::Result<Model> {
        let path = folder.join("slices.json");
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let heads = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        Ok(Model {
            name: folder
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            folder: folder.to_owned(),
            heads,
            tensors: safetensors::read(&folder.join("slices.safetensors"))?,
        })
    }

    /// What is right, in f64.
    pub(super) fn right(&self, head: &str, dtype: DType, output: &str) -> Option<&Tensor> {
        self.tensors
            .get(&format!("{head}/{}/right/{output}", dtype.name()))
    }

    /// The tokens that Transformers generates.
    pub(super) fn tokens(&self, head: &str) -> Option<&Tensor> {
        self.tensors.get(&format!("{head}/tokens"))
    }

    /// How far rounding to this dtype moves the outputs: the most that it moves Transformers' own, over
    /// all heads, as few numbers of one head's are too few to tell.
    pub(super) fn spread(&self, dtype: DType) -> f64 {
        let spreads = self.tensors.iter().filter_map(|(name, rounded)| {
            let (head, rest) = name.split_once('/')?;
            let output = rest.strip_prefix(dtype.name())?.strip_prefix("/rounded/")?;
            Some(compare::spread(self.right(head, dtype, output)?, rounded))
        });
        spreads.fold(0.0, f64::max)
    }
}
