//! Decompositions by elimination and reflection.

use emily_spec::{Error, ErrorKind, Result, TensorType};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, Slice};

use super::matrix::{eliminate, is_finite, matrices, nan, stacked};
use crate::array::WideArray;
use crate::eval::{Target, WideAnswer};

/// Householder's Q and R of each matrix over the last two axes. Inference refuses empty matrices.
pub(crate) fn qr(
    input: &WideArray,
    results: &[TensorType],
    target: Target,
) -> Result<Vec<WideAnswer>> {
    // The columns of Q that are asked for: m, or the smaller dimension.
    let k = *results[0].shape.last().unwrap_or(&0);
    let factors = matrices::<f64>(input, |x| target.cast(x)).map(|matrix| {
        let (m, n) = matrix.dim();
        if !is_finite(&matrix) {
            return [nan(m, k), nan(k, n)];
        }
        let (q, r) = householder(matrix.view());
        [
            q.slice_axis(Axis(1), Slice::from(..k)).to_owned(),
            r.slice_axis(Axis(0), Slice::from(..k)).to_owned(),
        ]
    });
    stacked(results, factors.collect())
}

/// Q of m × m and R of m × n: reflections clear R's columns below the diagonal one by one, and Q
/// is their product. None is needed as long as there is nothing to clear; after the first, a column
/// is reflected for the sign of its diagonal, too.
fn householder(a: ArrayView2<f64>) -> (Array2<f64>, Array2<f64>) {
    let (m, n) = a.dim();
    let mut q = Array2::eye(m);
    let mut r = a.to_owned();
    let mut reflected = false;
    for j in 0..n.min(m - 1) {
        let rest = corner(&mut r, j, j);
        let column = rest.column(0);
        reflected |= column.iter().skip(1).any(|&x| x != 0.0);
        let Some(v) = reflector(column).filter(|_| reflected) else {
            continue;
        };
        reflect(corner(&mut r, j, j), &v);
        corner(&mut r, j + 1, j).column_mut(0).fill(0.0);
        // Q·H is the transpose of H·Qᵀ.
        reflect(corner(&mut q, 0, j).reversed_axes(), &v);
    }
    (q, r)
}

/// The part from this row and column on.
fn corner(a: &mut Array2<f64>, row: usize, column: usize) -> ArrayViewMut2<'_, f64> {
    a.slice_each_axis_mut(|axis| Slice::from([row, column][axis.axis.index()]..))
}

/// The unit vector whose reflection takes the column to its norm times the first axis; none where it
/// is there already. Scaled first, so that squares neither overflow nor vanish.
fn reflector(column: ArrayView1<f64>) -> Option<Array1<f64>> {
    let largest = column.fold(0.0, |largest: f64, x| largest.max(x.abs()));
    if largest == 0.0 {
        return None;
    }
    let mut v = &column / largest;
    let below = norm(v.slice_axis(Axis(0), Slice::from(1..)));
    // The first element less the norm, which of a positive one would cancel.
    v[0] = match v[0] > 0.0 {
        true => -below.powi(2) / (v[0] + norm(v.view())),
        false => v[0] - norm(v.view()),
    };
    let length = norm(v.view());
    (length > 0.0).then(|| v / length)
}

fn norm(v: ArrayView1<f64>) -> f64 {
    v.dot(&v).sqrt()
}

/// A ← (I − 2·v·vᵀ)·A.
fn reflect(mut a: ArrayViewMut2<f64>, v: &Array1<f64>) {
    let projection = v.dot(&a);
    for (mut row, &x) in a.rows_mut().into_iter().zip(v) {
        row.scaled_add(-2.0 * x, &projection);
    }
}

/// The Cholesky factor of each matrix, row by row.
pub(crate) fn cholesky(
    input: &WideArray,
    results: &[TensorType],
    target: Target,
) -> Result<Vec<WideAnswer>> {
    let mut factors = Vec::new();
    for a in matrices::<f64>(input, |x| target.cast(x)) {
        let n = a.nrows();
        let mut l = Array2::zeros((n, n));
        for i in 0..n {
            for j in 0..=i {
                let known: f64 = (0..j).map(|k| l[[i, k]] * l[[j, k]]).sum();
                let rest = a[[i, j]] - known;
                let pivot = |rest: f64| if rest > 0.0 { Some(rest.sqrt()) } else { None };
                l[[i, j]] = match i == j {
                    true => pivot(rest).ok_or_else(not_positive_definite)?,
                    false => rest / l[[j, j]],
                };
            }
        }
        factors.push([l]);
    }
    stacked(results, factors)
}

fn not_positive_definite() -> Error {
    Error::new(ErrorKind::Argument, "a matrix must be positive definite")
}

/// P, L and U of each matrix by elimination with the largest element of a column as its pivot.
pub(crate) fn lu(
    input: &WideArray,
    results: &[TensorType],
    target: Target,
) -> Result<Vec<WideAnswer>> {
    let dtype = results[1].dtype;
    let factors = matrices::<f64>(input, |x| target.cast_to(dtype, x)).map(|a| {
        let eliminated = eliminate(&a);
        let mut p = Array2::zeros(a.dim());
        for (i, &row) in eliminated.rows.iter().enumerate() {
            p[[row, i]] = 1.0;
        }
        [p, eliminated.l, eliminated.u]
    });
    stacked(results, factors.collect())
}
