//! Matrices of small floats with a scale for each group.

use emily_spec::{
    DType, FpDequantize, FpFormat, FpGatherQmm, FpQuantize, FpQuantizedMatmul, Result, TensorType,
};
use ndarray::ArrayD;

use super::super::linalg::picked;
use super::{Element, codes, packed, products, rows_of_words, unpacked};
use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};
use crate::value::Wide;

/// Packed codes and scales, group by group, in `f32`.
pub(crate) fn fp_quantize(
    op: &FpQuantize,
    input: &WideArray,
    results: &[TensorType],
) -> Result<Vec<WideAnswer>> {
    let (mut words, mut scales) = (Vec::new(), Vec::new());
    let (element, scale) = decodes(op.format);
    for row in array::rows(input, &[input.ndim() - 1])?.rows() {
        let row: Vec<f32> = row.iter().map(|x| x.float() as f32).collect();
        let mut codes = Vec::new();
        for group in row.chunks(op.format.group_size()) {
            let of_group = scale_of(op.format, group);
            scales.push(Wide::Int(of_group.into()));
            let scale = scale(of_group) as f32;
            codes.extend(group.iter().map(|x| match scale == 0.0 || scale.is_nan() {
                true => 0,
                false => nearest(f64::from(x / scale), op.format.bits(), element),
            }));
        }
        words.extend(packed(&codes, op.format.bits()));
    }
    let parts = results.iter().zip([words, scales]);
    let result =
        |(ty, values): (&TensorType, Vec<Wide>)| Ok(array::from_vec(&ty.shape, values)?.into());
    parts.map(result).collect()
}

/// The code of a group's scale.
fn scale_of(format: FpFormat, group: &[f32]) -> u64 {
    let finite = group.iter().all(|x| x.is_finite());
    let largest = group.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    match format {
        FpFormat::Mxfp4 | FpFormat::Mxfp8 if !finite => 255,
        FpFormat::Nvfp4 if !finite => 0x7f,
        FpFormat::Mxfp4 => power(largest, 4.0),
        FpFormat::Mxfp8 => power(largest, 256.0),
        FpFormat::Nvfp4 => nearest(f64::from(largest / 6.0), 8, e4m3),
    }
}

/// The code of the largest power of two that times this element is within the modulus, or of the least.
fn power(modulus: f32, element: f64) -> u64 {
    let fits = |code: &u64| e8m0(*code) * element <= f64::from(modulus);
    (0..255).rev().find(fits).unwrap_or(0)
}

/// The code of what is nearest to `x`, of two the even one, with the sign of `x`; beyond the largest, that.
fn nearest(x: f64, bits: usize, value: Decode) -> u64 {
    let sign = 1 << (bits - 1);
    let codes = (0..sign).filter(|&code| !value(code).is_nan());
    let largest = codes.clone().map(value).fold(0.0, f64::max);
    let distance = |code: u64| (value(code) - x.abs().min(largest)).abs();
    let nearer = |a: &u64, b: &u64| {
        let by_distance = distance(*a).total_cmp(&distance(*b));
        by_distance.then((a % 2).cmp(&(b % 2)))
    };
    let code = codes.min_by(nearer).unwrap_or(0);
    if x.is_sign_negative() {
        sign | code
    } else {
        code
    }
}

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

/// Sums of x · (scale · element) for each row of x and each row or column of the matrix.
pub(crate) fn fp_quantized_matmul(
    op: &FpQuantizedMatmul,
    inputs: &[WideArray],
    target: Target,
) -> Result<WideAnswer> {
    let matrix = matrix(op.format, op.transpose, &inputs[1..], target)?;
    products(&inputs[0].mapv(|x| x.float()), &matrix, 0, target)
}

/// The same of the matrices that pairs of indices name.
pub(crate) fn fp_gather_qmm(
    op: &FpGatherQmm,
    inputs: &[WideArray],
    target: Target,
) -> Result<WideAnswer> {
    let matrix = matrix(op.format, op.transpose, &inputs[1..], target)?;
    let x = inputs[0].mapv(|x| x.float());
    let shapes = [&inputs[0], &inputs[1]].map(rows_of_words);
    let shapes = [&shapes[0][..], &shapes[1][..]];
    let (x, matrix) = picked(&x, &matrix, shapes, &inputs[3..], target)?;
    products(&x, &matrix, 0, target)
}

/// The matrix, or its transpose where columns are to be rows. Elements are exact, but for those beyond
/// `f32`.
fn matrix(
    format: FpFormat,
    transpose: bool,
    inputs: &[WideArray],
    target: Target,
) -> Result<ArrayD<Element>> {
    let element = |x: f64| {
        let value = if target.dtype() == DType::F64 {
            x
        } else {
            f64::from(x as f32)
        };
        Element {
            value,
            terms: [value, 0.0],
        }
    };
    let elements = elements(format, inputs)?.into_iter().map(element).collect();
    let mut matrix = unpacked(&inputs[0], format.bits(), elements)?;
    if !transpose {
        matrix.swap_axes(matrix.ndim() - 2, matrix.ndim() - 1);
    }
    Ok(matrix)
}

/// The elements of a matrix, row after row, in `f64`, which holds them; its operands are packed codes and
/// scales.
fn elements(format: FpFormat, inputs: &[WideArray]) -> Result<Vec<f64>> {
    let codes = codes(&inputs[0], format.bits())?;
    let (element, scale) = decodes(format);
    let groups = codes.chunks(format.group_size()).zip(&inputs[1]);
    let elements = groups.flat_map(|(codes, s)| {
        let s = scale(s.int() as u64);
        codes.iter().map(move |&code| s * element(code))
    });
    Ok(elements.collect())
}

/// What a code is.
type Decode = fn(u64) -> f64;

/// What the codes of elements and of scales are.
fn decodes(format: FpFormat) -> (Decode, Decode) {
    match format {
        FpFormat::Mxfp4 => (e2m1, e8m0),
        FpFormat::Mxfp8 => (e4m3, e8m0),
        FpFormat::Nvfp4 => (e2m1, e4m3),
    }
}

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
