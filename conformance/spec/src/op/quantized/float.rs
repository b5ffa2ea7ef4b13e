//! Matrices of small floats with a scale for each group.

use serde::Deserialize;

use super::{Coding, QUANTIZED, product, product_cost};
use crate::op::{Attributes, ops};
use crate::row::{SMOOTH, sum_tolerance};
use crate::{
    Arity, Cost, DType, Error, ErrorKind, Judged, Range, Result, ResultDType, Role, Row, Shape,
    TensorType,
};

ops! {
    /// The matrix of packed small floats: scale · element, with a scale for each group along the last axis,
    /// rounded once. Elements and scales are as the OCP microscaling formats and NVFP4 have them.
    pub struct FpDequantize = Row {
        name: "fp_dequantize",
        operands: &["packed", "scales"],
        roles: &[Role::Codes],
        arity: Arity::Exactly(2),
        result: ResultDType::Asked,
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

    /// The shape of the matrix that these codes and scales are.
    fn unpacked(self, packed: &TensorType, scales: &TensorType) -> Result<Shape> {
        if scales.dtype != DType::U8 {
            return Err(Error::new(
                ErrorKind::Dtype,
                format!("scales must be u8, got {}", scales.dtype),
            ));
        }
        let coding = Coding {
            group_size: self.group_size(),
            bits: self.bits(),
        };
        coding.unpacked(packed, std::slice::from_ref(scales))
    }
}

impl Attributes for FpDequantize {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        row.check_dtype(self.dtype)?;
        let shape = self.format.unpacked(&inputs[0], &inputs[1])?;
        Ok(vec![TensorType::new(self.dtype, shape)])
    }
}

ops! {
    /// Rows times a matrix of packed small floats, which `fp_dequantize` would give in `f32`, or `f64` for
    /// that: x · wᵀ, or x · w. Batch axes, the leading ones, are broadcast. Sums are accumulated as wide,
    /// and rounded once.
    pub struct FpQuantizedMatmul = Row {
        name: "fp_quantized_matmul",
        operands: &["x", "packed", "scales"],
        roles: &[Role::Data, Role::Codes],
        result: ResultDType::Same,
        judged: Judged::Values(sum_tolerance),
        range: Range::Sums,
        grad: Some(SMOOTH),
        ..QUANTIZED
    }; {
        /// Whether the matrix is transposed: then its rows, which the groups are cut of, are multiplied
        /// by those of x, else its columns.
        #[serde(default)]
        transpose: bool,
        /// What elements and scales are.
        format: FpFormat,
    }
}

impl Attributes for FpQuantizedMatmul {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let matrix = self.format.unpacked(&inputs[1], &inputs[2])?;
        let shape = product(&inputs[0].shape, &matrix, self.transpose)?;
        let dtype = row.result_dtype(&inputs[..1], None)?;
        Ok(vec![TensorType::new(dtype, shape)])
    }

    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let matrix = self.format.unpacked(&inputs[1], &inputs[2])?;
        product_cost(row, inputs, results, &matrix)
    }
}
