//! Matrices whose elements are codes of a few bits, and products with them.

use emily_spec::{
    DType, Dequantize, ErrorKind, FpDequantize, FpFormat, Quantize, QuantizedMatmul, TensorType,
};
use mlx_rs::error::Result;
use mlx_rs::ops::{max_axis, min_axis, select, stack, zeros_dtype};
use mlx_rs::{Array, Dtype, ops};

use super::cast::cast;
use super::float::widened;
use super::{Cx, dims};
use crate::Device;
use crate::mlx::{bitwise_and, integer, real, right_shift, to_mlx};

/// In `f32`, of which MLX's kernel rounds each step. What has no code is refused, and 0 stands there.
pub(super) fn quantize(
    op: &Quantize,
    x: &Array,
    results: &[TensorType],
    cx: &mut Cx,
) -> Result<Vec<Array>> {
    if x.size() == 0 {
        let empty = |ty: &TensorType| zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
        return results.iter().map(empty).collect();
    }
    let (group_size, bits) = (op.group_size as i32, op.bits as i32);
    let x = cast(x, DType::F32)?;
    let infinity = real(DType::F32, f64::INFINITY);
    // False for NaN too.
    let finite = x.abs()?.lt(&infinity)?;
    let x = select(&finite, &x, real(DType::F32, 0.0))?;
    let groups = x.reshape(&[-1, group_size])?;
    let span = max_axis(&groups, 1, false)?.subtract(min_axis(&groups, 1, false)?)?;
    for failed in [finite.logical_not()?, span.eq(&infinity)?] {
        let message = "a matrix must be finite, and a group must span no more than f32 holds";
        cx.fail_where(failed, ErrorKind::Argument, message);
    }
    let (packed, scales, biases) = ops::quantize(&x, group_size, bits)?;
    let parts = [packed, scales, biases].into_iter().zip(results);
    parts.map(|(part, ty)| cast(&part, ty.dtype)).collect()
}

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

/// Elements and scales are looked up: MLX's own has an infinity for the scale that is NaN, and powers of
/// two in the result's digits. Their product is exact in `f32` but at the ends of its range.
pub(super) fn fp_dequantize(op: &FpDequantize, inputs: &[Array], ty: &TensorType) -> Result<Array> {
    if ty.shape.contains(&0) {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    let wide = if ty.dtype == DType::F64 {
        DType::F64
    } else {
        DType::F32
    };
    let (element, scale): (Decode, Decode) = match op.format {
        FpFormat::Mxfp4 => (e2m1, e8m0),
        FpFormat::Mxfp8 => (e4m3, e8m0),
        FpFormat::Nvfp4 => (e2m1, e4m3),
    };
    let looked_up = |value: Decode, codes: &Array| {
        let all: Vec<f32> = (0..=u8::MAX).map(value).collect();
        cast(&Array::from_slice(&all, &[256]), wide)?.take_axis(codes, 0)
    };
    let bytes = inputs[0].view_dtype(Dtype::Uint8)?;
    let codes = match op.format.bits() {
        8 => bytes,
        _ => {
            let low = bitwise_and(&bytes, &integer(DType::U8, 15))?;
            let high = right_shift(&bytes, &integer(DType::U8, 4))?;
            stack(&[low, high], -1)?
        }
    };
    let elements = looked_up(element, &codes)?.reshape(&[-1, op.format.group_size() as i32])?;
    let scales = looked_up(scale, &inputs[1])?.reshape(&[-1, 1])?;
    let matrix = elements.multiply(scales)?.reshape(&dims(&ty.shape))?;
    cast(&matrix, ty.dtype)
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
