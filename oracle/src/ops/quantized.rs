//! Matrices whose elements are codes of a few bits, and products with them.

use emily_spec::{
    Dequantize, Error, ErrorKind, FpDequantize, FpFormat, Quantize, QuantizedMatmul, Result,
    TensorType,
};
use ndarray::{ArrayD, ArrayView1, Axis, Dimension, Ix2};

use super::accumulate;
use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};
use crate::format::Format;
use crate::value::Wide;
use crate::{Magnitude, Of};

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

/// The words of a row of codes: bit number `n` is bit `n % 32` of word number `n / 32`.
fn packed(codes: &[u64], bits: usize) -> Vec<Wide> {
    let bit = |n: usize| i128::from(codes[n / bits] >> (n % bits) & 1);
    let word = |w: usize| (0..32).map(|n| bit(32 * w + n) << n).sum::<i128>();
    (0..codes.len() * bits / 32)
        .map(|w| Wide::Int(word(w)))
        .collect()
}

/// An element of a matrix of packed codes.
#[derive(Clone, Copy)]
struct Element {
    value: f64,
    /// |scale · code| + |bias|.
    magnitude: f64,
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
    let sizes: Vec<f64> = elements.iter().map(|x| x.magnitude).collect();
    Ok(WideAnswer {
        values: array::from_vec(&target.ty.shape, values)?,
        magnitude: Some(Magnitude {
            of: Of::Terms,
            worst: sizes.iter().map(|&size| size.max(tiny)).collect(),
            sizes,
            random: 1.0,
        }),
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
    products(&inputs[0].mapv(|x| target.cast(x).float()), &matrix, target)
}

/// The sums of products of the rows of `x` with those of the matrices, batch axes broadcast. An element
/// of a matrix is off by a rounding of its product and one of its sum, as if there were two terms more.
fn products(x: &ArrayD<f64>, matrix: &ArrayD<Element>, target: Target) -> Result<WideAnswer> {
    let shape = &target.ty.shape;
    let last = shape.rank() - 1;
    let depth = x.shape()[last.min(x.ndim() - 1)];
    let tiny = Format::of(target.dtype()).map_or(0.0, Format::tiny);
    let (mut values, mut sizes) = (Vec::new(), Vec::new());
    for place in ndarray::indices(shape.dims()) {
        let (batch, ends) = place.slice().split_at(last - 1);
        let (x, matrix) = (row(x, batch, ends[0]), row(matrix, batch, ends[1]));
        let terms = || x.iter().copied().zip(&matrix);
        let pairs = terms().map(|(x, w)| (Wide::Float(x), Wide::Float(w.value)));
        values.push(accumulate::dot(target.class(), pairs).value);
        let moduli = || terms().map(|(x, w)| x.abs() * w.magnitude);
        let small = terms().any(|(x, w)| (x * w.value).abs() < tiny && x * w.magnitude != 0.0);
        sizes.push((moduli().sum(), if small { tiny } else { 0.0 }));
    }
    accumulate::inner_products(target, depth + 2, values, sizes)
}

/// A row of the matrix at this index of the batch axes, to which its own are broadcast.
fn row<'a, T>(array: &'a ArrayD<T>, batch: &[usize], row: usize) -> ArrayView1<'a, T> {
    let own = array.ndim() - 2;
    let mut part = array.view();
    for index in &batch[batch.len() - own..] {
        let index = if part.shape()[0] == 1 { 0 } else { *index };
        part.index_axis_inplace(Axis(0), index);
    }
    let part = part
        .into_dimensionality::<Ix2>()
        .expect("two axes are left");
    part.index_axis_move(Axis(0), row)
}

/// The matrix of packed codes, scales and biases.
fn matrix(
    group_size: usize,
    bits: usize,
    inputs: &[WideArray],
    target: Target,
) -> Result<ArrayD<Element>> {
    let mut shape = inputs[0].shape().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = *last * 32 / bits;
    }
    let elements = elements(group_size, bits, inputs, target)?;
    ArrayD::from_shape_vec(shape, elements)
        .map_err(|err| Error::new(ErrorKind::Internal, err.to_string()))
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
            magnitude: (scale * code as f64).abs() + bias.abs(),
        })
    });
    Ok(elements.collect())
}

/// The codes in rows of 32-bit words, row after row. Bit number `n` of a row is bit `n % 32` of its word
/// number `n / 32`.
fn codes(packed: &WideArray, bits: usize) -> Result<Vec<u64>> {
    let rows = array::rows(packed, &[packed.ndim() - 1])?;
    let of_row = |row: ndarray::ArrayView1<Wide>| -> Vec<u64> {
        let bit = |n: usize| row[n / 32].int() as u64 >> (n % 32) & 1;
        let code = |i: usize| (0..bits).map(|b| bit(i * bits + b) << b).sum();
        (0..row.len() * 32 / bits).map(code).collect()
    };
    Ok(rows.rows().into_iter().flat_map(of_row).collect())
}

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
