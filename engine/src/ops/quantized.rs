//! Matrices whose elements are codes of a few bits, and products with them.

mod affine;
mod float;

pub(super) use affine::{dequantize, quantize, quantized_matmul};
pub(super) use float::{fp_dequantize, fp_quantize, fp_quantized_matmul};
