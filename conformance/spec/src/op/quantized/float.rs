//! Matrices of small floats with a scale for each group.

use serde::Deserialize;

use super::{Coding, QUANTIZED};
use crate::op::{Attributes, ops};
use crate::{Arity, DType, Error, ErrorKind, Result, ResultDType, Role, Row, TensorType};

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
