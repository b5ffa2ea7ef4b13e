//! Matrices whose elements are codes of a few bits, and products with them.

use emily_spec::{Dequantize, TensorType};
use mlx_rs::error::Result;
use mlx_rs::ops::zeros_dtype;
use mlx_rs::{Array, ops};

use super::cast::cast;
use super::dims;
use super::float::widened;
use crate::mlx::to_mlx;

/// Small floats are computed in `f32`: MLX would round the product, too.
pub(super) fn dequantize(op: &Dequantize, inputs: &[Array], ty: &TensorType) -> Result<Array> {
    if ty.shape.contains(&0) {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    let wide = |x: &Array| widened(&cast(x, ty.dtype)?);
    let (scales, biases) = (wide(&inputs[1])?, wide(&inputs[2])?);
    let matrix = ops::dequantize(
        &inputs[0],
        &scales,
        &biases,
        op.group_size as i32,
        op.bits as i32,
    )?;
    cast(&matrix, ty.dtype)
}
