//! Matrices whose elements are codes of a few bits, and products with them.

mod affine;
mod float;

pub(crate) use affine::{dequantize, gather_qmm, quantize, quantized_matmul};
pub(crate) use float::{fp_dequantize, fp_gather_qmm, fp_quantize, fp_quantized_matmul};

use emily_spec::{Error, ErrorKind, Result};
use ndarray::{ArrayD, ArrayView1, Axis, Dimension, Ix2};

use super::accumulate::{self, Inner};
use super::zero;
use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};
use crate::format::Format;
use crate::value::Wide;

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
    /// What it is the sum of: scale · code and the bias.
    terms: [f64; 2],
}

impl Element {
    fn magnitude(&self) -> f64 {
        self.terms.iter().map(|term| term.abs()).sum()
    }
}

/// The sums of products of the rows of `x` with those of the matrices, batch axes broadcast. Each rounding
/// of an element of a matrix counts as a term more.
fn products(
    x: &ArrayD<f64>,
    matrix: &ArrayD<Element>,
    roundings: usize,
    target: Target,
) -> Result<WideAnswer> {
    let shape = &target.ty.shape;
    let last = shape.rank() - 1;
    let depth = x.shape()[last.min(x.ndim() - 1)];
    let tiny = Format::of(target.dtype()).map_or(0.0, Format::tiny);
    let elements = ndarray::indices(shape.dims()).into_iter().map(|place| {
        let (batch, ends) = place.slice().split_at(last - 1);
        let (x, matrix) = (row(x, batch, ends[0]), row(matrix, batch, ends[1]));
        let terms = || x.iter().copied().zip(&matrix);
        let pairs = terms().map(|(x, w)| (Wide::Float(x), Wide::Float(w.value)));
        let value = accumulate::dot(target.class(), pairs).value;
        let small = terms().any(|(x, w)| (x * w.value).abs() < tiny && x * w.magnitude() != 0.0);
        // A kernel may add up the products with scales and those with biases by themselves.
        let apart = terms().flat_map(|(x, w)| w.terms.map(|term| (x, term)));
        Inner {
            value,
            size: terms().map(|(x, w)| x.abs() * w.magnitude()).sum(),
            lost: if small { tiny } else { 0.0 },
            open_zeros: [
                zero::is_open(target.dtype(), value.float(), roundings, apart),
                false,
            ],
        }
    });
    accumulate::inner_products(target, depth + roundings, elements)
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

/// The matrix of these elements, whose codes are of so many bits.
fn unpacked(packed: &WideArray, bits: usize, elements: Vec<Element>) -> Result<ArrayD<Element>> {
    let mut shape = packed.shape().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = *last * 32 / bits;
    }
    ArrayD::from_shape_vec(shape, elements)
        .map_err(|err| Error::new(ErrorKind::Internal, err.to_string()))
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

/// The leading axes of codes in one, and theirs: what indices of their matrices are into.
fn rows_of_words(array: &WideArray) -> [usize; 3] {
    let (leading, own) = array.shape().split_at(array.ndim() - 2);
    [leading.iter().product(), own[0], own[1]]
}
