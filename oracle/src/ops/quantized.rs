//! Matrices whose elements are codes of a few bits, and products with them.

use emily_spec::{Dequantize, Result};

use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};
use crate::format::Format;
use crate::value::Wide;
use crate::{Magnitude, Of};

/// An element of a matrix of packed codes.
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
