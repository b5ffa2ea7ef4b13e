//! Matrices of small floats with a scale for each group.

use emily_spec::{DType, FpDequantize, FpFormat, FpQuantizedMatmul, TensorType};
use mlx_rs::error::Result;
use mlx_rs::ops::{stack, zeros_dtype};
use mlx_rs::{Array, Dtype};

use crate::mlx::{bitwise_and, dtype_of, integer, right_shift, to_mlx};
use crate::ops::cast::cast;
use crate::ops::dims;
use crate::ops::float::widened;

/// Their product is exact in `f32` but at the ends of its range.
pub(in crate::ops) fn fp_dequantize(
    op: &FpDequantize,
    inputs: &[Array],
    ty: &TensorType,
) -> Result<Array> {
    if ty.shape.contains(&0) {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    let wide = if ty.dtype == DType::F64 {
        DType::F64
    } else {
        DType::F32
    };
    cast(&matrix(op.format, &inputs[0], &inputs[1], wide)?, ty.dtype)
}

/// MLX's own kernel has numbers for the codes that are NaN, and scales sums of a group, or rows of x, which
/// overflow where an element does not.
pub(in crate::ops) fn fp_quantized_matmul(
    op: &FpQuantizedMatmul,
    inputs: &[Array],
    ty: &TensorType,
) -> Result<Array> {
    if ty.shape.contains(&0) || inputs[0].size() == 0 {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    let x = widened(&inputs[0])?;
    let matrix = matrix(op.format, &inputs[1], &inputs[2], dtype_of(&x))?;
    let matrix = match op.transpose {
        true => matrix.swap_axes(-1, -2)?,
        false => matrix,
    };
    cast(&x.matmul(matrix)?, ty.dtype)
}

/// The matrix in `f32` or `f64`. Elements and scales are looked up: MLX's own has an infinity for the scale
/// that is NaN, and powers of two in the result's digits.
fn matrix(format: FpFormat, packed: &Array, scales: &Array, wide: DType) -> Result<Array> {
    let (element, scale): (Decode, Decode) = match format {
        FpFormat::Mxfp4 => (e2m1, e8m0),
        FpFormat::Mxfp8 => (e4m3, e8m0),
        FpFormat::Nvfp4 => (e2m1, e4m3),
    };
    let looked_up = |value: Decode, codes: &Array| {
        let all: Vec<f32> = (0..=u8::MAX).map(value).collect();
        cast(&Array::from_slice(&all, &[256]), wide)?.take_axis(codes, 0)
    };
    let bytes = packed.view_dtype(Dtype::Uint8)?;
    let codes = match format.bits() {
        8 => bytes,
        _ => {
            let low = bitwise_and(&bytes, &integer(DType::U8, 15))?;
            let high = right_shift(&bytes, &integer(DType::U8, 4))?;
            stack(&[low, high], -1)?
        }
    };
    let elements = looked_up(element, &codes)?.reshape(&[-1, format.group_size() as i32])?;
    let scales_of_groups = looked_up(scale, scales)?.reshape(&[-1, 1])?;
    let (rows, groups) = scales.shape().split_at(scales.ndim() - 1);
    let shape = [rows, &[groups[0] * format.group_size() as i32]].concat();
    elements.multiply(scales_of_groups)?.reshape(&shape)
}

/// What a code is.
type Decode = fn(u8) -> f32;

/// The float of a sign, two bits of exponent and one of mantissa.
fn e2m1(code: u8) -> f32 {
    let magnitude = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0][usize::from(code & 7)];
    if code & 8 == 0 { magnitude } else { -magnitude }
}

/// The float of a sign, four bits of exponent and three of mantissa. An f32's have a bias of 127 instead of
/// 7, and its subnormals another step.
fn e4m3(code: u8) -> f32 {
    let magnitude = match code & 0x7f {
        0x7f => f32::NAN,
        subnormal @ 0..8 => f32::from(subnormal) / 512.0,
        normal => f32::from_bits((u32::from(normal) << 20) + (120 << 23)),
    };
    if code & 0x80 == 0 {
        magnitude
    } else {
        -magnitude
    }
}

/// The power of two with this exponent: an f32's, but for the least, which is subnormal, and NaN.
fn e8m0(code: u8) -> f32 {
    match code {
        0 => f32::from_bits(1 << 22),
        255 => f32::NAN,
        exponent => f32::from_bits(u32::from(exponent) << 23),
    }
}
