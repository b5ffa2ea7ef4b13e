//! Decompositions.

use emily_spec::{DType, ErrorKind, TensorType};
use mlx_rs::error::Result;
use mlx_rs::ops::{concatenate, ones_dtype, select, tril, triu, zeros_dtype};
use mlx_rs::{Array, Dtype, linalg};

use super::determinant::by_pivots;
use super::{BLOCK, sizes, transposed, wide};
use crate::mlx::{arange, clone_array, dtype_of, real, slice_axis};
use crate::ops::cast::cast;
use crate::ops::{Cx, dims, length};

/// The factors at the dtypes of the results.
pub(super) fn narrowed<const N: usize>(
    factors: [Array; N],
    results: &[TensorType],
) -> Result<Vec<Array>> {
    let pairs = factors.iter().zip(results);
    pairs.map(|(factor, ty)| cast(factor, ty.dtype)).collect()
}

/// Q and R of the types asked for.
pub(in crate::ops) fn qr(x: &Array, results: &[TensorType], cx: &Cx) -> Result<Vec<Array>> {
    let columns = *dims(&results[0].shape).last().unwrap_or(&0);
    let x = wide(x, results[0].dtype)?;
    let [batch, m, n] = sizes(&x);
    let n = n.max(columns as usize);
    length(batch.saturating_mul(m).saturating_mul(n))?;
    length(n.saturating_mul(BLOCK))?;
    let factors = cx.on_cpu([&x], |[x]| {
        let (finite, x) = finite(x)?;
        let (scaled, back) = moderate(&x, &[-2])?;
        let (q, r) = reflect(&scaled, columns)?;
        let (q, r) = signed(&x, &q, &r.multiply(back)?)?;
        Ok([or_nan(&finite, &q)?, or_nan(&finite, &r)?])
    })?;
    narrowed(factors, results)
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

/// Q and R with the signs of Nx's reflections, which take a column to its norm where LAPACK's take it to
/// either sign of that. Neither reflects the leading columns that have nothing below the diagonal. Of the
/// others Nx reflects each; LAPACK does not where its reflections before, which are not Nx's, have left
/// nothing below the diagonal either, so that the sign of a square Q's determinant is not known beforehand.
///
/// Each of Nx's reflections turns the determinant's sign, and the signs that columns are given turn LAPACK's: the last
/// column's is det(Q) · the product of the other signs · (−1) for each of Nx's reflections. The determinant takes
/// an elimination of Q.
fn signed(x: &Array, q: &Array, r: &Array) -> Result<(Array, Array)> {
    let (m, k, last) = (q.dim(-2), q.dim(-1), x.ndim() - 1);
    let steps = x.dim(-1).min(m - 1);
    if steps == 0 {
        return Ok((clone_array(q), clone_array(r)));
    }
    let (one, zero) = (real(dtype_of(x), 1.0), real(dtype_of(x), 0.0));
    let below = slice_axis(&tril(x, -1)?, last, 0..steps)?.ne(&zero)?;
    let below = below.any_axes(&[-2], true)?.as_dtype(Dtype::Uint8)?;
    let reflected = below.cummax(-1, false, true)?.as_dtype(Dtype::Bool)?;
    let diagonal = slice_axis(&r.diagonal(None, -2, -1)?, last - 1, 0..steps)?;
    let negative = diagonal.lt(&zero)?.expand_dims(-2)?;
    let mut signs = select(reflected.logical_and(negative)?, one.negative()?, &one)?;
    if k == steps + 1 {
        let reflections = select(reflected, one.negative()?, &one)?.prod_axes(&[-1], true)?;
        let turned = by_pivots(q)?.lt(zero)?.expand_dims_axes(&[-2, -1])?;
        let determinant = select(turned, one.negative()?, &one)?;
        let product = signs.prod_axes(&[-1], true)?.multiply(determinant)?;
        signs = concatenate(&[signs, product.multiply(reflections)?], -1)?;
    } else if k > steps {
        signs = with_ones(&signs, k)?;
    }
    let r = r.multiply(transposed(&signs)?)?;
    Ok((q.multiply(signs)?, triu(r, 0)?))
}

/// A row of signs, and ones after it for the columns that it has none of, to so many.
pub(super) fn with_ones(signs: &Array, count: i32) -> Result<Array> {
    let last = signs.ndim() - 1;
    let mut shape = signs.shape().to_vec();
    shape[last] = count - shape[last];
    if shape[last] == 0 {
        return Ok(clone_array(signs));
    }
    concatenate(&[signs, &ones_dtype(&shape, signs.dtype())?], -1)
}

/// Which matrices are finite, as one element each, and zeros in the place of the others: LAPACK gives
/// up on those.
pub(super) fn finite(x: &Array) -> Result<(Array, Array)> {
    let dtype = dtype_of(x);
    let finite = x.abs()?.lt(real(dtype, f64::INFINITY))?;
    let finite = finite.all_axes(&[-2, -1], true)?;
    let x = select(&finite, x, real(dtype, 0.0))?;
    Ok((finite, x))
}

pub(super) fn or_nan(finite: &Array, x: &Array) -> Result<Array> {
    select(finite, x, real(dtype_of(x), f64::NAN))
}

/// The matrices with what is huge or tiny brought to the middle of its dtype's range, so that nothing
/// overflows or loses digits on the way, and what each line along these axes has to be multiplied by to
/// be what it was: powers of two, which round nothing but elements below the line's largest by more than
/// half the range.
pub(super) fn moderate(x: &Array, axes: &[i32]) -> Result<(Array, Array)> {
    let dtype = dtype_of(x);
    let quarter = if dtype == DType::F64 { 256 } else { 32 };
    let power = |exponent: i32| real(dtype, 2f64.powi(exponent));
    let largest = x.abs()?.max_axes(axes, true)?;
    let huge = largest.ge(power(3 * quarter))?;
    let tiny = largest.lt(power(-3 * quarter))?;
    let by = |huge_by: i32| {
        let or_tiny = select(&tiny, power(-huge_by), power(0))?;
        select(&huge, power(huge_by), or_tiny)
    };
    Ok((x.multiply(by(-quarter)?)?, by(quarter)?))
}

/// L of the lower triangle. LAPACK stops at the first pivot that is not positive and leaves it on the
/// diagonal; MLX takes no notice.
pub(in crate::ops) fn cholesky(x: &Array, ty: &TensorType, cx: &mut Cx) -> Result<Array> {
    let x = wide(x, ty.dtype)?;
    let [_, n, _] = sizes(&x);
    length(n.saturating_mul(n))?;
    let (l, failed) = cx.on_cpu([&x], |[x]| {
        let (finite, x) = finite(&tril(x, 0)?)?;
        let l = linalg::cholesky(&x, None)?;
        let pivots = l.diagonal(None, -2, -1)?;
        let positive = pivots.gt(real(dtype_of(&l), 0.0))?;
        let known = finite.squeeze_axes(&[-1])?;
        let failed = positive.logical_not()?.logical_and(known)?;
        Ok((or_nan(&finite, &l)?, failed))
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
    let x = cast(x, results[1].dtype)?;
    cx.on_cpu([&x], |[x]| {
        let (finite, x) = finite(&cast(x, DType::F64)?)?;
        let (x, back) = moderate(&x, &[-2])?;
        let (rows, l, u) = eliminated(&x)?;
        let u = u.multiply(back)?;
        let all = arange(rows.dim(-1), rows.dtype())?;
        let p = rows.expand_dims(-1)?.eq(all)?.as_dtype(Dtype::Uint8)?;
        // Here, as the GPU takes no f64.
        narrowed([p, or_nan(&finite, &l)?, or_nan(&finite, &u)?], results)
    })
}

/// Which row of L·U each row is, L and U, of a matrix in `f64`: LAPACK multiplies by 1 over a pivot, which
/// of `f32`'s subnormal numbers is beyond `f32`.
///
/// MLX's LUF gives the bytes of its result for the number of its elements. An elementwise op goes by
/// that number where its operands lie alike in memory, as those of 1 × 1 do with any: it would read
/// and write beyond them. So MLX sees none of 1 × 1.
pub(super) fn eliminated(x: &Array) -> Result<(Array, Array, Array)> {
    if x.dim(-1) > 1 {
        let [_, n, _] = sizes(x);
        length(n.saturating_mul(n))?;
        return linalg::lu(x);
    }
    let rows = zeros_dtype(&x.shape()[..x.ndim() - 1], Dtype::Uint32)?;
    Ok((rows, ones_dtype(x.shape(), x.dtype())?, clone_array(x)))
}
