//! Matrices of codes with a scale and a bias for each group.

use super::{Coding, QUANTIZED, picked_product, product, product_cost, unpacking};
use crate::cost::buffers;
use crate::grad::SMOOTH;
use crate::op::{Attributes, ops};
use crate::tolerance::sum_tolerance;
use crate::{
    Arity, Cost, DType, Domain, Grad, Judged, Range, Result, ResultDType, Role, Row, TensorType,
    Tolerance,
};

/// Elements are linear in scales and biases, with codes up to 255 for slopes: a gradient adds up one of
/// them per element of a group.
const LINEAR: Grad = Grad {
    domain: &[Domain::Any, Domain::Range(-2.0, 2.0)],
    ..SMOOTH
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
        operands: &["tensor"],
        roles: &[Role::Data],
        arity: Arity::Exactly(1),
        results: 3,
        result: ResultDType::Same,
        range: Range::Finite,
        domain: &[Domain::Range(-4.0, 4.0)],
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
        let cost = row.price.cost_of(inputs, results)?;
        let copies = 4 * 4 * inputs[0].shape.size()? as u64;
        Ok(Cost {
            temporaries: cost.temporaries.saturating_add(copies),
        })
    }
}

ops! {
    /// The matrix of packed codes: scale · code + bias, with a scale and a bias for each `group_size`
    /// elements along the last axis. Small floats are computed in `f32` and rounded once.
    pub struct Dequantize = Row {
        name: "dequantize",
        judged: Judged::Values(element_tolerance),
        grad: Some(LINEAR),
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

    fn cost(&self, row: &Row, _: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        Ok(Cost {
            temporaries: buffers(&results[0], unpacking(row, results))?,
        })
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

ops! {
    /// The products of matrices picked by index, the latter of packed codes, as a mixture of experts takes
    /// them: for each pair of indices, which are broadcast, that matrix of x times that one which
    /// `dequantize` would give, or its transpose. The indices count the matrices of x and of the codes,
    /// whatever their leading axes, in row-major order. An index out of range is an index error. Sums are
    /// accumulated in `f32`, or `f64`, and rounded once.
    pub struct GatherQmm = Row {
        name: "gather_qmm",
        operands: &["x", "packed", "scales", "biases", "lhs_indices", "rhs_indices"],
        roles: &[Role::Data, Role::Codes, Role::Data, Role::Data, Role::Index],
        arity: Arity::Exactly(6),
        judged: Judged::Values(sum_tolerance),
        range: Range::Sums,
        grad: Some(PRODUCT),
        ..QUANTIZED
    }; {
        /// Whether matrices are transposed: then their rows, which the groups are cut of, are multiplied
        /// by those of x, else their columns.
        #[serde(default)]
        transpose: bool,
        /// How many elements share a scale and a bias: 32, 64 or 128.
        group_size: usize,
        /// How many bits a code has: 2, 3, 4, 5, 6 or 8.
        bits: usize,
    }
}

impl Attributes for GatherQmm {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let coding = Coding::new(self.group_size, self.bits)?;
        let matrix = coding.unpacked(&inputs[1], &inputs[2..4])?;
        let shape = picked_product(&inputs[0].shape, &matrix, self.transpose, &inputs[4..])?;
        let data = [&inputs[..1], &inputs[2..4]].concat();
        Ok(vec![TensorType::new(row.result_dtype(&data, None)?, shape)])
    }

    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let coding = Coding::new(self.group_size, self.bits)?;
        let matrix = coding.unpacked(&inputs[1], &inputs[2..4])?;
        product_cost(row, inputs, results, &matrix)
    }
}
