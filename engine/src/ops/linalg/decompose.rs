//! Decompositions.

use emily_spec::{ErrorKind, TensorType};
use mlx_rs::error::Result;
use mlx_rs::ops::{concatenate, ones_dtype, zeros_dtype};
use mlx_rs::{Array, Dtype, linalg, with_stream};

use super::wide;
use crate::mlx::{arange, clone_array, dtype_of, real, slice_axis};
use crate::ops::cast::cast;
use crate::ops::{Cx, dims};

/// The factors at the dtypes of the results.
fn narrowed<const N: usize>(factors: [Array; N], results: &[TensorType]) -> Result<Vec<Array>> {
    let pairs = factors.iter().zip(results);
    pairs.map(|(factor, ty)| cast(factor, ty.dtype)).collect()
}

/// Q and R of the types asked for.
pub(in crate::ops) fn qr(x: &Array, results: &[TensorType], cx: &Cx) -> Result<Vec<Array>> {
    let columns = *dims(&results[0].shape).last().unwrap_or(&0);
    let x = wide(x, results[0].dtype)?;
    let (q, r) = with_stream(cx.cpu, || reflect(&x, columns))?;
    narrowed([q, r], results)
}

/// Reduced Q and R where Q is to have at most as many columns as the matrix. More of them come of
/// columns of zeros beside it, which leave R's others as they are.
fn reflect(x: &Array, columns: i32) -> Result<(Array, Array)> {
    let (m, n) = (x.dim(-2), x.dim(-1));
    if columns <= n {
        return linalg::qr(x);
    }
    let mut padding = x.shape().to_vec();
    padding[x.ndim() - 1] = m - n;
    let zeros = zeros_dtype(&padding, x.dtype())?;
    let (q, r) = linalg::qr(concatenate(&[clone_array(x), zeros], -1)?)?;
    Ok((q, slice_axis(&r, r.ndim() - 1, 0..n)?))
}

/// L of the lower triangle. LAPACK stops at the first pivot that is not positive and leaves it on the
/// diagonal; MLX takes no notice.
pub(in crate::ops) fn cholesky(x: &Array, ty: &TensorType, cx: &mut Cx) -> Result<Array> {
    let x = wide(x, ty.dtype)?;
    let (l, failed) = with_stream(cx.cpu, || -> Result<_> {
        let l = linalg::cholesky(&x, None)?;
        let pivots = l.diagonal(None, -2, -1)?;
        let positive = pivots.gt(real(dtype_of(&l), 0.0))?;
        Ok((l, positive.logical_not()?))
    })?;
    cx.fail_where(
        failed,
        ErrorKind::Argument,
        "a matrix must be positive definite",
    );
    cast(&l, ty.dtype)
}

/// P, L and U. MLX's permutation says which row of L·U each row of the matrix is.
pub(in crate::ops) fn lu(x: &Array, results: &[TensorType], cx: &Cx) -> Result<Vec<Array>> {
    let x = wide(x, results[1].dtype)?;
    let factors = with_stream(cx.cpu, || -> Result<_> {
        let (rows, l, u) = eliminated(&x)?;
        let all = arange(rows.dim(-1), rows.dtype())?;
        let p = rows.expand_dims(-1)?.eq(all)?.as_dtype(Dtype::Uint8)?;
        Ok([p, l, u])
    })?;
    narrowed(factors, results)
}

/// Which row of L·U each row is, L and U.
///
/// MLX's LUF gives the bytes of its result for the number of its elements. An elementwise op goes by
/// that number where its operands lie alike in memory, as those of 1 × 1 do with any: it would read
/// and write beyond them. So MLX sees none of 1 × 1.
pub(super) fn eliminated(x: &Array) -> Result<(Array, Array, Array)> {
    if x.dim(-1) > 1 {
        return linalg::lu(x);
    }
    let rows = zeros_dtype(&x.shape()[..x.ndim() - 1], Dtype::Uint32)?;
    Ok((rows, ones_dtype(x.shape(), x.dtype())?, clone_array(x)))
}
