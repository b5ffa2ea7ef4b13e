//! What has come together up to each element.

use emily_spec::{Class, Cumulative, DType, Scan};
use mlx_rs::error::Result;
use mlx_rs::ops::select;
use mlx_rs::{Array, Dtype};

use super::Cx;
use super::cast::cast;
use super::complex::of_parts;
use super::float::widened;
use crate::Device;
use crate::mlx::{clone_array, dtype_of, integer, real};

/// Each element's reduction with all those before it: integers modulo 2^bits, floats wider than they
/// are, rounded once.
pub(super) fn cumulative(op: Cumulative, attrs: &Scan, x: &Array, cx: &Cx) -> Result<Array> {
    if x.size() == 0 {
        return Ok(clone_array(x));
    }
    let (axis, reverse) = (attrs.axis as i32, attrs.reverse);
    match op {
        Cumulative::CumulativeSum => accumulated(x, cx, |x| sums(x, attrs, cx)),
        Cumulative::CumulativeProduct => accumulated(x, cx, |x| x.cumprod(axis, reverse, true)),
        Cumulative::CumulativeMax => with_nan(x, attrs, f64::NEG_INFINITY, |x| {
            x.cummax(axis, reverse, true)
        }),
        Cumulative::CumulativeMin => {
            with_nan(x, attrs, f64::INFINITY, |x| x.cummin(axis, reverse, true))
        }
    }
}

/// On the CPU MLX takes one element after another, in the type, so that the error grows with the
/// length: that of `f64` stays below what an `f32` shows.
fn accumulated(x: &Array, cx: &Cx, scan: impl Fn(&Array) -> Result<Array>) -> Result<Array> {
    let dtype = dtype_of(x);
    let wide = match (dtype.class(), cx.device) {
        (Class::Float, Device::Cpu) => cast(x, DType::F64)?,
        (Class::Float, Device::Gpu) => widened(x)?,
        (Class::Unsigned | Class::Signed | Class::Complex, _) => clone_array(x),
    };
    cast(&scan(&wide)?, dtype)
}

/// A GPU's scan begins with +0, so that -0.0 alone come to +0 there: they are given their sign back.
fn sums(x: &Array, attrs: &Scan, cx: &Cx) -> Result<Array> {
    let sum = |x: &Array| x.cumsum(attrs.axis as i32, attrs.reverse, true);
    let signed = |x: &Array| {
        let other = x
            .view_dtype(Dtype::Uint32)?
            .ne(integer(DType::U32, 1 << 31))?;
        select(&met(&other, attrs)?, &sum(x)?, real(DType::F32, -0.0))
    };
    match (dtype_of(x).class(), cx.device) {
        (Class::Float, Device::Gpu) => signed(x),
        (Class::Complex, Device::Gpu) => of_parts(x, signed),
        (Class::Unsigned | Class::Signed, Device::Gpu) | (_, Device::Cpu) => sum(x),
    }
}

/// Where a mark stands at the element or at one that came before it.
fn met(marks: &Array, attrs: &Scan) -> Result<Array> {
    let marks = marks.as_dtype(Dtype::Uint8)?;
    let met = marks.cummax(attrs.axis as i32, attrs.reverse, true)?;
    met.ne(integer(DType::U8, 0))
}

/// MLX keeps a NaN to its own place: here it counts as `least`, which changes nothing, and is put back
/// from its place on.
fn with_nan(
    x: &Array,
    attrs: &Scan,
    least: f64,
    scan: impl Fn(&Array) -> Result<Array>,
) -> Result<Array> {
    let dtype = dtype_of(x);
    if dtype.is_integer() {
        return scan(x);
    }
    let is_nan = x.ne(x)?;
    let numbers = scan(&select(&is_nan, real(dtype, least), x)?)?;
    select(&met(&is_nan, attrs)?, real(dtype, f64::NAN), &numbers)
}
