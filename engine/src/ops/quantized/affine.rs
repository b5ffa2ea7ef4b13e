//! Matrices of codes with a scale and a bias for each group.

use emily_spec::{DType, Dequantize, ErrorKind, GatherQmm, Quantize, QuantizedMatmul, TensorType};
use mlx_rs::error::Result;
use mlx_rs::ops::{max_axis, min_axis, select, zeros_dtype};
use mlx_rs::{Array, Dtype, ops};

use super::transposed_if;
use crate::Device;
use crate::mlx::{dtype_of, real, to_mlx};
use crate::ops::cast::cast;
use crate::ops::float::widened;
use crate::ops::index::inside;
use crate::ops::linalg::{flatten_leading, only_picked, picked_product};
use crate::ops::{Cx, dims};

/// In `f32`, of which MLX's kernel rounds each step. What has no code is refused, and 0 stands there.
pub(in crate::ops) fn quantize(
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
    // CUDA's takes the largest of a group for 0 at least, and rounds halves away from it.
    let (packed, scales, biases) = cx.on_cpu([&x], |[x]| ops::quantize(x, group_size, bits))?;
    let parts = [packed, scales, biases].into_iter().zip(results);
    parts.map(|(part, ty)| cast(&part, ty.dtype)).collect()
}

/// Small floats are computed in `f32`: MLX would round the product, too.
pub(in crate::ops) fn dequantize(
    op: &Dequantize,
    inputs: &[Array],
    ty: &TensorType,
) -> Result<Array> {
    if ty.shape.contains(&0) {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    let wide = |x: &Array| widened(&cast(x, ty.dtype)?);
    let (scales, biases) = (wide(&inputs[1])?, wide(&inputs[2])?);
    let (group_size, bits) = (op.group_size as i32, op.bits as i32);
    let matrix = ops::dequantize(&inputs[0], &scales, &biases, group_size, bits)?;
    cast(&matrix, ty.dtype)
}

/// From so many rows on the matrix is unpacked first. MLX's kernel on the CPU is a loop over elements, which
/// took 6 to 59 times as long as a product of floats; on CUDA it has one for few rows only.
const MANY_ROWS: usize = 8;

/// On the CPU MLX adds up `f16` and `bf16` in their few digits.
pub(in crate::ops) fn quantized_matmul(
    op: &QuantizedMatmul,
    inputs: &[Array],
    ty: &TensorType,
    cx: &Cx,
) -> Result<Array> {
    let (x, packed) = (&inputs[0], &inputs[1]);
    if ty.shape.contains(&0) || x.size() == 0 {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    let is_one = packed.ndim() == 2;
    let length = x.dim(-1) as usize;
    let rows = match is_one {
        true => x.size() / length,
        false => x.dim(-2) as usize,
    };
    let by_codes = rows < MANY_ROWS
        && match cx.device {
            Device::Cpu => ty.dtype != DType::F64,
            // For columns there is no kernel, or one that takes half a minute to compile; nor is there for a single
            // row of codes that is a view, whose stride MLX compares with its length.
            Device::Gpu => op.transpose && is_one && packed.dim(0) > 1 && length > op.group_size,
        };
    let at = |x: &Array| match cx.device {
        Device::Gpu if by_codes => cast(x, ty.dtype)?.contiguous(),
        Device::Cpu | Device::Gpu => widened(&cast(x, ty.dtype)?),
    };
    let [x, scales, biases] = [at(x)?, at(&inputs[2])?, at(&inputs[3])?];
    let (group_size, bits) = (op.group_size as i32, op.bits as i32);
    let product = if by_codes {
        // MLX broadcasts batches of both only; without one of x it would read the first matrix.
        let x = match !is_one && x.ndim() == 2 {
            true => x.expand_dims(0)?,
            false => x,
        };
        let codes = packed.contiguous()?;
        ops::quantized_matmul(&x, &codes, &scales, &biases, op.transpose, group_size, bits)?
    } else {
        let matrix = ops::dequantize(packed, &scales, &biases, group_size, bits)?;
        x.matmul(transposed_if(op.transpose, matrix)?)?
    };
    cast(&product, ty.dtype)
}

/// MLX's kernel looks at no index, and is for the CPU: see `picked_product`.
pub(in crate::ops) fn gather_qmm(
    op: &GatherQmm,
    inputs: &[Array],
    ty: &TensorType,
    cx: &mut Cx,
) -> Result<Array> {
    let (x, packed) = (flatten_leading(&inputs[0])?, flatten_leading(&inputs[1])?);
    let lhs = inside(&x, &inputs[4], 0, cx)?;
    let rhs = inside(&packed, &inputs[5], 0, cx)?;
    if ty.shape.contains(&0) || x.size() == 0 || packed.size() == 0 {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    let by_codes = cx.device == Device::Cpu && ty.dtype != DType::F64;
    let at = |x: &Array| widened(&cast(x, ty.dtype)?);
    let x = at(&x)?;
    let [scales, biases] = [
        at(&flatten_leading(&inputs[2])?)?,
        at(&flatten_leading(&inputs[3])?)?,
    ];
    let (group_size, bits) = (op.group_size as i32, op.bits as i32);
    if !by_codes {
        let ([packed, scales, biases], rhs) = only_picked([packed, scales, biases], rhs)?;
        let matrix = ops::dequantize(&packed, &scales, &biases, group_size, bits)?;
        let matrix = transposed_if(op.transpose, matrix)?;
        let wide = TensorType::new(dtype_of(&x), ty.shape.clone());
        return cast(
            &picked_product([&x, &matrix], [lhs, rhs], &wide, cx)?,
            ty.dtype,
        );
    }
    let (lhs, rhs) = (lhs.as_dtype(Dtype::Uint32)?, rhs.as_dtype(Dtype::Uint32)?);
    let product = ops::gather_qmm(
        &x,
        &packed,
        &scales,
        &biases,
        &lhs,
        &rhs,
        op.transpose,
        group_size,
        bits,
        false,
    )?;
    cast(&product, ty.dtype)
}
