//! Orders.

use emily_spec::{Argsort, DType, Direction, Sort, TensorType, TopK};
use mlx_rs::error::Result;
use mlx_rs::ops::{argsort_axis, sort_axis, zeros_dtype};
use mlx_rs::{Array, Axes};

use super::cast::cast;
use super::float::order_keys;
use super::{Cx, dims};
use crate::mlx::{clone_array, dtype_of, integer, shape_of, slice_axis, to_mlx};
use crate::{Device, host};

/// Stable in both directions.
///
/// MLX sorts stably and only upwards. Reversing its answer would reverse ties too, and negating
/// breaks unsigned integers and the least signed one; −1 − k turns the order of integer keys
/// around, modulo 2^bits for unsigned ones, and keeps ties in place. MLX's CUDA kernel mixes up the
/// axes of keys that lie in memory in another order, so there they are laid out first.
pub(super) fn argsort(op: &Argsort, x: &Array, ty: &TensorType, cx: &Cx) -> Result<Array> {
    if x.ndim() == 0 || x.size() == 0 {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    if cx.has_host()
        && let Some(array) = host::argsort(x, op.axis, op.direction, x.shape()[op.axis] as usize)
    {
        return cast(&array?, ty.dtype);
    }
    let keys = order_keys(x)?;
    let keys = match op.direction {
        Direction::Asc => keys,
        Direction::Desc => integer(dtype_of(&keys), -1).subtract(keys)?,
    };
    let keys = match cx.device {
        Device::Cpu => keys,
        Device::Gpu => keys.contiguous()?,
    };
    cast(&argsort_axis(keys, op.axis as i32)?, ty.dtype)
}

/// Stable in both directions, NaN above everything.
///
/// MLX sorts stably and upwards, NaN last. Turned round before and after, the order is downwards, NaN
/// comes first, and equal elements are where they were.
pub(super) fn sort(op: &Sort, x: &Array, cx: &Cx) -> Result<Array> {
    if x.ndim() == 0 || x.size() == 0 {
        return Ok(clone_array(x));
    }
    if cx.has_host()
        && let Some(array) = host::sort(x, op.axis, op.direction)
    {
        return array;
    }
    let axis = op.axis as i32;
    let turned = |x: &Array| match op.direction {
        Direction::Asc => Ok(clone_array(x)),
        Direction::Desc => x.flip(Axes::Axis(axis)),
    };
    let x = turned(x)?;
    let x = match cx.device {
        Device::Cpu => x,
        Device::Gpu => x.contiguous()?,
    };
    turned(&sort_axis(x, axis)?)
}

/// The first of what sorting downwards gives, and their indices.
pub(super) fn top_k(op: &TopK, x: &Array, results: &[TensorType], cx: &Cx) -> Result<Vec<Array>> {
    if x.size() == 0 {
        let empty = |ty: &TensorType| zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
        return results.iter().map(empty).collect();
    }
    let axis = x.ndim() - 1;
    if cx.has_host()
        && let Some(first) = host::argsort(x, axis, Direction::Desc, op.k)
    {
        let first = first?;
        return Ok(vec![host::along(x, &first, axis, &results[0])?, first]);
    }
    let sorted = Argsort {
        axis,
        direction: Direction::Desc,
        dtype: None,
    };
    let ty = TensorType::new(DType::S32, shape_of(x));
    let first = slice_axis(&argsort(&sorted, x, &ty, cx)?, axis, 0..op.k as i32)?;
    Ok(vec![x.take_along_axis(&first, Some(axis as i32))?, first])
}
