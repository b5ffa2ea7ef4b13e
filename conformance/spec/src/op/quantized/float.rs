//! Matrices of small floats with a scale for each group.

use serde::Deserialize;

use super::{Coding, QUANTIZED, picked_product, product, product_cost, unpacking};
use crate::cost::buffers;
use crate::grad::SMOOTH;
use crate::op::{Attributes, ops};
use crate::tolerance::sum_tolerance;
use crate::{
    Arity, Cost, DType, Error, ErrorKind, Judged, Range, Result, ResultDType, Role, Row, Shape,
    TensorType,
};

ops! {
    /// Packed small floats and scales of a matrix's groups: what `fp_dequantize` takes. Computed in `f32`.
    /// The scale of mxfp4 and mxfp8 is the OCP microscaling formats': the power of two at or below the group's
    /// largest modulus, divided by the largest power of two that an element is, 4 or 256, as far as e8m0 goes.
    /// (MLX rounds log2 of that modulus / 6 or 448 instead, so that a group's largest 4 becomes 3.) That of
    /// nvfp4 is the modulus / 6, rounded to e4m3 and 448 at most. An element is the one nearest to x / scale,
    /// of two the even one; beyond all it is the largest, and it is 0 where the scale is. A group with a NaN or
    /// an infinity has the scale NaN, and zeros.
    pub struct FpQuantize = Row {
        name: "fp_quantize",
        operands: &["tensor"],
        roles: &[Role::Data],
        arity: Arity::Exactly(1),
        results: 2,
        result: ResultDType::Codes,
        ..QUANTIZED
    }; {
        /// What elements and scales are.
        format: FpFormat,
    }
}

impl Attributes for FpQuantize {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let [packed, scales] = self.format.coding().packed(&inputs[0].shape)?;
        let words = row.result_dtype(inputs, None)?;
        Ok(vec![
            TensorType::new(words, packed),
            TensorType::new(DType::U8, scales),
        ])
    }

    /// Besides copies in `f32` and as codes of the operand, which is larger than the results.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let cost = row.price.cost_of(inputs, results)?;
        let elements = inputs[0].shape.size()? as u64;
        Ok(Cost {
            temporaries: cost.temporaries.saturating_add(8 * 4 * elements),
        })
    }
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
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
        self.coding().unpacked(packed, std::slice::from_ref(scales))
    }

    fn coding(self) -> Coding {
        Coding {
            group_size: self.group_size(),
            bits: self.bits(),
        }
    }
}

impl Attributes for FpDequantize {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        row.check_dtype(self.dtype)?;
        let shape = self.format.unpacked(&inputs[0], &inputs[1])?;
        Ok(vec![TensorType::new(self.dtype, shape)])
    }

    fn cost(&self, row: &Row, _: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        Ok(Cost {
            temporaries: buffers(&results[0], unpacking(row, results))?,
        })
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

ops! {
    /// As `gather_qmm`, of packed small floats: the matrices are those that `fp_dequantize` would give in
    /// `f32`, or `f64` for that.
    pub struct FpGatherQmm = Row {
        name: "fp_gather_qmm",
        operands: &["x", "packed", "scales", "lhs_indices", "rhs_indices"],
        roles: &[Role::Data, Role::Codes, Role::Codes, Role::Index],
        arity: Arity::Exactly(5),
        result: ResultDType::Same,
        judged: Judged::Values(sum_tolerance),
        range: Range::Sums,
        grad: Some(SMOOTH),
        ..QUANTIZED
    }; {
        /// Whether matrices are transposed: then their rows, which the groups are cut of, are multiplied
        /// by those of x, else their columns.
        #[serde(default)]
        transpose: bool,
        /// What elements and scales are.
        format: FpFormat,
    }
}

impl Attributes for FpGatherQmm {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let matrix = self.format.unpacked(&inputs[1], &inputs[2])?;
        let shape = picked_product(&inputs[0].shape, &matrix, self.transpose, &inputs[3..])?;
        let dtype = row.result_dtype(&inputs[..1], None)?;
        Ok(vec![TensorType::new(dtype, shape)])
    }

    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let matrix = self.format.unpacked(&inputs[1], &inputs[2])?;
        product_cost(row, inputs, results, &matrix)
    }
}
