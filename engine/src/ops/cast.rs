//! Nx's `as_type`: what every op does to its operands first.
//!
//! MLX's own casts are right between integers, from integers to floats of at least their digits,
//! and between floats one rounding apart. They are not from floats to integers (C++ leaves NaN and
//! what is out of range undefined, and devices differ), nor to `f16` and `bf16` from more digits
//! than `f32` holds (they round twice, by way of `f32`).

use std::borrow::Cow;

use emily_spec::{Class, DType};
use mlx_rs::error::Result;
use mlx_rs::ops::{minimum, select};
use mlx_rs::{Array, Dtype};

use super::float::widened;
use super::integer::{limits, negate_where, sign_and_magnitude};
use crate::mlx::{bitwise_or, clone_array, dtype_of, integer, real, to_mlx};

/// An operand at the dtype it computes in: itself where it has that already.
pub(super) fn operand(x: &Array, to: DType) -> Result<Cow<'_, Array>> {
    if x.dtype() == to_mlx(to) {
        return Ok(Cow::Borrowed(x));
    }
    cast(x, to).map(Cow::Owned)
}

/// The array at this dtype.
pub(super) fn cast(x: &Array, to: DType) -> Result<Array> {
    let from = dtype_of(x);
    if from == to {
        return Ok(clone_array(x));
    }
    match (from.class(), to.class()) {
        (Class::Complex, _) => cast(&x.real()?, to),
        (Class::Float, Class::Unsigned | Class::Signed) => float_to_integer(x, to),
        (Class::Float, Class::Float) if from == DType::F64 && to.is_small_float() => {
            odd_from_f64(x)?.as_dtype(to_mlx(to))
        }
        (Class::Unsigned | Class::Signed, Class::Float)
            if to.is_small_float() && from.size() > 2 =>
        {
            integer_to_half(x, to)
        }
        (
            Class::Unsigned | Class::Signed | Class::Float,
            Class::Unsigned | Class::Signed | Class::Float | Class::Complex,
        ) => x.as_dtype(to_mlx(to)),
    }
}

/// Truncates and wraps; NaN gives 0, infinities give the limits.
///
/// The magnitude modulo 2^64 is an exact float: its bits are among the float's own. As a `u64` it
/// is truncated, negated modulo 2^64, and cut to the width.
fn float_to_integer(x: &Array, to: DType) -> Result<Array> {
    let x = widened(x)?;
    let constant = |value: f64| real(dtype_of(&x), value);
    let magnitude = x.abs()?;
    // False for NaN too.
    let finite = magnitude.lt(constant(f64::INFINITY))?;
    let magnitude = select(&finite, &magnitude, constant(0.0))?;
    let periods = magnitude.multiply(constant(2f64.powi(-64)))?.floor()?;
    let wrapped = magnitude
        .subtract(periods.multiply(constant(2f64.powi(64)))?)?
        .as_dtype(Dtype::Uint64)?;
    let value = negate_where(&x.lt(constant(0.0))?, &wrapped)?.as_dtype(to_mlx(to))?;
    let (min, max) = limits(to);
    let value = select(x.eq(constant(f64::INFINITY))?, integer(to, max), value)?;
    select(x.eq(constant(f64::NEG_INFINITY))?, integer(to, min), value)
}

/// An `f32` that rounds to `f16` and `bf16` as the `f64` itself would.
fn odd_from_f64(x: &Array) -> Result<Array> {
    let near = x.as_dtype(Dtype::Float32)?;
    let back = near.as_dtype(Dtype::Float64)?;
    round_to_odd(&near, &back.abs()?.gt(x.abs()?)?, &back.ne(x)?)
}

/// The magnitude as an `f32` rounded to odd, then rounded once to `to`, then the sign.
fn integer_to_half(x: &Array, to: DType) -> Result<Array> {
    let (negative, magnitude) = match dtype_of(x).class() {
        Class::Signed => sign_and_magnitude(&x.as_dtype(Dtype::Int64)?)?,
        Class::Unsigned | Class::Float | Class::Complex => {
            (Array::from_bool(false), x.as_dtype(Dtype::Uint64)?)
        }
    };
    let near = magnitude.as_dtype(Dtype::Float32)?;
    // 2^64, to which the largest magnitudes round, is not a u64: the f32 before it is compared.
    let largest = real(DType::F32, 2f64.powi(64) - 2f64.powi(40));
    let back = minimum(&near, &largest)?.as_dtype(Dtype::Uint64)?;
    let above = near.gt(&largest)?.logical_or(back.gt(&magnitude)?)?;
    let odd = round_to_odd(&near, &above, &above.logical_or(back.lt(&magnitude)?)?)?;
    select(&negative, odd.negative()?, &odd)?.as_dtype(to_mlx(to))
}

/// From the nearest `f32` of a value the one rounded to odd: an inexact value's neighbour whose
/// last bit is set. Rounding that to fewer digits gives what rounding the value itself gives,
/// because it lies on the same side of every tie (Boldo and Melquiond, 2008).
fn round_to_odd(near: &Array, above: &Array, inexact: &Array) -> Result<Array> {
    let bits = near.view_dtype(Dtype::Uint32)?;
    // One less is one step towards zero, for either sign.
    let truncated = bits.subtract(above.as_dtype(Dtype::Uint32)?)?;
    bitwise_or(&truncated, &inexact.as_dtype(Dtype::Uint32)?)?.view_dtype(Dtype::Float32)
}
