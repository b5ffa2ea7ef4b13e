//! What an op may use besides its operands.

use emily_spec::{Error, ErrorKind};
use mlx_rs::{Array, Stream};

use crate::Device;

/// The worker's side of one op: where it runs, and the conditions its answer stands under.
pub(crate) struct Cx<'a> {
    /// The device of the worker's stream; ops run there unless they say otherwise.
    pub(crate) device: Device,
    /// A CPU stream of the same thread, for what MLX has on the CPU only.
    pub(crate) cpu: &'a Stream,
    conditions: Vec<Condition>,
}

/// A value-dependent error that has not been looked at yet.
pub(crate) struct Condition {
    /// Boolean, any shape; the error holds where any element is true.
    pub(crate) failed: Array,
    pub(crate) error: Error,
}

impl<'a> Cx<'a> {
    pub(crate) fn new(device: Device, cpu: &'a Stream) -> Cx<'a> {
        Cx {
            device,
            cpu,
            conditions: Vec::new(),
        }
    }

    /// Makes the op's results an error where any element of `failed` is true.
    ///
    /// Nothing is evaluated here: the worker looks at `failed` when the result is first evaluated,
    /// so a check costs no synchronisation. The op still computes, so it must be safe on the values
    /// that `failed` marks: clamp the index, replace the divisor.
    pub(crate) fn fail_where(
        &mut self,
        failed: Array,
        kind: ErrorKind,
        message: impl Into<String>,
    ) {
        self.conditions.push(Condition {
            failed,
            error: Error::new(kind, message),
        });
    }

    pub(crate) fn into_conditions(self) -> Vec<Condition> {
        self.conditions
    }
}
