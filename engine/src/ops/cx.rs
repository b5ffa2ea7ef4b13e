//! What an op may use besides its operands.

use emily_spec::{Class, Error, ErrorKind, Result, Shape};
use mlx_rs::error::{ConversionError, Result as MlxResult};
use mlx_rs::ops::indexing::argmax;
use mlx_rs::{Array, Stream, with_stream};

use crate::mlx::{clone_array, dtype_of, from_mlx, private, slice_axis};
use crate::{Device, host};

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
    pub(crate) fault: Fault,
}

/// What is wrong where a condition's elements are true.
pub(crate) enum Fault {
    /// The same wherever it is.
    Known(Error),
    /// The index there, which is named.
    Index {
        /// Of the shape of the condition.
        indices: Array,
        /// What the entries along the last axis are indices along, over and over.
        axes: Vec<usize>,
        /// The shape that they do not fit.
        shape: Shape,
    },
}

impl Fault {
    /// The error, for elements of which one is true; an index's is that of the first one. Evaluates.
    pub(crate) fn error(self, failed: &Array) -> Error {
        match self {
            Fault::Known(error) => error,
            Fault::Index {
                indices,
                axes,
                shape,
            } => match first(failed, &indices) {
                Ok((place, index)) => Error::out_of_bounds(index, axes[place % axes.len()], &shape),
                Err(error) => error,
            },
        }
    }
}

/// Where the first true element is in row-major order, and the index there.
fn first(failed: &Array, indices: &Array) -> Result<(usize, i128)> {
    let item = |error: ConversionError| Error::new(ErrorKind::Internal, error.to_string());
    let place = argmax(&failed.flatten(None, None).map_err(from_mlx)?, false).map_err(from_mlx)?;
    let place = place.try_item_cast::<i32>().map_err(item)?;
    // A view: a GPU would compile a kernel for a take.
    let index = (indices.flatten(None, None))
        .and_then(|indices| slice_axis(&indices, 0, place..place + 1))
        .and_then(|index| private(&index, Device::preferred()))
        .map_err(from_mlx)?;
    let index = match dtype_of(&index).class() {
        Class::Unsigned => index.try_item_cast::<u64>().map(i128::from),
        Class::Signed | Class::Float | Class::Complex => {
            index.try_item_cast::<i64>().map(i128::from)
        }
    };
    Ok((place as usize, index.map_err(item)?))
}

impl<'a> Cx<'a> {
    /// Calls MLX on the thread's CPU, for what its other devices do otherwise or not at all, with
    /// operands that the CPU may read.
    pub(crate) fn on_cpu<T, const N: usize>(
        &self,
        operands: [&Array; N],
        call: impl FnOnce([&Array; N]) -> MlxResult<T>,
    ) -> MlxResult<T> {
        let owned = self.owned(operands)?;
        with_stream(self.cpu, || call(std::array::from_fn(|i| &owned[i])))
    }

    /// Operands that the CPU may read while others use them elsewhere.
    pub(crate) fn owned<'x>(
        &self,
        operands: impl IntoIterator<Item = &'x Array>,
    ) -> MlxResult<Vec<Array>> {
        let operands = operands.into_iter();
        operands.map(|x| private(x, self.device)).collect()
    }

    pub(crate) fn new(device: Device, cpu: &'a Stream) -> Cx<'a> {
        Cx {
            device,
            cpu,
            conditions: Vec::new(),
        }
    }

    /// Whether kernels of the engine's own may take the place of MLX's.
    pub(crate) fn has_host(&self) -> bool {
        self.device == Device::Cpu && host::is_on()
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
            fault: Fault::Known(Error::new(kind, message)),
        });
    }

    /// Makes the op's results an index error where any element of `failed` is true, as
    /// [`Cx::fail_where`] does: the index is named.
    pub(crate) fn fail_outside(
        &mut self,
        failed: Array,
        indices: &Array,
        axes: &[usize],
        shape: Shape,
    ) {
        self.conditions.push(Condition {
            failed,
            fault: Fault::Index {
                indices: clone_array(indices),
                axes: axes.to_vec(),
                shape,
            },
        });
    }

    pub(crate) fn into_conditions(self) -> Vec<Condition> {
        self.conditions
    }
}
