//! The one error type: a kind that callers match on, a message, and the op that was asked for.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Op, Shape, TensorType, Value};

/// A result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, in the terms a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// Operand shapes do not fit the op or each other.
    Shape,
    /// The op does not take this dtype, or MLX does not have it.
    Dtype,
    /// An attribute is wrong: an axis, a stride, a count, the number of operands or bytes.
    Argument,
    /// An index in the data is out of range.
    Index,
    /// The result would not fit in memory.
    Memory,
    /// The device asked for is not there.
    Device,
    /// The values have no answer: integer division by zero, a singular matrix.
    Numeric,
    /// The worker was stopped before it came to this.
    Stopped,
    /// A fault of ours or of MLX's.
    Internal,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [ErrorKind; 9] = [
        ErrorKind::Shape,
        ErrorKind::Dtype,
        ErrorKind::Argument,
        ErrorKind::Index,
        ErrorKind::Memory,
        ErrorKind::Device,
        ErrorKind::Numeric,
        ErrorKind::Stopped,
        ErrorKind::Internal,
    ];

    /// The name used in case files and on the BEAM.
    pub const fn name(self) -> &'static str {
        match self {
            ErrorKind::Shape => "shape",
            ErrorKind::Dtype => "dtype",
            ErrorKind::Argument => "argument",
            ErrorKind::Index => "index",
            ErrorKind::Memory => "memory",
            ErrorKind::Device => "device",
            ErrorKind::Numeric => "numeric",
            ErrorKind::Stopped => "stopped",
            ErrorKind::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The call an error belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Context {
    /// The op with its attributes.
    pub op: Op,
    /// The operands' types.
    pub inputs: Vec<TensorType>,
    /// The worker it ran on; `None` when it never got that far.
    pub worker: Option<Arc<str>>,
}

/// An error that says what was asked, what is wrong and what to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// What callers match on.
    pub kind: ErrorKind,
    /// What is wrong, and the remedy.
    pub message: String,
    /// The call, where it is known.
    pub context: Option<Box<Context>>,
}

impl Error {
    /// An error without a call yet; [`Error::at`] adds it.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error {
            kind,
            message: message.into(),
            context: None,
        }
    }

    /// An index that an axis of this shape does not have, in Nx's words.
    pub fn out_of_bounds(index: i128, axis: usize, shape: &Shape) -> Error {
        let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
        Error::new(
            ErrorKind::Index,
            format!(
                "index {index} is out of bounds for axis {axis} in shape {{{}}}",
                dims.join(", ")
            ),
        )
    }

    /// This error at this call; a call already recorded stays, because it is nearer to the cause.
    pub fn at(mut self, op: &Op, inputs: &[TensorType]) -> Error {
        self.context.get_or_insert_with(|| {
            Box::new(Context {
                op: op.clone(),
                inputs: inputs.to_vec(),
                worker: None,
            })
        });
        self
    }

    /// This error on this worker, where none is recorded yet.
    pub fn on(mut self, worker: &str) -> Error {
        if let Some(context) = &mut self.context {
            context.worker.get_or_insert_with(|| worker.into());
        }
        self
    }
}

impl fmt::Display for Context {
    /// The call as it was asked for: `sum(f32[2], axes: [1])`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told: Vec<String> = self.inputs.iter().map(TensorType::to_string).collect();
        self.op.attributes(|name, value| {
            if value != Value::Absent {
                told.push(format!("{name}: {value}"));
            }
        });
        write!(f, "{}({})", self.op.name(), told.join(", "))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(context) = &self.context else {
            return f.write_str(&self.message);
        };
        match self.kind == ErrorKind::Index {
            // What Nx says of an index comes first.
            true => write!(f, "{}, in {context}", self.message)?,
            false => write!(f, "{context}: {}", self.message)?,
        }
        if let Some(worker) = &context.worker {
            write!(f, " (on {worker})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
