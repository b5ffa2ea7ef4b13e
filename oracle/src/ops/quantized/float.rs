//! Matrices of small floats with a scale for each group.

use emily_spec::{FpDequantize, FpFormat, Result};

use super::codes;
use crate::array::{self, WideArray};
use crate::eval::Target;
use crate::value::Wide;

/// scale · element, in `f64`, which holds every such product.
pub(crate) fn fp_dequantize(
    op: &FpDequantize,
    inputs: &[WideArray],
    target: Target,
) -> Result<WideArray> {
    let codes = codes(&inputs[0], op.format.bits())?;
    let (element, scale): (Decode, Decode) = match op.format {
        FpFormat::Mxfp4 => (e2m1, e8m0),
        FpFormat::Mxfp8 => (e4m3, e8m0),
        FpFormat::Nvfp4 => (e2m1, e4m3),
    };
    let groups = codes.chunks(op.format.group_size()).zip(&inputs[1]);
    let elements = groups.flat_map(|(codes, s)| {
        let s = scale(s.int() as u64);
        codes
            .iter()
            .map(move |&code| Wide::Float(s * element(code)))
    });
    array::from_vec(&target.ty.shape, elements.collect())
}

/// What a code is.
type Decode = fn(u64) -> f64;

/// Sign, two bits of exponent, one of mantissa.
fn e2m1(code: u64) -> f64 {
    small(code >> 3 & 1, code >> 1 & 3, code & 1, 1, 1)
}

/// Sign, four bits of exponent, three of mantissa; all of them set are NaN.
fn e4m3(code: u64) -> f64 {
    match code & 0x7f {
        0x7f => f64::NAN,
        _ => small(code >> 7, code >> 3 & 15, code & 7, 3, 7),
    }
}

/// A power of two; all bits set are NaN.
fn e8m0(code: u64) -> f64 {
    match code {
        255 => f64::NAN,
        _ => 2f64.powi(code as i32 - 127),
    }
}

/// A float of these fields, subnormal where the exponent is 0.
fn small(sign: u64, exponent: u64, mantissa: u64, mantissa_bits: i32, bias: i32) -> f64 {
    let fraction = mantissa as f64 / 2f64.powi(mantissa_bits);
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(1 - bias),
        _ => (1.0 + fraction) * 2f64.powi(exponent as i32 - bias),
    };
    if sign == 1 { -magnitude } else { magnitude }
}
