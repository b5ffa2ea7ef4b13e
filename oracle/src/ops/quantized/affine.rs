//! Matrices of codes with a scale and a bias for each group.

use emily_spec::{
    Dequantize, Error, ErrorKind, GatherQmm, Quantize, QuantizedMatmul, Result, TensorType,
};
use ndarray::ArrayD;

use super::super::linalg::picked;
use super::{Element, codes, packed, products, rows_of_words, unpacked};
use crate::Magnitude;
use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};
use crate::format::Format;
use crate::value::Wide;

/// Packed codes, scales and biases, group by group.
pub(crate) fn quantize(
    op: &Quantize,
    input: &WideArray,
    results: &[TensorType],
) -> Result<Vec<WideAnswer>> {
    let [mut words, mut scales, mut biases] = [(); 3].map(|()| Vec::new());
    for row in array::rows(input, &[input.ndim() - 1])?.rows() {
        let row: Vec<f32> = row.iter().map(|x| x.float() as f32).collect();
        let mut codes = Vec::new();
        for group in row.chunks(op.group_size) {
            let (scale, bias) = scale_and_bias(group, op.bits)?;
            scales.push(Wide::Float(scale.into()));
            biases.push(Wide::Float(bias.into()));
            let most = ((1 << op.bits) - 1) as f32;
            let code = |x: &f32| ((x - bias) / scale).round_ties_even().clamp(0.0, most) as u64;
            codes.extend(group.iter().map(code));
        }
        words.extend(packed(&codes, op.bits));
    }
    let parts = results.iter().zip([words, scales, biases]);
    let result =
        |(ty, values): (&TensorType, Vec<Wide>)| Ok(array::from_vec(&ty.shape, values)?.into());
    parts.map(result).collect()
}

/// What a group's codes are multiplied by, and what is added: in `f32`, as the contract has it.
fn scale_and_bias(group: &[f32], bits: usize) -> Result<(f32, f32)> {
    let least = group.iter().copied().fold(f32::INFINITY, f32::min);
    let largest = group.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // `min` and `max` leave NaN out.
    if group.iter().any(|x| !x.is_finite()) || !(largest - least).is_finite() {
        return Err(Error::new(
            ErrorKind::Argument,
            "a matrix must be finite, and a group must span no more than f32 holds",
        ));
    }
    let step = ((largest - least) / ((1 << bits) - 1) as f32).max(1e-7);
    let (edge, scale) = match least.abs() > largest.abs() {
        true => (least, step),
        false => (largest, -step),
    };
    let whole = (edge / scale).round_ties_even();
    Ok(match whole == 0.0 {
        true => (scale, 0.0),
        false => (edge / whole, edge),
    })
}

/// scale · code + bias, element by element.
pub(crate) fn dequantize(
    op: &Dequantize,
    inputs: &[WideArray],
    target: Target,
) -> Result<WideAnswer> {
    let elements = elements(op.group_size, op.bits, inputs, target)?;
    let values = elements.iter().map(|x| Wide::Float(x.value)).collect();
    // A product below the normal range is rounded to a multiple of eps · tiny.
    let tiny = Format::of(target.dtype()).map_or(0.0, Format::tiny);
    let sizes = elements.iter().map(Element::magnitude).collect();
    let at_least = |size: f64| if size > 0.0 { size.max(tiny) } else { 0.0 };
    Ok(WideAnswer {
        values: array::from_vec(&target.ty.shape, values)?,
        magnitude: Some(Magnitude::of_terms(target.dtype(), sizes, at_least)),
    })
}

/// Sums of x · (scale · code + bias) for each row of x and each row or column of the matrix.
pub(crate) fn quantized_matmul(
    op: &QuantizedMatmul,
    inputs: &[WideArray],
    target: Target,
) -> Result<WideAnswer> {
    let mut matrix = matrix(op.group_size, op.bits, &inputs[1..], target)?;
    if !op.transpose {
        matrix.swap_axes(matrix.ndim() - 2, matrix.ndim() - 1);
    }
    // An element is rounded as a product, and as a sum.
    products(
        &inputs[0].mapv(|x| target.cast(x).float()),
        &matrix,
        2,
        target,
    )
}

/// The same of the matrices that pairs of indices name.
pub(crate) fn gather_qmm(
    op: &GatherQmm,
    inputs: &[WideArray],
    target: Target,
) -> Result<WideAnswer> {
    let mut matrix = matrix(op.group_size, op.bits, &inputs[1..4], target)?;
    if !op.transpose {
        matrix.swap_axes(matrix.ndim() - 2, matrix.ndim() - 1);
    }
    let x = inputs[0].mapv(|x| target.cast(x).float());
    let shapes = [&inputs[0], &inputs[1]].map(rows_of_words);
    let shapes = [&shapes[0][..], &shapes[1][..]];
    let (x, matrix) = picked(&x, &matrix, shapes, &inputs[4..], target)?;
    products(&x, &matrix, 2, target)
}

/// The matrix of packed codes, scales and biases.
fn matrix(
    group_size: usize,
    bits: usize,
    inputs: &[WideArray],
    target: Target,
) -> Result<ArrayD<Element>> {
    let elements = elements(group_size, bits, inputs, target)?;
    unpacked(&inputs[0], bits, elements)
}

/// The elements of a matrix, row after row; its operands are packed codes, scales and biases.
fn elements(
    group_size: usize,
    bits: usize,
    inputs: &[WideArray],
    target: Target,
) -> Result<Vec<Element>> {
    let float =
        |array: &WideArray| -> Vec<f64> { array.iter().map(|&x| target.cast(x).float()).collect() };
    let (scales, biases) = (float(&inputs[1]), float(&inputs[2]));
    let codes = codes(&inputs[0], bits)?;
    let groups = codes.chunks(group_size).zip(scales.iter().zip(&biases));
    let elements = groups.flat_map(|(codes, (&scale, &bias))| {
        codes.iter().map(move |&code| Element {
            value: scale.mul_add(code as f64, bias),
            terms: [scale * code as f64, bias],
        })
    });
    Ok(elements.collect())
}
