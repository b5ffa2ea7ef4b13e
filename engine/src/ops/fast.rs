//! What neural networks are made of: MLX's kernels where they are right.
//!
//! On the CPU they are not for `f64`, for which MLX has exponentials of `f32`'s digits.

use emily_spec::{DType, Logsumexp, Softmax, TensorType};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::{broadcast_to, select, softmax_axes};

use super::cast::cast;
use super::float::{exp, widened};
use super::reduce::float_sum;
use super::{Cx, axes as mlx_axes, dims};
use crate::mlx::{clone_array, real, to_mlx};

/// Shares of the exponentials along these axes.
pub(super) fn softmax(op: &Softmax, x: &Array, ty: &TensorType, cx: &Cx) -> Result<Array> {
    let x = cast(x, ty.dtype)?;
    if x.size() == 0 {
        return Ok(x);
    }
    let (x, axes) = with_axes(&x, &op.axes)?;
    let shares = if ty.dtype == DType::F64 {
        let powers = exp(&x.subtract(x.max_axes(&mlx_axes(&axes), true)?)?, cx)?;
        powers.divide(float_sum(&powers, &axes)?)?
    } else {
        // Precise is in `f32`, also of what is narrower.
        softmax_axes(&x, &mlx_axes(&axes), true)?
    };
    shares.reshape(&dims(&ty.shape))
}

/// ln Σ e^x over these axes.
pub(super) fn logsumexp(op: &Logsumexp, x: &Array, ty: &TensorType, cx: &Cx) -> Result<Array> {
    let all: Vec<usize> = (0..x.ndim()).collect();
    let axes = op.axes.as_deref().unwrap_or(&all);
    let x = widened(&cast(x, ty.dtype)?)?;
    if x.size() == 0 {
        let of_none = real(ty.dtype, f64::NEG_INFINITY);
        return broadcast_to(&of_none, &dims(&ty.shape));
    }
    let (x, axes) = with_axes(&x, axes)?;
    let logs = if ty.dtype == DType::F64 {
        let largest = x.max_axes(&mlx_axes(&axes), true)?;
        let infinite = largest.abs()?.eq(real(DType::F64, f64::INFINITY))?;
        let largest = select(&infinite, real(DType::F64, 0.0), &largest)?;
        let powers = exp(&x.subtract(&largest)?, cx)?;
        float_sum(&powers, &axes)?.log()?.add(largest)?
    } else {
        x.logsumexp_axes(&mlx_axes(&axes), true)?
    };
    logs.as_dtype(to_mlx(ty.dtype))?.reshape(&dims(&ty.shape))
}

/// The tensor with an axis to go along: where none is named, each element is a row of its own.
fn with_axes(x: &Array, axes: &[usize]) -> Result<(Array, Vec<usize>)> {
    match axes {
        [] => Ok((x.expand_dims(-1)?, vec![x.ndim()])),
        _ => Ok((clone_array(x), axes.to_vec())),
    }
}
