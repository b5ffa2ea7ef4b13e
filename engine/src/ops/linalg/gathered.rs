//! Products of matrices that are picked by index.

use emily_spec::{Class, DType, TensorType};
use mlx_rs::error::Result;
use mlx_rs::ops::{broadcast_to, zeros_dtype};
use mlx_rs::{Array, Dtype};

use super::integer_product;
use crate::Device;
use crate::mlx::{self, arange, clone_array, dtype_of, to_mlx};
use crate::ops::cast::cast;
use crate::ops::float::widened;
use crate::ops::index::inside;
use crate::ops::{Cx, complex, dims, fits, length};

pub(in crate::ops) fn gather_mm(inputs: &[Array], ty: &TensorType, cx: &mut Cx) -> Result<Array> {
    let (a, b) = (flatten_leading(&inputs[0])?, flatten_leading(&inputs[1])?);
    let indices = [
        inside(&a, &inputs[2], 0, cx)?,
        inside(&b, &inputs[3], 0, cx)?,
    ];
    if ty.shape.contains(&0) || a.size() == 0 || b.size() == 0 {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    picked_product([&a, &b], indices, ty, cx)
}

/// The products of these pairs of matrices, none of them empty. MLX's kernel takes floats alone, on the CPU
/// `f32` alone; for other dtypes the matrices are picked first. So they are on a GPU, where the kernel takes
/// minutes to compile, reads zeros from views, and from misaligned rows ends all work of the device.
pub(in crate::ops) fn picked_product(
    [a, b]: [&Array; 2],
    [lhs, rhs]: [Array; 2],
    ty: &TensorType,
    cx: &Cx,
) -> Result<Array> {
    let has_kernel = ty.dtype.class() == Class::Float && ty.dtype != DType::F64;
    if has_kernel && cx.device == Device::Cpu {
        let (a, lhs) = operand(a, lhs, ty.dtype)?;
        let (b, rhs) = operand(b, rhs, ty.dtype)?;
        return cast(&mlx::gather_mm(&a, &b, &lhs, &rhs)?, ty.dtype);
    }
    let shape = dims(&ty.shape);
    let leading = &shape[..shape.len() - 2];
    for x in [a, b] {
        let matrices = [leading, &x.shape()[1..]].concat();
        fits(&matrices, ty.dtype.size().max(4), cx)?;
    }
    let picked = |x: &Array, index: &Array| {
        let index = broadcast_to(index, leading)?.flatten(None, None)?;
        cast(&x.take_axis(index, 0)?, ty.dtype)
    };
    let (a, b) = (picked(a, &lhs)?, picked(b, &rhs)?);
    let product = match ty.dtype.class() {
        Class::Unsigned | Class::Signed => cx.on_cpu([&a, &b], |[a, b]| integer_product(a, b))?,
        Class::Float => a.matmul(b)?,
        Class::Complex => complex::matmul(&a, &b)?,
    };
    product.reshape(&shape)
}

/// The matrices of all leading axes in one, which indices count.
pub(in crate::ops) fn flatten_leading(x: &Array) -> Result<Array> {
    let (leading, own) = x.shape().split_at(x.ndim() - 2);
    let count = leading.iter().map(|&dim| dim as usize).product();
    x.reshape(&[&[length(count)?], own].concat())
}

/// Matrices as the kernel multiplies those of the dtype, and indices of them. Where fewer are picked than
/// there are, none but those are cast.
fn operand(x: &Array, index: Array, dtype: DType) -> Result<(Array, Array)> {
    let computes = dtype_of(x) == dtype && !dtype.is_small_float();
    let ([x], index) = match computes {
        true => ([clone_array(x)], index),
        false => only_picked([clone_array(x)], index)?,
    };
    Ok((widened(&cast(&x, dtype)?)?, index.as_dtype(Dtype::Uint32)?))
}

/// These parts of matrices, of which no more are left than are picked, and the indices among those.
pub(in crate::ops) fn only_picked<const N: usize>(
    mut parts: [Array; N],
    index: Array,
) -> Result<([Array; N], Array)> {
    if parts
        .iter()
        .all(|part| index.size() >= part.dim(0) as usize)
    {
        return Ok((parts, index));
    }
    let taken = index.flatten(None, None)?;
    for part in &mut parts {
        *part = part.take_axis(&taken, 0)?;
    }
    let numbers = arange(index.size() as i32, Dtype::Uint32)?;
    Ok((parts, numbers.reshape(index.shape())?))
}
