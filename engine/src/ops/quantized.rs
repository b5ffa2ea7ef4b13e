//! Matrices whose elements are codes of a few bits, and products with them.

use emily_spec::{DType, Dequantize, QuantizedMatmul, TensorType};
use mlx_rs::error::Result;
use mlx_rs::ops::zeros_dtype;
use mlx_rs::{Array, ops};

use super::cast::cast;
use super::float::widened;
use super::{Cx, dims};
use crate::Device;
use crate::mlx::to_mlx;

/// Small floats are computed in `f32`: MLX would round the product, too.
pub(super) fn dequantize(op: &Dequantize, inputs: &[Array], ty: &TensorType) -> Result<Array> {
    if ty.shape.contains(&0) {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    let wide = |x: &Array| widened(&cast(x, ty.dtype)?);
    let (scales, biases) = (wide(&inputs[1])?, wide(&inputs[2])?);
    let (group_size, bits) = (op.group_size as i32, op.bits as i32);
    let matrix = ops::dequantize(&inputs[0], &scales, &biases, group_size, bits)?;
    cast(&matrix, ty.dtype)
}

/// On the CPU MLX adds up `f16` and `bf16` in their few digits, and multiplies no `f64`.
pub(super) fn quantized_matmul(
    op: &QuantizedMatmul,
    inputs: &[Array],
    ty: &TensorType,
    cx: &Cx,
) -> Result<Array> {
    if ty.shape.contains(&0) || inputs[0].size() == 0 {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    let at = |x: &Array| match cx.device {
        Device::Cpu => widened(&cast(x, ty.dtype)?),
        Device::Gpu => cast(x, ty.dtype),
    };
    let (x, packed) = (at(&inputs[0])?, &inputs[1]);
    let (scales, biases) = (at(&inputs[2])?, at(&inputs[3])?);
    let (group_size, bits) = (op.group_size as i32, op.bits as i32);
    let product = if ty.dtype == DType::F64 {
        let matrix = ops::dequantize(packed, &scales, &biases, group_size, bits)?;
        let matrix = if op.transpose {
            matrix.swap_axes(-1, -2)?
        } else {
            matrix
        };
        x.matmul(matrix)?
    } else {
        // MLX broadcasts batches of both only; without one of x it would read the first matrix.
        let x = match packed.ndim() > 2 && x.ndim() == 2 {
            true => x.expand_dims(0)?,
            false => x,
        };
        ops::quantized_matmul(&x, packed, &scales, &biases, op.transpose, group_size, bits)?
    };
    cast(&product, ty.dtype)
}
