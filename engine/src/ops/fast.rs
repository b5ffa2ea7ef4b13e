//! What neural networks are made of: MLX's kernels where they are right.
//!
//! They are not for `f64`, for which MLX has exponentials of `f32`'s digits; and its norms square what
//! they are given, which from 10¹⁹ on is infinite.

mod attention;
mod einsum;
mod rope;

pub(super) use attention::attention;
pub(super) use einsum::einsum;
pub(super) use rope::rope;

use emily_spec::{DType, Epsilon, Logsumexp, Norm, Softmax, TensorType};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::{broadcast_to, is_inf, maximum, select, softmax_axes};

use super::cast::cast;
use super::float::{exp, widened};
use super::reduce::float_sum;
use super::{Cx, axes as mlx_axes, dims};
use crate::Device;
use crate::mlx::{bitwise_and, clone_array, dtype_of, integer, real, to_mlx};

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
    let largest = x.max_axes(&mlx_axes(&axes), true)?;
    let logs = if ty.dtype == DType::F64 {
        let infinite = largest.abs()?.eq(real(DType::F64, f64::INFINITY))?;
        let largest = select(&infinite, real(DType::F64, 0.0), &largest)?;
        let powers = exp(&x.subtract(&largest)?, cx)?;
        float_sum(&powers, &axes)?.log()?.add(largest)?
    } else {
        let logs = x.logsumexp_axes(&mlx_axes(&axes), true)?;
        match cx.device {
            Device::Cpu => logs,
            // Beside an infinity the kernel sees no NaN; and no sum is less than its largest term, though that
            // may be -0.0.
            Device::Gpu => maximum(&logs, &largest)?.add(real(DType::F32, 0.0))?,
        }
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

/// Rows over the root of their mean square or variance.
///
/// Elements are taken as parts of the power of two below the largest, or below √eps where that is larger:
/// whatever the row, the squares are less than 4, their sum neither overflows nor vanishes, and no element is
/// rounded. The mean is taken twice, the second time of what the first leaves: what rounding does to it is
/// then relative to the elements' distances from it.
pub(super) fn norm(op: Norm, attrs: &Epsilon, inputs: &[Array], ty: &TensorType) -> Result<Array> {
    let wide = |x: &Array| widened(&cast(x, ty.dtype)?);
    let x = wide(&inputs[0])?;
    if x.size() == 0 {
        return x.as_dtype(to_mlx(ty.dtype));
    }
    let constant = |value: f64| real(dtype_of(&x), value);
    let axis = x.ndim() - 1;
    let count = constant(x.dim(-1).into());
    let mean = |x: &Array| float_sum(x, &[axis])?.divide(&count);

    let eps = attrs.value().unwrap_or(0.0);
    let root = constant(eps.sqrt());
    let scale = power_of_two(&maximum(x.abs()?.max_axes(&[-1], true)?, &root)?)?;
    let infinite = scale.eq(constant(f64::INFINITY))?;
    let scale = select(infinite, constant(1.0), scale)?;
    let mut parts = x.divide(&scale)?;
    // Beside a variance of 0 it counts, however small.
    let tiny = match ty.dtype == DType::F64 {
        true => f64::MIN_POSITIVE,
        false => f32::MIN_POSITIVE.into(),
    };
    let least = if eps > 0.0 { tiny } else { 0.0 };
    let eps = maximum(root.divide(&scale)?.square()?, constant(least))?;
    if op == Norm::LayerNorm {
        parts = parts.subtract(mean(&parts)?)?;
        parts = parts.subtract(mean(&parts)?)?;
    }
    let size = mean(&parts.square()?)?.add(eps)?.sqrt()?;
    let weight = wide(&inputs[1])?;
    if op == Norm::RmsNorm {
        // A part that vanishes beside the largest is still no 0 to an infinite weight.
        parts = select(is_inf(&weight)?, &x, &parts)?;
    }
    let mut result = parts.divide(size)?.multiply(weight)?;
    if op == Norm::LayerNorm {
        result = result.add(wide(&inputs[2])?)?;
    }
    result.as_dtype(to_mlx(ty.dtype))
}

/// The power of two at or below this, of `f32` or `f64`; the least normal number where that is more, and an
/// infinity of what is not finite. It is the exponent's bits alone.
fn power_of_two(x: &Array) -> Result<Array> {
    let (bits, mask, least) = match dtype_of(x) == DType::F64 {
        true => (DType::U64, f64::INFINITY.to_bits(), f64::MIN_POSITIVE),
        false => (
            DType::U32,
            f32::INFINITY.to_bits().into(),
            f32::MIN_POSITIVE.into(),
        ),
    };
    let exponent = bitwise_and(&x.view_dtype(to_mlx(bits))?, &integer(bits, mask.into()))?;
    maximum(&exponent.view_dtype(x.dtype())?, real(dtype_of(x), least))
}
