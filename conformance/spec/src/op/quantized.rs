//! Matrices whose elements are codes of a few bits, and products with them.
//!
//! A row is cut into groups of `group_size` elements, each group with a scale and a bias of its own: an
//! element is scale · code + bias. Codes are whole numbers of `bits` bits, packed into 32-bit words from
//! the lowest bit of a row's first word up, one after the other, across the ends of words.

use serde::Deserialize;

use super::{Attributes, ops};
use crate::cost::largest;
use crate::row::{ROW, sum_tolerance};
use crate::{
    Arity, Cost, DType, Domain, Dtypes, Error, ErrorKind, Grad, Judged, Price, Range, Result,
    ResultDType, Role, Row, Shape, TensorType, Tolerance,
};

/// A matrix given as packed codes, scales and biases.
const QUANTIZED: Row = Row {
    family: "quantized",
    operands: &["packed", "scales", "biases"],
    roles: &[Role::Codes, Role::Data],
    arity: Arity::Exactly(3),
    accepts: Dtypes::FLOAT,
    result: ResultDType::Merged,
    grad: Some(LINEAR),
    // MLX's CPU takes codes apart bit by bit, in words of four bytes: up to six of them an element, in
    // two buffers.
    price: Price {
        work: 8,
        temporaries: 16,
    },
    ..ROW
};

/// Elements are linear in scales and biases, with codes up to 255 for slopes: a gradient adds up one of
/// them per element of a group.
const LINEAR: Grad = Grad {
    domain: &[Domain::Any, Domain::Range(-2.0, 2.0)],
    eps: 16.0,
};

ops! {
    /// Packed codes, scales and biases of a matrix's groups: what `dequantize` takes. Computed in `f32`,
    /// of which each step is rounded: n = 2^bits − 1, the step is (largest − least) / n or 10⁻⁷, whichever
    /// is more, and the edge is the largest element, or the least where that has the greater modulus. The
    /// scale is the step, negative where the edge is the largest; q = edge / scale rounded to a whole
    /// number; where that is not 0 the scale is edge / q and the bias the edge, else the bias is 0. So 0
    /// and the edge are elements that some code has. A code is (element − bias) / scale, rounded to even
    /// and kept within 0 and n. NaN, infinities and groups that span more than `f32` holds are an error.
    pub struct Quantize = Row {
        name: "quantize",
        operands: ROW.operands,
        roles: ROW.roles,
        arity: Arity::Exactly(1),
        results: 3,
        result: ResultDType::Same,
        range: Range::Finite,
        domain: &[Domain::Range(-4.0, 4.0)],
        grad: None,
        ..QUANTIZED
    }; {
        /// How many elements share a scale and a bias: 32, 64 or 128.
        group_size: usize,
        /// How many bits a code has: 2, 3, 4, 5, 6 or 8.
        bits: usize,
    }
}

impl Attributes for Quantize {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let coding = Coding::new(self.group_size, self.bits)?;
        let [packed, scales] = coding.packed(&inputs[0].shape)?;
        let scales = TensorType::new(row.result_dtype(inputs, None)?, scales);
        Ok(vec![
            TensorType::new(DType::U32, packed),
            scales.clone(),
            scales,
        ])
    }

    /// Besides copies in `f32` of the operand, which is larger than the results.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let cost = row.price.of(inputs, results)?;
        let copies = 4 * 4 * inputs[0].shape.size()? as u64;
        Ok(Cost {
            temporaries: cost.temporaries.saturating_add(copies),
            ..cost
        })
    }
}

ops! {
    /// The matrix of packed codes: scale · code + bias, with a scale and a bias for each `group_size`
    /// elements along the last axis. Small floats are computed in `f32` and rounded once.
    pub struct Dequantize = Row {
        name: "dequantize",
        judged: Judged::Values(element_tolerance),
        ..QUANTIZED
    }; {
        /// How many elements share a scale and a bias: 32, 64 or 128.
        group_size: usize,
        /// How many bits a code has: 2, 3, 4, 5, 6 or 8.
        bits: usize,
    }
}

/// A product rounded, and a sum: each is off by half an eps of the magnitude |scale · code| + |bias|. Of
/// small floats `f32` holds the product exactly, and rounds their sum within its own digits.
const fn element_tolerance(dtype: DType) -> Tolerance {
    if dtype.is_small_float() {
        Tolerance::Ulp(1)
    } else {
        Tolerance::Accum(1.0)
    }
}

impl Attributes for Dequantize {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let coding = Coding::new(self.group_size, self.bits)?;
        let shape = coding.unpacked(&inputs[0], &inputs[1..])?;
        let dtype = row.result_dtype(&inputs[1..], None)?;
        Ok(vec![TensorType::new(dtype, shape)])
    }
}

ops! {
    /// Rows times a matrix of packed codes, which `dequantize` would give: x · wᵀ, or x · w. Batch axes,
    /// the leading ones, are broadcast. Sums are accumulated in `f32`, or `f64`, and rounded once.
    pub struct QuantizedMatmul = Row {
        name: "quantized_matmul",
        operands: &["x", "packed", "scales", "biases"],
        roles: &[Role::Data, Role::Codes, Role::Data],
        arity: Arity::Exactly(4),
        judged: Judged::Values(sum_tolerance),
        range: Range::Sums,
        grad: Some(PRODUCT),
        ..QUANTIZED
    }; {
        /// Whether the matrix is transposed: then its rows, which the groups are cut of, are multiplied
        /// by those of x, else its columns.
        #[serde(default)]
        transpose: bool,
        /// How many elements share a scale and a bias: 32, 64 or 128.
        group_size: usize,
        /// How many bits a code has: 2, 3, 4, 5, 6 or 8.
        bits: usize,
    }
}

/// As `LINEAR`, by the other factor too.
const PRODUCT: Grad = Grad {
    domain: &[
        Domain::Range(-2.0, 2.0),
        Domain::Any,
        Domain::Range(-2.0, 2.0),
    ],
    ..LINEAR
};

impl Attributes for QuantizedMatmul {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let coding = Coding::new(self.group_size, self.bits)?;
        let matrix = coding.unpacked(&inputs[1], &inputs[2..])?;
        let shape = product(&inputs[0].shape, &matrix, self.transpose)?;
        let data = [&inputs[..1], &inputs[2..]].concat();
        Ok(vec![TensorType::new(row.result_dtype(&data, None)?, shape)])
    }

    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let coding = Coding::new(self.group_size, self.bits)?;
        let matrix = coding.unpacked(&inputs[1], &inputs[2..])?;
        product_cost(row, inputs, results, &matrix)
    }
}

/// The shape of rows times matrices.
fn product(x: &Shape, matrix: &Shape, transpose: bool) -> Result<Shape> {
    let (Some((batch, &[m, k])), Some((batches, &[rows, columns]))) =
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
    let batch = Shape::new(batch).broadcast(&Shape::new(batches))?;
    Ok(Shape::new([&batch[..], &[m, outer]].concat()))
}

/// Two operations a term; the operands are copied in the dtype that is computed in, and so is, of `f64`,
/// the matrix.
fn product_cost(
    row: &Row,
    inputs: &[TensorType],
    results: &[TensorType],
    matrix: &Shape,
) -> Result<Cost> {
    let cost = row.price.of(inputs, results)?;
    let terms = inputs[0].shape.last().copied().unwrap_or(1).max(1) as u64;
    let width = results[0].dtype.size().max(4) as u64;
    let elements = inputs[0].shape.size()?.saturating_add(matrix.size()?) as u64;
    let copies = elements
        .saturating_mul(width)
        .saturating_mul(row.price.temporaries);
    Ok(Cost {
        work: largest(results)?.saturating_mul(terms).saturating_mul(2),
        temporaries: cost.temporaries.saturating_add(copies),
        ..cost
    })
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
        let lasts = [elements / 32 * self.bits, elements / self.group_size];
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

ops! {
    /// The matrix of packed small floats: scale · element, with a scale for each group along the last axis,
    /// rounded once. Elements and scales are as the OCP microscaling formats and NVFP4 have them.
    pub struct FpDequantize = Row {
        name: "fp_dequantize",
        operands: &["packed", "scales"],
        roles: &[Role::Codes],
        arity: Arity::Exactly(2),
        result: ResultDType::Asked,
        grad: None,
        ..QUANTIZED
    }; {
        /// What elements and scales are.
        format: FpFormat,
        /// The result's dtype, a real float.
        dtype: DType,
    }
}

/// Small floats that share a scale: e2m1 has two bits of exponent and one of mantissa and no infinity or
/// NaN; e4m3 has no infinity; e8m0 are powers of two, and NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FpFormat {
    /// Groups of 32 elements e2m1 with a scale e8m0.
    Mxfp4,
    /// Groups of 32 elements e4m3 with a scale e8m0.
    Mxfp8,
    /// Groups of 16 elements e2m1 with a scale e4m3.
    Nvfp4,
}

impl FpFormat {
    /// How many elements share a scale.
    pub const fn group_size(self) -> usize {
        match self {
            FpFormat::Mxfp4 | FpFormat::Mxfp8 => 32,
            FpFormat::Nvfp4 => 16,
        }
    }

    /// How many bits an element has.
    pub const fn bits(self) -> usize {
        match self {
            FpFormat::Mxfp4 | FpFormat::Nvfp4 => 4,
            FpFormat::Mxfp8 => 8,
        }
    }
}

impl Attributes for FpDequantize {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        row.check_dtype(self.dtype)?;
        if inputs[1].dtype != DType::U8 {
            return Err(Error::new(
                ErrorKind::Dtype,
                format!("scales must be u8, got {}", inputs[1].dtype),
            ));
        }
        let coding = Coding {
            group_size: self.format.group_size(),
            bits: self.format.bits(),
        };
        let shape = coding.unpacked(&inputs[0], &inputs[1..])?;
        Ok(vec![TensorType::new(self.dtype, shape)])
    }
}
