//! Eigenvalues and singular values, with their vectors.
//!
//! Both are found step by step, and LAPACK may give up. So they are evaluated here: the error names the call,
//! and nobody else is told of it.

use emily_spec::{Svd, TensorType};
use mlx_rs::error::Result;
use mlx_rs::ops::argsort_axis;
use mlx_rs::transforms::eval;
use mlx_rs::{Array, linalg};

use super::decompose::{finite, moderate, narrowed, or_nan};
use super::{BLOCK, sizes, transposed, wide};
use crate::ops::{Cx, length};

/// λ and V. MLX has them ascending.
pub(in crate::ops) fn eigh(x: &Array, results: &[TensorType], cx: &Cx) -> Result<Vec<Array>> {
    let x = wide(x, results[0].dtype)?;
    let [_, n, _] = sizes(&x);
    length(workspace(2, n, n))?;
    let factors = cx.on_cpu([&x], |[x]| {
        let (finite, x) = finite(x)?;
        let (values, vectors) = linalg::eigh(&x, None)?;
        eval([&values, &vectors])?;
        let order = argsort_axis(values.abs()?.negative()?, -1)?;
        let values = values.take_along_axis(&order, -1)?;
        let vectors = vectors.take_along_axis(order.expand_dims(-2)?, -1)?;
        let values = or_nan(&finite.squeeze_axes(&[-1])?, &values)?;
        Ok([values, or_nan(&finite, &vectors)?])
    })?;
    narrowed(factors, results)
}

/// The elements that LAPACK works in: so many squares, and some columns of blocks.
fn workspace(squares: usize, side: usize, longer: usize) -> usize {
    let squares = squares.saturating_mul(side).saturating_mul(side);
    squares.saturating_add(longer.saturating_mul(2 * BLOCK))
}

/// U, S and Vᵀ.
pub(in crate::ops) fn svd(
    op: &Svd,
    x: &Array,
    results: &[TensorType],
    cx: &Cx,
) -> Result<Vec<Array>> {
    let x = wide(x, results[0].dtype)?;
    let [batch, m, n] = sizes(&x);
    // A long matrix is made square first, unless its vectors are to be, too.
    let least = m.min(n);
    let side = if op.full_matrices { m.max(n) } else { least };
    length(x.size())?;
    length(batch.saturating_mul(side).saturating_mul(side))?;
    length(workspace(5, least, side))?;
    let factors = cx.on_cpu([&x], |[x]| {
        let (finite, x) = finite(x)?;
        let (x, back) = moderate(&x, &[-2, -1])?;
        let (u, s, v) = match op.full_matrices {
            true => all(&x)?,
            false => thin(&x)?,
        };
        let s = s.multiply(back.squeeze_axes(&[-1])?)?;
        let s = or_nan(&finite.squeeze_axes(&[-1])?, &s)?;
        Ok([or_nan(&finite, &u)?, s, or_nan(&finite, &v)?])
    })?;
    narrowed(factors, results)
}

/// U, S and Vᵀ, U and V square.
fn all(x: &Array) -> Result<(Array, Array, Array)> {
    let (u, s, v) = linalg::svd(x)?;
    eval([&u, &s, &v])?;
    Ok((u, s, v))
}

/// MLX has square U and V only, which of a long matrix take far more memory than the matrix: with
/// A = Q·R, the square R = U·S·Vᵀ gives Q·U.
fn thin(x: &Array) -> Result<(Array, Array, Array)> {
    let (m, n) = (x.dim(-2), x.dim(-1));
    if m < n {
        let (v, s, u) = thin(&transposed(x)?)?;
        return Ok((transposed(&u)?, s, transposed(&v)?));
    }
    if m == n {
        return all(x);
    }
    let (q, r) = linalg::qr(x)?;
    let (u, s, v) = all(&r)?;
    Ok((q.matmul(&u)?, s, v))
}
