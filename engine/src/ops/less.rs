//! The order of real numbers, whatever their dtypes.
//!
//! As for equality, the operands are compared as the numbers they are, not at a merged dtype.

use emily_spec::{Class, DType};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::{ceil, select};

use super::equal::{at, equal, integer_range, wider};
use super::float::widened;
use crate::mlx::{dtype_of, integer, real};

/// True where `a` is less than `b`; false beside NaN.
pub(super) fn less(a: &Array, b: &Array) -> Result<Array> {
    let (left, right) = (dtype_of(a), dtype_of(b));
    if left == right {
        return a.lt(b);
    }
    match (left.is_integer(), right.is_integer()) {
        (false, false) => {
            let wider = wider(left, right);
            at(a, wider)?.lt(at(b, wider)?)
        }
        (true, true) => less_integers(a, b),
        (false, true) => less_than_integer(a, b),
        (true, false) => less_than_float(a, b),
    }
}

/// True where `a` is less than or equal to `b`; false beside NaN.
pub(super) fn less_or_equal(a: &Array, b: &Array) -> Result<Array> {
    if dtype_of(a) == dtype_of(b) {
        return a.le(b);
    }
    less(a, b)?.logical_or(equal(a, b)?)
}

/// In `s64`, but for a `u64`, beside which what is negative is less.
fn less_integers(a: &Array, b: &Array) -> Result<Array> {
    let negative = |x: &Array| match dtype_of(x).class() {
        Class::Signed => x.lt(integer(dtype_of(x), 0)),
        Class::Unsigned | Class::Float | Class::Complex => Ok(Array::from_bool(false)),
    };
    match (dtype_of(a), dtype_of(b)) {
        (DType::U64, _) => {
            let lower = a.lt(at(b, DType::U64)?)?;
            lower.logical_and(negative(b)?.logical_not()?)
        }
        (_, DType::U64) => at(a, DType::U64)?.lt(b)?.logical_or(negative(a)?),
        _ => at(a, DType::S64)?.lt(at(b, DType::S64)?),
    }
}

/// A float is less than an integer where the whole number at or below it is.
fn less_than_integer(f: &Array, i: &Array) -> Result<Array> {
    let f = widened(f)?;
    let limits = Limits::of(&f, i)?;
    let floor = at(&limits.inside(&f.floor()?)?, limits.integer)?;
    let lower = floor.lt(at(i, limits.integer)?)?;
    // Beyond the limits, and for NaN, what was compared means nothing.
    let within = limits.below.logical_or(&limits.above)?.logical_not()?;
    let lower = lower.logical_and(within)?.logical_or(&limits.below)?;
    lower.logical_and(f.eq(&f)?)
}

/// An integer is less than a float where it is less than the whole number at or above that.
fn less_than_float(i: &Array, f: &Array) -> Result<Array> {
    let f = widened(f)?;
    let limits = Limits::of(&f, i)?;
    let whole = at(&limits.inside(&ceil(&f)?)?, limits.integer)?;
    let lower = at(i, limits.integer)?.lt(whole)?;
    let within = limits.below.logical_or(&limits.above)?.logical_not()?;
    let lower = lower.logical_and(within)?.logical_or(&limits.above)?;
    lower.logical_and(f.eq(&f)?)
}

/// Where a float lies outside the 64-bit integers that the operand beside it is compared in.
struct Limits {
    integer: DType,
    below: Array,
    above: Array,
}

impl Limits {
    fn of(f: &Array, i: &Array) -> Result<Limits> {
        let integer = if dtype_of(i) == DType::U64 {
            DType::U64
        } else {
            DType::S64
        };
        let (low, high) = integer_range(integer);
        Ok(Limits {
            integer,
            below: f.lt(real(dtype_of(f), low))?,
            above: f.ge(real(dtype_of(f), high))?,
        })
    }

    /// The whole number where it is an integer within the limits, and 0 elsewhere, which casts alike
    /// on every device. From 2^53 on floats are whole, so that none is rounded to the upper limit.
    fn inside(&self, whole: &Array) -> Result<Array> {
        let outside = self
            .below
            .logical_or(&self.above)?
            .logical_or(whole.ne(whole)?)?;
        select(outside, real(dtype_of(whole), 0.0), whole)
    }
}
