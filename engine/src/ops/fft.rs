//! Discrete Fourier transforms.
//!
//! MLX transforms in `c64`, and along two axes as along one after the other. Operands are cut and
//! filled up here: MLX fills up on a stream of its own choice.
//!
//! They run on the CPU always. On CUDA the streams of several workers share MLX's plans, and overwrite
//! each other's work: with three workers, four runs of six had wrong numbers, with one worker none.

use emily_spec::{DType, Fourier, Fourier2, TensorType, Transform, Transform2};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::fft::{fft, ifft, irfft, rfft};
use mlx_rs::ops::zeros_dtype;

use super::cast::{cast, operand};
use super::{Cx, dims, shape};
use crate::mlx::{dtype_of, real, shape_of, to_mlx};

/// One transform for each index of the other axes.
pub(super) fn fourier(
    kind: Fourier,
    op: &Transform,
    x: &Array,
    ty: &TensorType,
    cx: &Cx,
) -> Result<Array> {
    if x.size() == 0 {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    let (n, axis) = (op.length(kind, shape_of(x)[op.axis]), op.axis as i32);
    let (dtype, needed) = match kind {
        Fourier::Fft | Fourier::Ifft => (DType::C64, n),
        Fourier::Rfft => (DType::F32, n),
        Fourier::Irfft => (DType::C64, n / 2 + 1),
    };
    let x = resized(&*operand(x, dtype)?, op.axis, needed)?;
    let n = n as i32;
    cx.on_cpu([&x], |[x]| match kind {
        Fourier::Fft => fft(x, n, axis),
        Fourier::Ifft => ifft(x, n, axis),
        Fourier::Rfft => rfft(x, n, axis),
        Fourier::Irfft => irfft(x, n, axis),
    })
}

pub(super) fn fourier2(
    kind: Fourier2,
    op: &Transform2,
    x: &Array,
    ty: &TensorType,
    cx: &Cx,
) -> Result<Array> {
    if x.size() == 0 {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    let shape = shape_of(x);
    let lengths = op.lengths(&shape);
    // What is cut is cut before anything grows: nothing is larger than operand or result.
    let cut = lengths
        .iter()
        .try_fold(cast(x, ty.dtype)?, |x, &(axis, n)| {
            resized(&x, axis, n.min(shape[axis]))
        });
    lengths.into_iter().try_fold(cut?, |x, (axis, n)| {
        let (x, n, axis) = (resized(&x, axis, n)?, n as i32, axis as i32);
        cx.on_cpu([&x], |[x]| match kind {
            Fourier2::Fft2 => fft(x, n, axis),
            Fourier2::Ifft2 => ifft(x, n, axis),
        })
    })
}

/// The first `n` elements along an axis, zeros beyond the last one.
fn resized(x: &Array, axis: usize, n: usize) -> Result<Array> {
    let none = vec![0; x.ndim()];
    let mut high = none.clone();
    high[axis] = n as i64 - i64::from(x.shape()[axis]);
    let zero = real(dtype_of(x), 0.0);
    shape::padded(x, &zero, &none, &high, &vec![0; x.ndim()])
}
