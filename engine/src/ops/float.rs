//! Parts of real floats: signs, orders, exponentials.

use emily_spec::DType;
use mlx_rs::error::Result;
use mlx_rs::ops::{clip, select};
use mlx_rs::{Array, Dtype};

use super::Cx;
use crate::Device;
use crate::mlx::{bitwise_xor, clone_array, dtype_of, integer, real};

/// `f16` and `bf16` as `f32`, which holds each of their values and whose functions are the
/// accurate ones; others as they are.
pub(super) fn widened(x: &Array) -> Result<Array> {
    if dtype_of(x).is_small_float() {
        x.as_dtype(Dtype::Float32)
    } else {
        Ok(clone_array(x))
    }
}

/// True where the sign bit is set, also for −0.0 and NaN.
fn is_negative(x: &Array) -> Result<Array> {
    let (bits, dtype) = bits(x)?;
    bits.lt(integer(dtype, 0))
}

/// `magnitude`, which is not negative, with the sign of `x`.
pub(super) fn with_sign_of(magnitude: &Array, x: &Array) -> Result<Array> {
    select(is_negative(x)?, magnitude.negative()?, magnitude)
}

/// The bits as a signed integer.
fn bits(x: &Array) -> Result<(Array, DType)> {
    let (mlx, dtype) = match dtype_of(x).size() {
        2 => (Dtype::Int16, DType::S16),
        4 => (Dtype::Int32, DType::S32),
        _ => (Dtype::Int64, DType::S64),
    };
    Ok((x.view_dtype(mlx)?, dtype))
}

/// Integers in the order of the numbers: the zeros equal, NaNs equal and above everything.
/// Integers are their own keys.
///
/// A float's bits are sign and magnitude; flipping a negative's magnitude makes them ascend.
pub(super) fn order_keys(x: &Array) -> Result<Array> {
    let dtype = dtype_of(x);
    if dtype.is_integer() {
        return Ok(clone_array(x));
    }
    let zero = real(dtype, 0.0);
    let one_zero = select(x.eq(&zero)?, &zero, x)?;
    let (bits, key) = bits(&one_zero)?;
    let largest = integer(key, (1 << (8 * key.size() - 1)) - 1);
    let flipped = bitwise_xor(&bits, &largest)?;
    let ascending = select(bits.lt(integer(key, 0))?, flipped, &bits)?;
    select(x.ne(x)?, largest, ascending)
}

/// e^x for `f32` and `f64`.
///
/// On the CPU MLX's `exp` is a short polynomial in `f32`, also for `f64`: it gives infinity from 88
/// on and 0 below −88, and no subnormals. Its `power` is the C library's `pow`, so e^x is a power
/// of the `f64` next to e, whose relative error δ = e/E − 1 makes an error of x·δ, far below
/// half a unit of `f32`; for `f64` the factor 1 + x·δ is put back.
pub(super) fn exp(x: &Array, cx: &Cx) -> Result<Array> {
    match cx.device {
        Device::Gpu => x.exp(),
        Device::Cpu => exp_by_power(x),
    }
}

fn exp_by_power(x: &Array) -> Result<Array> {
    let wide = x.as_dtype(Dtype::Float64)?;
    let power = real(DType::F64, std::f64::consts::E).power(&wide)?;
    if dtype_of(x) != DType::F64 {
        return power.as_dtype(x.dtype());
    }
    // Beyond these bounds the power is 0 or infinite, which the correction must not make NaN.
    let bounded = clip(&wide, (&real(DType::F64, -750.0), &real(DType::F64, 750.0)))?;
    power.add(power.multiply(bounded.multiply(real(DType::F64, E_ERROR))?)?)
}

/// e / E − 1, where E is the `f64` next to e: e − E is 1.4456468917292502e-16.
const E_ERROR: f64 = 1.445_646_891_729_250_2e-16 / std::f64::consts::E;
