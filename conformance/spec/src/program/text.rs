//! The text form of a program, by serde: what is read is checked as [`Program::new`] does.

use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::{Program, Region};
use crate::{DType, Op, Shape, Tensor, TensorType};

/// A program's parts, as they are written.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    parameters: Vec<TensorType>,
    #[serde(default)]
    constants: Vec<Constant>,
    body: Region,
}

/// A tensor, its bytes in hex.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Constant {
    dtype: DType,
    shape: Shape,
    bytes: String,
}

impl Constant {
    fn of(tensor: &Arc<Tensor>) -> Constant {
        let bytes = tensor.bytes().iter();
        Constant {
            dtype: tensor.dtype(),
            shape: tensor.shape().clone(),
            bytes: bytes.map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    fn tensor(self) -> Result<Arc<Tensor>, String> {
        let byte = |pair: &[u8]| {
            let text = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(text, 16).ok()
        };
        let bytes: Option<Vec<u8>> = self.bytes.as_bytes().chunks(2).map(byte).collect();
        let bytes = bytes.ok_or_else(|| "a constant's bytes are in hex".to_owned())?;
        let ty = TensorType::new(self.dtype, self.shape);
        let tensor = Tensor::new(ty, bytes).map_err(|error| error.to_string())?;
        Ok(Arc::new(tensor))
    }
}

impl Serialize for Program {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let constants: Vec<_> = self.constants.iter().map(Constant::of).collect();
        let mut parts = serializer.serialize_struct("Program", 3)?;
        parts.serialize_field("parameters", &self.parameters)?;
        parts.serialize_field("constants", &constants)?;
        parts.serialize_field("body", &self.body)?;
        parts.end()
    }
}

impl<'de> Deserialize<'de> for Program {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Program, D::Error> {
        let parts = Parts::deserialize(deserializer)?;
        let constants = parts.constants.into_iter().map(Constant::tensor);
        let constants = constants
            .collect::<Result<_, _>>()
            .map_err(de::Error::custom)?;
        Program::new(parts.parameters, constants, parts.body).map_err(de::Error::custom)
    }
}

/// An op is written as itself.
pub(super) mod op {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(op: &Arc<Op>, serializer: S) -> Result<S::Ok, S::Error> {
        Op::serialize(op, serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<Op>, D::Error> {
        Op::deserialize(deserializer).map(Arc::new)
    }
}
