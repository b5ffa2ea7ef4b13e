//! Reductions.

use emily_spec::{
    self as spec, ArgReduce, ArgReduction, Quantifier, Reduce, Reduction, TensorType, TieBreak,
};
use mlx_rs::error::Result;
use mlx_rs::ops::indexing::{argmax_axis, argmin_axis};
use mlx_rs::ops::{concatenate, ones_dtype, select, zeros_dtype};
use mlx_rs::{Array, Axes, Dtype};

use super::binary::not_zero;
use super::cast::cast;
use super::float::{order_keys, widened};
use super::integer::limits;
use super::{axes as mlx_axes, dims, length};
use crate::mlx::{clone_array, dtype_of, integer, real, slice_axis, to_mlx};

/// One element per index of the axes that stay.
pub(super) fn reduce(op: Reduce, attrs: &Reduction, x: &Array, ty: &TensorType) -> Result<Array> {
    let all: Vec<usize> = (0..x.ndim()).collect();
    let axes = attrs.axes.as_deref().unwrap_or(&all);
    match op {
        Reduce::Sum if attrs.reduces_nothing() => cast(x, ty.dtype),
        Reduce::Sum => sum(x, axes, ty),
        Reduce::Product => product(x, axes, ty),
        Reduce::ReduceMax => extremum(x, axes, ty, |x, axes| x.max_axes(axes, true)),
        Reduce::ReduceMin => extremum(x, axes, ty, |x, axes| x.min_axes(axes, true)),
    }
}

/// The factors are cast to the result's dtype, then multiplied: integers modulo 2^bits, `f16` and
/// `bf16` in `f32`, rounded once. A scalar has no axis to reduce.
fn product(x: &Array, axes: &[usize], ty: &TensorType) -> Result<Array> {
    let x = cast(x, ty.dtype)?;
    if x.size() == 0 {
        return ones_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    if axes.is_empty() {
        return Ok(x);
    }
    let product = match ty.dtype.is_integer() {
        true => x.prod_axes(&mlx_axes(axes), true)?,
        false => widened(&x)?.prod_axes(&mlx_axes(axes), true)?,
    };
    cast(&product, ty.dtype)?.reshape(&dims(&ty.shape))
}

fn extremum(
    x: &Array,
    axes: &[usize],
    ty: &TensorType,
    of: impl Fn(&Array, &[i32]) -> Result<Array>,
) -> Result<Array> {
    let x = cast(x, ty.dtype)?;
    if x.size() == 0 {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    if axes.is_empty() {
        return Ok(x);
    }
    of(&x, &mlx_axes(axes))?.reshape(&dims(&ty.shape))
}

/// `u8` 1 where all elements, or some, are other than zero.
pub(super) fn quantify(
    op: Quantifier,
    attrs: &spec::Axes,
    x: &Array,
    ty: &TensorType,
) -> Result<Array> {
    let all: Vec<usize> = (0..x.ndim()).collect();
    let axes = mlx_axes(attrs.axes.as_deref().unwrap_or(&all));
    let shape = dims(&ty.shape);
    if x.size() == 0 {
        return match op {
            Quantifier::All => ones_dtype(&shape, Dtype::Uint8),
            Quantifier::Any => zeros_dtype(&shape, Dtype::Uint8),
        };
    }
    let mask = not_zero(x)?;
    let mask = match op {
        // A scalar has no axis to reduce.
        Quantifier::All | Quantifier::Any if axes.is_empty() => mask,
        Quantifier::All => mask.all_axes(&axes, true)?,
        Quantifier::Any => mask.any_axes(&axes, true)?,
    };
    mask.view_dtype(Dtype::Uint8)?.reshape(&shape)
}

/// The terms are cast to the result's dtype, then added: integers modulo 2^bits, `f16` and `bf16`
/// in `f32`, rounded once.
pub(super) fn sum(x: &Array, axes: &[usize], ty: &TensorType) -> Result<Array> {
    let x = cast(x, ty.dtype)?;
    if x.size() == 0 {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    let sum = if ty.dtype.is_integer() {
        x.sum_axes(&mlx_axes(axes), true)?
    } else {
        float_sum(&x, axes)?
    };
    cast(&sum, ty.dtype)?.reshape(&dims(&ty.shape))
}

/// A sum begins at 0, to which −0 adds nothing: MLX hands a lone term on as it is.
pub(super) fn float_sum(x: &Array, axes: &[usize]) -> Result<Array> {
    let lone = axes.iter().all(|&axis| x.shape()[axis] == 1);
    let sum = axes
        .iter()
        .try_fold(widened(x)?, |x, &axis| blocked_sum(&x, axis))?;
    match lone {
        true => sum.add(real(dtype_of(&sum), 0.0)),
        false => Ok(sum),
    }
}

/// How many terms are added one after another.
const BLOCK: i32 = 4;

/// The sum along one axis, which stays with size 1, in rounds that add blocks of four.
///
/// MLX's CPU kernels add one term after another, so their error grows with the length: a million
/// equal terms lose a hundredth of the sum. In rounds it grows with the logarithm, and the long
/// inner loop of each round is also faster.
fn blocked_sum(x: &Array, axis: usize) -> Result<Array> {
    let mut x = clone_array(x);
    while x.shape()[axis] > BLOCK {
        let len = x.shape()[axis];
        let rows = len / BLOCK;
        let (head, tail) = split(&x, axis, rows * BLOCK)?;
        let mut blocks = x.shape().to_vec();
        blocks.splice(axis..=axis, [BLOCK, rows]);
        let sums = head.reshape(&blocks)?.sum_axis(axis as i32, false)?;
        x = if rows * BLOCK == len {
            sums
        } else {
            concatenate(&[sums, tail], axis as i32)?
        };
    }
    x.sum_axis(axis as i32, true)
}

/// The parts before and from this index of the axis.
fn split(x: &Array, axis: usize, at: i32) -> Result<(Array, Array)> {
    let end = x.shape()[axis];
    Ok((slice_axis(x, axis, 0..at)?, slice_axis(x, axis, at..end)?))
}

/// The chosen element's index along the axis, or in the flattened tensor.
///
/// MLX takes the first of several and skips NaN, so it is asked about keys in which NaN is beyond all
/// others, from the other end where the last one is wanted.
pub(super) fn arg_reduce(
    op: ArgReduce,
    attrs: &ArgReduction,
    x: &Array,
    ty: &TensorType,
) -> Result<Array> {
    let shape = dims(&ty.shape);
    if x.size() == 0 {
        return zeros_dtype(&shape, to_mlx(ty.dtype));
    }
    let (x, axis) = match attrs.axis {
        Some(axis) => (clone_array(x), axis as i32),
        None => (x.reshape(&[length(x.size())?])?, 0),
    };
    let (keys, find): (_, fn(&Array, i32) -> Result<Array>) = match op {
        ArgReduce::Argmax => (order_keys(&x)?, |keys, axis| argmax_axis(keys, axis, false)),
        ArgReduce::Argmin => (nan_first(&x)?, |keys, axis| argmin_axis(keys, axis, false)),
    };
    let index = match attrs.tie_break {
        TieBreak::Low => cast(&find(&keys, axis)?, ty.dtype)?,
        TieBreak::High => {
            let last = i128::from(keys.dim(axis)) - 1;
            let from_end = find(&keys.flip(Axes::Axis(axis))?, axis)?;
            integer(ty.dtype, last).subtract(cast(&from_end, ty.dtype)?)?
        }
    };
    index.reshape(&shape)
}

/// Integers in the order of the numbers, NaN below everything.
pub(super) fn nan_first(x: &Array) -> Result<Array> {
    let keys = order_keys(x)?;
    if dtype_of(x).is_integer() {
        return Ok(keys);
    }
    let (least, _) = limits(dtype_of(&keys));
    select(x.ne(x)?, integer(dtype_of(&keys), least), keys)
}
