//! Matrices whose elements are codes of a few bits, and products with them.

mod affine;
mod float;

pub(super) use affine::{dequantize, gather_qmm, quantize, quantized_matmul};
pub(super) use float::{fp_dequantize, fp_gather_qmm, fp_quantize, fp_quantized_matmul};

use mlx_rs::Array;
use mlx_rs::error::Result;

/// The matrices that rows are multiplied by the columns of.
fn turned(matrix: Array, transpose: bool) -> Result<Array> {
    match transpose {
        true => matrix.swap_axes(-1, -2),
        false => Ok(matrix),
    }
}
