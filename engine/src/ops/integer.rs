//! Parts of integers: ranges, and magnitudes in arithmetic that C++ defines.

use emily_spec::{Class, DType};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::select;

use crate::mlx::{dtype_of, integer, to_mlx};

/// The least and the greatest value of an integer dtype.
pub(super) fn limits(dtype: DType) -> (i128, i128) {
    let bits = 8 * dtype.size();
    if dtype.class() == Class::Signed {
        (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    } else {
        (0, (1 << bits) - 1)
    }
}

/// The unsigned dtype of the same width.
pub(super) fn unsigned(dtype: DType) -> DType {
    match dtype.size() {
        1 => DType::U8,
        2 => DType::U16,
        4 => DType::U32,
        _ => DType::U64,
    }
}

/// Where a signed integer is negative, and its magnitude as an unsigned one, which also holds the
/// least integer's.
pub(super) fn sign_and_magnitude(x: &Array) -> Result<(Array, Array)> {
    let negative = x.lt(integer(dtype_of(x), 0))?;
    let bits = x.view_dtype(to_mlx(unsigned(dtype_of(x))))?;
    let magnitude = negate_where(&negative, &bits)?;
    Ok((negative, magnitude))
}

/// Unsigned integers, negated modulo 2^bits where `negative` holds.
pub(super) fn negate_where(negative: &Array, x: &Array) -> Result<Array> {
    select(negative, integer(dtype_of(x), 0).subtract(x)?, x)
}
