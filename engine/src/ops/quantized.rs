//! Matrices whose elements are codes of a few bits, and products with them.

mod affine;
mod float;

pub(super) use affine::{dequantize, gather_qmm, quantize, quantized_matmul};
pub(super) use float::{fp_dequantize, fp_gather_qmm, fp_quantize, fp_quantized_matmul};

use mlx_rs::Array;
use mlx_rs::error::Result;

use super::linalg::transposed;

/// The matrices, or their transposes.
fn transposed_if(transpose: bool, matrix: Array) -> Result<Array> {
    match transpose {
        true => transposed(&matrix),
        false => Ok(matrix),
    }
}
