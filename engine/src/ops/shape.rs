//! Moving elements without computing on them.

use std::borrow::Cow;

use emily_spec::{
    Broadcast, Concatenate, DType, Error, ErrorKind, Pad, Stack, TensorType, Transpose,
};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::{self, broadcast_to};

use super::binary::{larger, smaller};
use super::cast::operand;
use super::{Cx, axes as mlx_axes, dims, length};
use crate::Device;
use crate::mlx::{self, clone_array, dtype_of, integer, refusal};

/// A view.
pub(super) fn transpose(op: &Transpose, x: &Array) -> Result<Array> {
    x.transpose_axes(&mlx_axes(&op.axes))
}

/// A view: steps of −1 from the last element on.
pub(super) fn reverse(x: &Array, axes: &[usize]) -> Result<Array> {
    let mut starts = vec![0; x.ndim()];
    let mut stops = x.shape().to_vec();
    let mut strides = vec![1; x.ndim()];
    for &axis in axes {
        // MLX counts a start below 0 from the end, as it does a stop, so that before the first element
        // is a whole axis below that.
        (starts[axis], stops[axis], strides[axis]) = (stops[axis] - 1, -stops[axis] - 1, -1);
    }
    mlx::slice(x, &starts, &stops, &strides)
}

/// The value everywhere, with the elements that stay written over it in strides.
pub(super) fn pad(op: &Pad, inputs: &[Array], ty: &TensorType) -> Result<Array> {
    let (x, value) = (
        operand(&inputs[0], ty.dtype)?,
        operand(&inputs[1], ty.dtype)?,
    );
    let shape = dims(&ty.shape);
    let background = broadcast_to(&*value, &shape)?;
    let (mut from, mut to) = (vec![0; shape.len()], vec![0; shape.len()]);
    let (mut start, mut stop) = (from.clone(), from.clone());
    let mut strides = vec![1; shape.len()];
    for (axis, &dim) in shape.iter().enumerate() {
        let (low, step) = (i128::from(op.low[axis]), op.interior[axis] as i128 + 1);
        let first = if low < 0 { (step - 1 - low) / step } else { 0 };
        let last = (i128::from(dim) - 1 - low).div_euclid(step);
        let last = last.min(i128::from(x.shape()[axis]) - 1);
        if last < first {
            return Ok(background);
        }
        // What is inside the operand and the result fits.
        (from[axis], to[axis]) = (first as i32, last as i32 + 1);
        (start[axis], stop[axis]) = ((low + first * step) as i32, (low + last * step) as i32 + 1);
        if last > first {
            strides[axis] = step as i32;
        }
    }
    let kept = mlx::slice(&x, &from, &to, &vec![1; shape.len()])?;
    mlx::slice_update(&background, &kept, &start, &stop, &strides)
}

/// `x` with `value` around and between its elements, in an op that pads on the way. It has room for what
/// is taken away.
pub(super) fn padded(
    x: &Array,
    value: &Array,
    low: &[i64],
    high: &[i64],
    interior: &[usize],
) -> Result<Array> {
    let nothing = low.iter().chain(high).all(|&n| n == 0) && interior.iter().all(|&n| n == 0);
    if nothing {
        return Ok(clone_array(x));
    }
    let size = |axis: usize| {
        let size = i128::from(x.shape()[axis]);
        let spread = size + (size - 1).max(0) * interior[axis] as i128;
        (spread + i128::from(low[axis]) + i128::from(high[axis])) as usize
    };
    let ty = TensorType::new(dtype_of(x), (0..x.ndim()).map(size).collect::<Vec<_>>());
    let op = Pad {
        low: low.to_vec().into(),
        high: high.to_vec().into(),
        interior: interior.to_vec().into(),
        dtype: None,
    };
    pad(&op, &[clone_array(x), clone_array(value)], &ty)
}

/// The elements in order where an allocation of some size begins, which a view's need not: cuDNN
/// refuses others.
///
/// An operation of one operand may write its result over it, wherever that begins, so that one of two
/// makes the allocation.
pub(super) fn aligned(x: &Array, cx: &Cx) -> Result<Array> {
    if cx.device == Device::Cpu {
        return Ok(clone_array(x));
    }
    let size = length(x.size())?;
    let rest = ops::zeros_dtype(&[16], x.dtype())?;
    let all = ops::concatenate(&[x.flatten(None, None)?, rest], 0)?;
    mlx::slice_axis(&all, 0, 0..size)?.reshape(x.shape())
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
    let parts = cast_all(parts, ty.dtype)?;
    ops::concatenate(&parts, op.axis as i32)
}

/// The parts are cast first, as for [`concatenate`].
pub(super) fn stack(op: &Stack, parts: &[Array], ty: &TensorType) -> Result<Array> {
    let parts = cast_all(parts, ty.dtype)?;
    ops::stack(&parts, op.axis as i32)
}

/// Any number of parts at this dtype.
fn cast_all(parts: &[Array], dtype: DType) -> Result<Vec<Cow<'_, Array>>> {
    let mut all = Vec::new();
    let reserved = all.try_reserve_exact(parts.len());
    reserved.map_err(|error| refusal(Error::new(ErrorKind::Memory, error.to_string())))?;
    for part in parts {
        all.push(operand(part, dtype)?);
    }
    Ok(all)
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

/// The smaller of `max` and the larger of `min` and the element; a limit where it is equal to one.
pub(super) fn clip(inputs: &[Array], ty: &TensorType, cx: &Cx) -> Result<Array> {
    let x = operand(&inputs[0], ty.dtype)?;
    let min = operand(&inputs[1], ty.dtype)?;
    let max = operand(&inputs[2], ty.dtype)?;
    smaller(&max, &larger(&min, &x, cx)?, cx)
}
