//! Matrices whose elements are codes of a few bits, and products with them.
//!
//! A row is cut into groups of `group_size` elements, each group with a scale of its own. Codes of `bits`
//! bits are packed into 32-bit words from the lowest bit of a row's first word up, one after the other,
//! across the ends of words.
//!
//! In the affine mode a code is a whole number and a group has a bias too: an element is
//! scale · code + bias. In the modes mxfp4, mxfp8 and nvfp4 a code is a small float, and so is a scale: an
//! element is scale · code.

mod affine;
mod float;

pub use affine::{Dequantize, GatherQmm, Quantize, QuantizedMatmul};
pub use float::{FpDequantize, FpFormat, FpGatherQmm, FpQuantize, FpQuantizedMatmul};

use super::linalg::picked;
use crate::cost::largest;
use crate::row::row;
use crate::{
    Arity, Cost, DType, Dtypes, Error, ErrorKind, Family, Price, Result, ResultDType, Role, Row,
    Shape, TensorType,
};

/// A matrix given as packed codes, scales and biases.
const QUANTIZED: Row = Row {
    operands: &["packed", "scales", "biases"],
    roles: &[Role::Codes, Role::Data],
    arity: Arity::Exactly(3),
    accepts: Dtypes::FLOAT,
    result: ResultDType::Merged,
    // MLX's CPU takes codes apart bit by bit, in words of four bytes: up to six of them an element, in
    // two buffers.
    price: Price::each(16),
    ..row(Family::Quantized)
};

/// The shape of rows times matrices.
fn product(x: &Shape, matrix: &Shape, transpose: bool) -> Result<Shape> {
    let own = factors(x, matrix, transpose)?;
    let [batch, batches] = [x, matrix].map(|shape| Shape::new(&shape[..shape.rank() - 2]));
    Ok(Shape::new([&batch.broadcast(&batches)?[..], &own].concat()))
}

/// The shape of matrices picked by index, multiplied.
fn picked_product(
    x: &Shape,
    matrix: &Shape,
    transpose: bool,
    indices: &[TensorType],
) -> Result<Shape> {
    let own = factors(x, matrix, transpose)?;
    let pairs = picked(&indices[0], &indices[1])?;
    Ok(Shape::new([&pairs[..], &own].concat()))
}

/// The rows and columns of the product of two matrices, the latter of which may be transposed.
fn factors(x: &Shape, matrix: &Shape, transpose: bool) -> Result<[usize; 2]> {
    let (Some((_, &[m, k])), Some((_, &[rows, columns]))) =
        (x.split_last_chunk::<2>(), matrix.split_last_chunk::<2>())
    else {
        return Err(Error::new(
            ErrorKind::Shape,
            format!("x needs two axes or more, got {x}"),
        ));
    };
    let (inner, outer) = match transpose {
        true => (columns, rows),
        false => (rows, columns),
    };
    if k != inner {
        return Err(Error::new(
            ErrorKind::Shape,
            format!(
                "x {x} has rows of {k} elements, and the matrix {matrix}{} has {inner} to multiply them by",
                if transpose { ", transposed," } else { "" },
            ),
        ));
    }
    Ok([m, outer])
}

/// The operands are copied in the dtype that is computed in, and so is, of `f64`,
/// the matrix.
fn product_cost(
    row: &Row,
    inputs: &[TensorType],
    results: &[TensorType],
    matrix: &Shape,
) -> Result<Cost> {
    let width = results[0].dtype.size().max(4) as u64;
    let elements = inputs[0].shape.size()?.saturating_add(matrix.size()?) as u64;
    let factor = unpacking(row, results);
    let copies = elements.saturating_mul(width).saturating_mul(factor);
    Ok(Cost {
        temporaries: largest(results)?
            .saturating_mul(width)
            .saturating_mul(2)
            .saturating_add(copies),
    })
}

/// Buffers of the unpacked matrix. MLX has kernels, but for `f64`, which is put together of bits.
fn unpacking(row: &Row, results: &[TensorType]) -> u64 {
    if results[0].dtype == DType::F64 {
        row.price.temporaries
    } else {
        3
    }
}

/// How a row's elements become codes.
struct Coding {
    group_size: usize,
    bits: usize,
}

impl Coding {
    fn new(group_size: usize, bits: usize) -> Result<Coding> {
        if !matches!(group_size, 32 | 64 | 128) {
            return Err(Error::new(
                ErrorKind::Argument,
                format!("group_size must be 32, 64 or 128, got {group_size}"),
            ));
        }
        if !matches!(bits, 2..=6 | 8) {
            return Err(Error::new(
                ErrorKind::Argument,
                format!("bits must be 2, 3, 4, 5, 6 or 8, got {bits}"),
            ));
        }
        Ok(Coding { group_size, bits })
    }

    /// The shapes of a matrix's packed codes and of what there is per group.
    fn packed(&self, matrix: &Shape) -> Result<[Shape; 2]> {
        let Some((rows, &[row, elements])) = matrix.split_last_chunk::<2>() else {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("a matrix needs two axes or more, got {matrix}"),
            ));
        };
        if elements % self.group_size != 0 {
            return Err(Error::new(
                ErrorKind::Shape,
                format!(
                    "rows of {elements} elements are no whole groups of {}; pad them",
                    self.group_size
                ),
            ));
        }
        let lasts = [elements * self.bits / 32, elements / self.group_size];
        Ok(lasts.map(|last| Shape::new([rows, &[row, last]].concat())))
    }

    /// The shape of the matrix that these codes are, which have something per group.
    fn unpacked(&self, packed: &TensorType, groups: &[TensorType]) -> Result<Shape> {
        check_packed(packed)?;
        let scales = &groups[0].shape;
        if let Some(biases) = groups.iter().find(|other| other.shape != *scales) {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("scales {scales} and biases {} differ", biases.shape),
            ));
        }
        let (words, rows) = (packed.shape.last(), packed.shape.len() - 1);
        let groups = scales.last().copied().unwrap_or(0);
        let fits = scales.rank() == packed.shape.rank()
            && scales[..rows] == packed.shape[..rows]
            && words.map(|words| 32 * words) == Some(groups * self.group_size * self.bits);
        if !fits {
            return Err(Error::new(
                ErrorKind::Shape,
                format!(
                    "packed codes {} do not fit scales {scales}: a group of {} elements takes {} words \
                     of 32 bits",
                    packed.shape,
                    self.group_size,
                    self.group_size * self.bits / 32
                ),
            ));
        }
        let elements = groups * self.group_size;
        Ok(Shape::new([&packed.shape[..rows], &[elements]].concat()))
    }
}

/// Checks that these are rows of words.
fn check_packed(packed: &TensorType) -> Result<()> {
    if packed.dtype != DType::U32 {
        return Err(Error::new(
            ErrorKind::Dtype,
            format!("packed codes must be u32, got {}", packed.dtype),
        ));
    }
    if packed.shape.rank() < 2 {
        return Err(Error::new(
            ErrorKind::Shape,
            format!("packed codes need two axes or more, got {}", packed.shape),
        ));
    }
    Ok(())
}
