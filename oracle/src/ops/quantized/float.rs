//! Matrices of small floats with a scale for each group.

use emily_spec::{DType, FpDequantize, FpFormat, FpQuantizedMatmul, Result};

use super::{Element, codes, products, unpacked};
use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};
use crate::value::Wide;

/// scale · element, rounded once.
pub(crate) fn fp_dequantize(
    op: &FpDequantize,
    inputs: &[WideArray],
    target: Target,
) -> Result<WideArray> {
    let elements = elements(op.format, inputs)?;
    let elements = elements.into_iter().map(Wide::Float).collect();
    array::from_vec(&target.ty.shape, elements)
}

/// Sums of x · (scale · element) for each row of x and each row or column of the matrix. Elements are exact,
/// but for those beyond `f32`.
pub(crate) fn fp_quantized_matmul(
    op: &FpQuantizedMatmul,
    inputs: &[WideArray],
    target: Target,
) -> Result<WideAnswer> {
    let element = |x: f64| {
        let value = if target.dtype() == DType::F64 {
            x
        } else {
            f64::from(x as f32)
        };
        Element {
            value,
            magnitude: value.abs(),
        }
    };
    let elements = elements(op.format, &inputs[1..])?;
    let elements = elements.into_iter().map(element).collect();
    let mut matrix = unpacked(&inputs[1], op.format.bits(), elements)?;
    if !op.transpose {
        matrix.swap_axes(matrix.ndim() - 2, matrix.ndim() - 1);
    }
    products(&inputs[0].mapv(|x| x.float()), &matrix, 0, target)
}

/// The elements of a matrix, row after row, in `f64`, which holds them; its operands are packed codes and
/// scales.
fn elements(format: FpFormat, inputs: &[WideArray]) -> Result<Vec<f64>> {
    let codes = codes(&inputs[0], format.bits())?;
    let (element, scale): (Decode, Decode) = match format {
        FpFormat::Mxfp4 => (e2m1, e8m0),
        FpFormat::Mxfp8 => (e4m3, e8m0),
        FpFormat::Nvfp4 => (e2m1, e4m3),
    };
    let groups = codes.chunks(format.group_size()).zip(&inputs[1]);
    let elements = groups.flat_map(|(codes, s)| {
        let s = scale(s.int() as u64);
        codes.iter().map(move |&code| s * element(code))
    });
    Ok(elements.collect())
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
