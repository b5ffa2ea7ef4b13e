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
        (Class::Float, Class::Float) if from == DType::F64 && is_half(to) => {
            odd_from_f64(x)?.as_dtype(to_mlx(to))
        }
        (Class::Unsigned | Class::Signed, Class::Float) if is_half(to) && from.size() > 2 => {
            integer_to_half(x, to)
        }
        (
            Class::Unsigned | Class::Signed | Class::Float,
            Class::Unsigned | Class::Signed | Class::Float | Class::Complex,
        ) => x.as_dtype(to_mlx(to)),
    }
}

/// `f16` or `bf16`.
fn is_half(dtype: DType) -> bool {
    dtype.is_float() && dtype.size() == 2
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

#[cfg(test)]
mod tests {
    use emily_spec::Op;
    use half::{bf16, f16};

    use super::super::testing::{Element, answer, gives, vector};
    use super::*;

    fn casts<T: Element, U: Element>(from: &[T], to: &[U]) {
        let op = Op::AsType { dtype: U::DTYPE };
        gives(&op, &[vector(from)], &vector(to));
    }

    const NAN: f32 = f32::NAN;
    const INF: f32 = f32::INFINITY;

    #[test]
    fn floats_truncate_to_integers() {
        casts(
            &[-1.9f32, -0.9, -0.0, 0.9, 1.9, 2.5],
            &[-1i32, 0, 0, 0, 1, 2],
        );
        casts(&[f16::from_f32(-3.75)], &[-3i8]);
        casts(&[bf16::from_f32(200.5)], &[200u8]);
        casts(&[-1.9f64, 1e15 + 0.5], &[-1i64, 1_000_000_000_000_000]);
    }

    #[test]
    fn nan_is_zero_and_infinities_are_the_limits() {
        casts(&[NAN, INF, -INF], &[0u8, 255, 0]);
        casts(&[NAN, INF, -INF], &[0i8, 127, -128]);
        casts(&[NAN, INF, -INF], &[0i32, i32::MAX, i32::MIN]);
        casts(&[NAN, INF, -INF], &[0u64, u64::MAX, 0]);
        casts(
            &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY],
            &[0i64, i64::MAX, i64::MIN],
        );
        casts(
            &[f16::NAN, f16::INFINITY, f16::NEG_INFINITY],
            &[0u16, u16::MAX, 0],
        );
    }

    #[test]
    fn finite_floats_beyond_the_width_wrap() {
        casts(&[256.0f32, 300.7, -1.0, -257.5], &[0u8, 44, 255, 255]);
        casts(&[128.0f32, -129.0, 1e10], &[-128i8, 127, 0]);
        // 2^31 and 2^32 + 2^9.
        casts(&[2_147_483_648.0f32, 4_294_967_808.0], &[i32::MIN, 512]);
    }

    #[test]
    fn floats_beyond_64_bits_wrap_exactly() {
        let (two63, two64) = (2f32.powi(63), 2f32.powi(64));
        casts(&[two63, -two63, two64, -two64], &[i64::MIN, i64::MIN, 0, 0]);
        // The f32s next to 2^63 and 2^64 from above are 2^40 and 2^41 away.
        let above63 = f32::from_bits(two63.to_bits() + 1);
        let above64 = f32::from_bits(two64.to_bits() + 1);
        casts(
            &[above63, above64, -above64],
            &[i64::MIN + (1 << 40), 1 << 41, -(1 << 41)],
        );
        casts(
            &[above63, f32::MAX, 1e30],
            &[(1u64 << 63) + (1 << 40), 0, 0],
        );
        // 2^64 + 2^12 is an f64.
        casts(
            &[2f64.powi(64) + 4096.0, -2f64.powi(64) - 4096.0],
            &[4096i64, -4096],
        );
        casts(&[1.5 * 2f64.powi(52) * 4096.0], &[3i64 << 63]);
    }

    #[test]
    fn integers_wrap_to_narrower_ones() {
        casts(&[300i32, -1, -129], &[44u8, 255, 127]);
        casts(&[u64::MAX, 1 << 63], &[-1i64, i64::MIN]);
        casts(&[-1i8, 127], &[u64::MAX, 127]);
    }

    #[test]
    fn wide_integers_round_once_to_floats() {
        casts(&[16_777_217i32, 16_777_219], &[16_777_216f32, 16_777_220.0]);
        casts(
            &[u64::MAX, (1 << 63) + (1 << 39) + 1],
            &[2f32.powi(64), 2f32.powi(63) + 2f32.powi(40)],
        );
        casts(
            &[i64::MAX, 9_007_199_254_740_993],
            &[2f64.powi(63), 9_007_199_254_740_992.0],
        );
    }

    #[test]
    fn integers_round_once_to_small_floats() {
        let near = |values: &[f64]| {
            values
                .iter()
                .map(|&x| bf16::from_f64(x))
                .collect::<Vec<_>>()
        };
        // Halfway between bf16s, 2^55 apart at 2^62, and one beyond it, which f32 cannot tell.
        let tie = (1i64 << 62) + (1 << 54);
        let (low, high) = (2f64.powi(62), 2f64.powi(62) + 2f64.powi(55));
        casts(
            &[tie, tie + 1, tie - 1, -tie - 1],
            &near(&[low, high, low, -high]),
        );
        let tie = (1u64 << 63) + (1 << 55);
        let (low, high) = (2f64.powi(63), 2f64.powi(63) + 2f64.powi(56));
        casts(
            &[tie, tie + 1, u64::MAX],
            &near(&[low, high, 2f64.powi(64)]),
        );
        // 2^30 + 2^22 + 1 in 32 bits.
        let tie = (1i32 << 30) + (1 << 22);
        let (low, high) = (2f64.powi(30), 2f64.powi(30) + 2f64.powi(23));
        casts(
            &[tie, tie + 1, -tie, i32::MIN],
            &near(&[low, high, -low, -2f64.powi(31)]),
        );
        casts(
            &[65519i32, 65520, -65520, i32::MAX, 2049],
            &[
                f16::MAX,
                f16::INFINITY,
                f16::NEG_INFINITY,
                f16::INFINITY,
                f16::from_f32(2048.0),
            ],
        );
        casts(&[i64::MIN], &[f16::NEG_INFINITY]);
    }

    #[test]
    fn doubles_round_once_to_small_floats() {
        // Just above the tie of 1 and 1 + 2^-10, which f32 rounds to the tie.
        let above = 1.0 + 2f64.powi(-11) + 2f64.powi(-40);
        casts(
            &[above, -above, 1.0 + 2f64.powi(-11)],
            &[f16::from_bits(0x3c01), f16::from_bits(0xbc01), f16::ONE],
        );
        let above = 1.0 + 2f64.powi(-8) + 2f64.powi(-40);
        casts(&[above], &[bf16::from_f32(1.0078125)]);
        // A half of the least subnormal is a tie with zero.
        let half = 2f64.powi(-25);
        casts(
            &[
                half,
                half * (1.0 + f64::EPSILON),
                -1e-300,
                65520.0,
                1e300,
                -0.0,
            ],
            &[0u16, 1, 0x8000, 0x7c00, 0x7c00, 0x8000].map(f16::from_bits),
        );
        let nan = answer(&Op::AsType { dtype: DType::F16 }, &[vector(&[f64::NAN])]);
        assert!(nan.values::<f16>()[0].is_nan());
    }

    #[test]
    fn small_floats_keep_their_subnormals() {
        let tiny = f16::from_bits(1);
        casts(&[tiny], &[2f32.powi(-24)]);
        casts(
            &[2f32.powi(-24), 2f32.powi(-25), -2f32.powi(-26)],
            &[tiny, f16::ZERO, f16::NEG_ZERO],
        );
        casts(&[bf16::from_bits(1)], &[f32::from_bits(1 << 16)]);
        casts(&[f32::from_bits(0x0000_8001)], &[bf16::from_bits(1)]);
        casts(
            &[f16::MAX, f16::INFINITY],
            &[bf16::from_f32(65536.0), bf16::INFINITY],
        );
    }

    #[test]
    fn complex_numbers_drop_the_imaginary_part_and_reals_gain_zero() {
        casts(&[[1.5f32, 9.0], [-2.5, NAN]], &[1.5f32, -2.5]);
        casts(&[[300.5f32, 9.0], [NAN, 1.0]], &[44u8, 0]);
        casts(&[[0.1f32, 0.0]], &[f64::from(0.1f32)]);
        casts(&[-3i64, 16_777_217], &[[-3.0f32, 0.0], [16_777_216.0, 0.0]]);
        casts(&[0.1f64], &[[0.1f32, 0.0]]);
        casts(&[f16::from_f32(0.5)], &[[0.5f32, 0.0]]);
    }
}
