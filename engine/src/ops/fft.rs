//! Discrete Fourier transforms.
//!
//! MLX transforms in `c64`, and along two axes as along one after the other. Operands are cut and
//! filled up here: MLX fills up on a stream of its own choice.

use emily_spec::{DType, Fourier, Fourier2, Pad, TensorType, Transform, Transform2};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::fft::{fft, ifft, irfft, rfft};
use mlx_rs::ops::zeros_dtype;

use super::cast::{cast, operand};
use super::{dims, shape};
use crate::mlx::{clone_array, dtype_of, real, shape_of, to_mlx};

/// One transform for each index of the other axes.
pub(super) fn fourier(kind: Fourier, op: &Transform, x: &Array, ty: &TensorType) -> Result<Array> {
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
    match kind {
        Fourier::Fft => fft(&x, n, axis),
        Fourier::Ifft => ifft(&x, n, axis),
        Fourier::Rfft => rfft(&x, n, axis),
        Fourier::Irfft => irfft(&x, n, axis),
    }
}

pub(super) fn fourier2(
    kind: Fourier2,
    op: &Transform2,
    x: &Array,
    ty: &TensorType,
) -> Result<Array> {
    if x.size() == 0 {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    let lengths = op.lengths(&shape_of(x));
    lengths
        .into_iter()
        .try_fold(cast(x, ty.dtype)?, |x, (axis, n)| {
            let (x, n, axis) = (resized(&x, axis, n)?, n as i32, axis as i32);
            match kind {
                Fourier2::Fft2 => fft(&x, n, axis),
                Fourier2::Ifft2 => ifft(&x, n, axis),
            }
        })
}

/// The first `n` elements along an axis, zeros beyond the last one, in order without gaps: CUDA's
/// transforms refuse another layout.
fn resized(x: &Array, axis: usize, n: usize) -> Result<Array> {
    let mut sizes = shape_of(x).to_vec();
    let more = n as i64 - sizes[axis] as i64;
    if more == 0 {
        return x.contiguous();
    }
    let none = vec![0; sizes.len()];
    let mut high = none.clone();
    high[axis] = more;
    sizes[axis] = n;
    let pad = Pad {
        interior: vec![0; sizes.len()].into(),
        low: none.into(),
        high: high.into(),
        dtype: None,
    };
    let zero = real(dtype_of(x), 0.0);
    let ty = TensorType::new(dtype_of(x), sizes);
    shape::pad(&pad, &[clone_array(x), zero], &ty)?.contiguous()
}
