//! Equality of numbers, whatever their dtypes.
//!
//! The operands are compared as the numbers they are, not at a merged dtype, which may hold
//! neither: 2^24 + 1 is no `f32`, and u64 and s64 have no common dtype.

use emily_spec::{Class, DType};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::select;

use super::float::widened;
use crate::mlx::{dtype_of, integer, real, to_mlx};

/// True where the operands are equal.
pub(super) fn equal(a: &Array, b: &Array) -> Result<Array> {
    let (left, right) = (dtype_of(a), dtype_of(b));
    if left == right {
        return a.eq(b);
    }
    match (left.class(), right.class()) {
        (Class::Complex, _) => equal_complex(a, b),
        (_, Class::Complex) => equal_complex(b, a),
        (Class::Float, Class::Float) => {
            let wider = wider(left, right);
            at(a, wider)?.eq(at(b, wider)?)
        }
        (Class::Float, Class::Unsigned | Class::Signed) => equal_float_integer(a, b),
        (Class::Unsigned | Class::Signed, Class::Float) => equal_float_integer(b, a),
        (Class::Unsigned | Class::Signed, Class::Unsigned | Class::Signed) => equal_integers(a, b),
    }
}

/// The dtype that holds every number of two real float ones.
pub(super) fn wider(left: DType, right: DType) -> DType {
    if left.size().max(right.size()) == 8 {
        DType::F64
    } else {
        DType::F32
    }
}

/// From where to before which an integer dtype reaches: powers of two, or zero, so exact in every
/// float wider than `f16`.
pub(super) fn integer_range(dtype: DType) -> (f64, f64) {
    let bits = 8 * dtype.size() as i32;
    if dtype.class() == Class::Signed {
        (-2f64.powi(bits - 1), 2f64.powi(bits - 1))
    } else {
        (0.0, 2f64.powi(bits))
    }
}

/// The array at this dtype, as MLX casts.
pub(super) fn at(x: &Array, dtype: DType) -> Result<Array> {
    x.as_dtype(to_mlx(dtype))
}

/// A complex number equals a real one where its imaginary part is zero and the real parts are
/// equal.
fn equal_complex(z: &Array, x: &Array) -> Result<Array> {
    let real_number = z.imag()?.eq(real(DType::F32, 0.0))?;
    equal(&z.real()?, x)?.logical_and(real_number)
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
    let (low, high) = integer_range(dtype);
    let inside = f
        .ge(real(float, low))?
        .logical_and(f.lt(real(float, high))?)?
        .logical_and(f.floor()?.eq(&f)?)?;
    let safe = select(&inside, &f, real(float, 0.0))?;
    inside.logical_and(at(&safe, dtype)?.eq(i)?)
}
