//! Moving elements without computing on them.

use emily_spec::{Broadcast, Concatenate, TensorType, Transpose};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::{self, broadcast_to};

use super::cast::operand;
use super::{axes as mlx_axes, dims};
use crate::mlx::{dtype_of, integer};

/// A view.
pub(super) fn transpose(op: &Transpose, x: &Array) -> Result<Array> {
    x.transpose_axes(&mlx_axes(&op.axes))
}

/// A view. With `axes`, each operand axis goes to the one named, the others being new.
pub(super) fn broadcast(op: &Broadcast, x: &Array, ty: &TensorType) -> Result<Array> {
    let shape = dims(&ty.shape);
    let Some(axes) = &op.axes else {
        return broadcast_to(x, &shape);
    };
    let mut aligned = vec![1; shape.len()];
    for (&axis, &dim) in axes.iter().zip(x.shape()) {
        aligned[axis] = dim;
    }
    broadcast_to(x.reshape(&aligned)?, &shape)
}

/// The parts are cast first: MLX would merge their dtypes its own way.
pub(super) fn concatenate(op: &Concatenate, parts: &[Array], ty: &TensorType) -> Result<Array> {
    let parts = parts
        .iter()
        .map(|part| operand(part, ty.dtype))
        .collect::<Result<Vec<_>>>()?;
    ops::concatenate(&parts, op.axis as i32)
}

/// Every predicate that is not zero takes from the second operand, NaN too.
pub(super) fn select(inputs: &[Array], ty: &TensorType) -> Result<Array> {
    let [pred, on_true, on_false] = [&inputs[0], &inputs[1], &inputs[2]];
    let chosen = pred.ne(integer(dtype_of(pred), 0))?;
    ops::select(
        chosen,
        operand(on_true, ty.dtype)?,
        operand(on_false, ty.dtype)?,
    )
}
