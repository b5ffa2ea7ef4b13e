//! Equality of numbers, whatever their dtypes.
//!
//! The operands are compared as the numbers they are, not at a merged dtype, which may hold
//! neither: 2^24 + 1 is no `f32`, and u64 and s64 have no common dtype.

use emily_spec::{Class, DType};
use mlx_rs::error::Result;
use mlx_rs::ops::select;
use mlx_rs::{Array, Dtype};

use super::float::widened;
use crate::mlx::{dtype_of, integer, real, to_mlx};

/// `u8` 1 where the operands are equal; a mask is one byte already.
pub(super) fn equal(left: &Array, right: &Array) -> Result<Array> {
    equal_mask(left, right)?.view_dtype(Dtype::Uint8)
}

fn equal_mask(a: &Array, b: &Array) -> Result<Array> {
    let (left, right) = (dtype_of(a), dtype_of(b));
    if left == right {
        return a.eq(b);
    }
    match (left.class(), right.class()) {
        (Class::Complex, _) => equal_complex(a, b),
        (_, Class::Complex) => equal_complex(b, a),
        (Class::Float, Class::Float) => {
            let wider = if left.size().max(right.size()) == 8 {
                DType::F64
            } else {
                DType::F32
            };
            at(a, wider)?.eq(at(b, wider)?)
        }
        (Class::Float, Class::Unsigned | Class::Signed) => equal_float_integer(a, b),
        (Class::Unsigned | Class::Signed, Class::Float) => equal_float_integer(b, a),
        (Class::Unsigned | Class::Signed, Class::Unsigned | Class::Signed) => equal_integers(a, b),
    }
}

fn at(x: &Array, dtype: DType) -> Result<Array> {
    x.as_dtype(to_mlx(dtype))
}

/// A complex number equals a real one where its imaginary part is zero and the real parts are
/// equal.
fn equal_complex(z: &Array, x: &Array) -> Result<Array> {
    let real_number = z.imag()?.eq(real(DType::F32, 0.0))?;
    equal_mask(&z.real()?, x)?.logical_and(real_number)
}

/// Both in 64 bits, where they are equal as bits; an unsigned one beyond `s64` then looks negative,
/// and is equal to none.
fn equal_integers(a: &Array, b: &Array) -> Result<Array> {
    let same = at(a, DType::S64)?.eq(at(b, DType::S64)?)?;
    let misread = |x: &Array| at(x, DType::S64)?.lt(integer(DType::S64, 0));
    match (dtype_of(a), dtype_of(b)) {
        (DType::U64, _) => same.logical_and(misread(a)?.logical_not()?),
        (_, DType::U64) => same.logical_and(misread(b)?.logical_not()?),
        _ => Ok(same),
    }
}

/// A float equals an integer where it is one, lies in the dtype's range, and casts to it.
fn equal_float_integer(f: &Array, i: &Array) -> Result<Array> {
    // The bounds below are `f32`s, but not all `f16`s.
    let f = widened(f)?;
    let (float, dtype) = (dtype_of(&f), dtype_of(i));
    let bits = 8 * dtype.size() as i32;
    // Both powers of two, or zero, so exact floats; the upper one is excluded.
    let (low, high) = if dtype.class() == Class::Signed {
        (-2f64.powi(bits - 1), 2f64.powi(bits - 1))
    } else {
        (0.0, 2f64.powi(bits))
    };
    let inside = f
        .ge(real(float, low))?
        .logical_and(f.lt(real(float, high))?)?
        .logical_and(f.floor()?.eq(&f)?)?;
    let safe = select(&inside, &f, real(float, 0.0))?;
    inside.logical_and(at(&safe, dtype)?.eq(i)?)
}

#[cfg(test)]
mod tests {
    use emily_spec::Op;
    use half::{bf16, f16};

    use super::super::testing::{Element, gives, scalar, tensor, vector};

    const NAN: f32 = f32::NAN;
    const INF: f32 = f32::INFINITY;

    fn equal<T: Element, U: Element>(left: &[T], right: &[U], want: &[u8]) {
        gives(&Op::Equal, &[vector(left), vector(right)], &vector(want));
        gives(&Op::Equal, &[vector(right), vector(left)], &vector(want));
    }

    #[test]
    fn integers_of_different_dtypes_are_compared_exactly() {
        equal(&[1u64 << 63, u64::MAX, 5], &[i64::MIN, -1, 5], &[0, 0, 1]);
        equal(&[u64::MAX, 255], &[-1i8, -1], &[0, 0]);
        equal(&[u32::MAX, 7], &[-1i32, 7], &[0, 1]);
        equal(&[255u8, 1], &[255i64, 257], &[1, 0]);
        equal(&[u64::MAX, 255], &[255u8, 255], &[0, 1]);
    }

    #[test]
    fn floats_and_integers_are_compared_exactly() {
        equal(
            &[16_777_217i32, 16_777_216],
            &[16_777_216f32, 16_777_216.0],
            &[0, 1],
        );
        equal(
            &[1u64 << 63, (1 << 63) + 1, u64::MAX],
            &[2f32.powi(63), 2f32.powi(63), 2f32.powi(64)],
            &[1, 0, 0],
        );
        equal(
            &[i64::MIN, i64::MAX],
            &[-2f32.powi(63), 2f32.powi(63)],
            &[1, 0],
        );
        equal(
            &[2i32, i32::MAX, i32::MIN, 0, 0],
            &[2.5f32, INF, -INF, NAN, -0.0],
            &[0, 0, 0, 0, 1],
        );
        equal(&[255u8, 0, 0], &[255f32, 256.0, -1.0], &[1, 0, 0]);
        equal(
            &[9_007_199_254_740_993i64],
            &[9_007_199_254_740_992f64],
            &[0],
        );
        equal(&[3u8], &[f16::from_f32(3.0)], &[1]);
    }

    #[test]
    fn floats_of_different_dtypes_are_compared_exactly() {
        equal(&[0.1f32, 0.5], &[0.1f64, 0.5], &[0, 1]);
        equal(
            &[f16::from_f32(0.1), f16::NAN],
            &[bf16::from_f32(0.1), bf16::NAN],
            &[0, 0],
        );
        equal(&[0.0f32, NAN], &[f16::NEG_ZERO, f16::NAN], &[1, 0]);
    }

    #[test]
    fn a_complex_number_equals_a_real_one_without_imaginary_part() {
        equal(
            &[[2.0f32, 0.0], [2.0, -0.0], [2.0, 1.0], [NAN, 0.0]],
            &[2i8, 2, 2, 2],
            &[1, 1, 0, 0],
        );
        equal(&[[0.5f32, 0.0]], &[0.5f64], &[1]);
        equal(
            &[[1.0f32, 2.0], [1.0, NAN]],
            &[[1.0f32, 2.0], [1.0, NAN]],
            &[1, 0],
        );
    }

    #[test]
    fn comparisons_broadcast_and_may_be_empty() {
        gives(
            &Op::Equal,
            &[tensor([2, 1], &[1u8, 2]), vector(&[1f32, 2.0])],
            &tensor([2, 2], &[1u8, 0, 0, 1]),
        );
        gives(
            &Op::Equal,
            &[vector::<u8>(&[]), scalar(1f32)],
            &vector::<u8>(&[]),
        );
    }
}
