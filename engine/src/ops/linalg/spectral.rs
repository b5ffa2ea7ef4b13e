//! Eigenvalues and singular values, with their vectors.
//!
//! Both are found step by step, and LAPACK may give up. So they are evaluated here: the error names the call,
//! and nobody else is told of it.
//!
//! A vector and its negative are as good, and which one LAPACK gives depends on how it was found. Here [`signs`] choose:
//! those of V, or of U where the matrix is wide. Nx's gradients of `svd` are of the factors that its own function finds
//! by `eigh`, beside these: both have to be the same.

use emily_spec::{Svd, TensorType};
use mlx_rs::error::Result;
use mlx_rs::ops::{argsort_axis, select};
use mlx_rs::transforms::eval;
use mlx_rs::{Array, linalg};

use super::decompose::{finite, moderate, narrowed, or_nan, with_ones};
use super::{BLOCK, sizes, transposed, wide};
use crate::mlx::{dtype_of, real};
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
        let vectors = vectors.multiply(signs(&vectors)?)?;
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
        let (u, v) = signed(&u, &v)?;
        let s = s.multiply(back.squeeze_axes(&[-1])?)?;
        let s = or_nan(&finite.squeeze_axes(&[-1])?, &s)?;
        Ok([or_nan(&finite, &u)?, s, or_nan(&finite, &v)?])
    })?;
    narrowed(factors, results)
}

/// U and Vᵀ with signs that depend on them alone.
fn signed(u: &Array, v: &Array) -> Result<(Array, Array)> {
    if u.dim(-2) < v.dim(-1) {
        let signs = signs(u)?;
        let rows = transposed(&with_ones(&signs, v.dim(-2))?)?;
        return Ok((u.multiply(signs)?, v.multiply(rows)?));
    }
    let signs = signs(&transposed(v)?)?;
    let columns = with_ones(&signs, u.dim(-1))?;
    Ok((u.multiply(columns)?, v.multiply(transposed(&signs)?)?))
}

/// 1 or −1 for each of these columns, as a sum of its elements has it that is 0 of hardly any: its weights, from 1 to
/// 2, are 1 and the multiples of the golden ratio modulo 1, so that no simple numbers make them vanish.
fn signs(columns: &Array) -> Result<Array> {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let count = columns.dim(-2);
    let weights: Vec<f32> = (0..count)
        .map(|i| (1.0 + (f64::from(i) * GOLDEN).fract()) as f32)
        .collect();
    let weights = Array::from_slice(&weights, &[1, count]).as_dtype(columns.dtype())?;
    let sums = weights.matmul(columns)?;
    let constant = |value: f64| real(dtype_of(columns), value);
    select(sums.lt(constant(0.0))?, constant(-1.0), constant(1.0))
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

#[cfg(test)]
mod tests {
    use emily_spec::DType;
    use mlx_rs::with_stream;

    use super::*;
    use crate::{Device, mlx};

    /// An operand that fails as it is computed stands for a matrix that LAPACK gives up on, as none is known.
    #[test]
    fn what_fails_as_it_is_computed_is_known_before_the_op_ends() {
        let stream = mlx::new_stream(Device::Cpu).unwrap();
        with_stream(&stream, || {
            let lost = || {
                let singular = Array::from_slice(&[0f32; 9], &[3, 3]);
                linalg::inv(&singular).unwrap()
            };
            let cx = Cx::new(Device::Cpu, &stream);
            let square = TensorType::new(DType::F32, [3, 3]);
            let results = [TensorType::new(DType::F32, [3]), square.clone()];
            assert!(eigh(&lost(), &results, &cx).is_err());
            let values = results[0].clone();
            for full_matrices in [true, false] {
                let op = Svd { full_matrices };
                let results = [square.clone(), values.clone(), square.clone()];
                assert!(svd(&op, &lost(), &results, &cx).is_err());
            }
        });
    }
}
