//! Eigenvalues and singular values by Jacobi's rotations.

use emily_spec::{Result, TensorType};
use ndarray::{Array1, Array2, Axis};

use super::matrix::{is_finite, matrices, nan, stacked};
use crate::array::WideArray;
use crate::eval::{Target, WideAnswer};

/// Eigenvalues and eigenvectors of each symmetric matrix, its lower triangle, by modulus.
pub(crate) fn eigh(
    input: &WideArray,
    results: &[TensorType],
    target: Target,
) -> Result<Vec<WideAnswer>> {
    let factors = matrices::<f64>(input, |x| target.cast(x)).map(|a| {
        let n = a.nrows();
        if !is_finite(&a) {
            return [nan(n, 1), nan(n, n)];
        }
        let mut a = Array2::from_shape_fn((n, n), |(i, j)| a[[i.max(j), i.min(j)]]);
        let mut v = Array2::eye(n);
        until_settled(|| {
            let mut settled = true;
            for (p, q) in pairs(n) {
                let (app, aqq, apq) = (a[[p, p]], a[[q, q]], a[[p, q]]);
                if apq.abs() <= f64::EPSILON / 8.0 * (app.abs() * aqq.abs()).sqrt() {
                    continue;
                }
                settled = false;
                let (c, s) = rotation(app, aqq, apq);
                // From both sides, so that A stays symmetric.
                rotate_columns(&mut a, p, q, c, s);
                a.swap_axes(0, 1);
                rotate_columns(&mut a, p, q, c, s);
                rotate_columns(&mut v, p, q, c, s);
            }
            settled
        });
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&i, &j| a[[j, j]].abs().total_cmp(&a[[i, i]].abs()));
        let values = Array2::from_shape_fn((n, 1), |(i, _)| a[[order[i], order[i]]]);
        [values, v.select(Axis(1), &order)]
    });
    stacked(results, factors.collect())
}

/// U, S and Vᵀ of each matrix.
pub(crate) fn svd(
    input: &WideArray,
    results: &[TensorType],
    target: Target,
) -> Result<Vec<WideAnswer>> {
    let columns = results[0].shape.last().copied().unwrap_or(0);
    let rows = results[2].shape.iter().rev().nth(1).copied().unwrap_or(0);
    let factors = matrices::<f64>(input, |x| target.cast(x)).map(|a| {
        let (m, n) = a.dim();
        if !is_finite(&a) {
            return [nan(m, columns), nan(m.min(n), 1), nan(rows, n)];
        }
        if m >= n {
            let (u, s, v) = tall(&a, columns);
            [u, s, v.reversed_axes()]
        } else {
            let (v, s, u) = tall(&a.reversed_axes(), rows);
            [u, s, v.reversed_axes()]
        }
    });
    stacked(results, factors.collect())
}

/// U with so many columns, S and V: the columns of A are rotated until they are orthogonal, and
/// are then U's, times S.
fn tall(a: &Array2<f64>, columns: usize) -> (Array2<f64>, Array2<f64>, Array2<f64>) {
    let n = a.ncols();
    // Squares neither overflow nor vanish.
    let largest = a.fold(0.0, |largest: f64, x| largest.max(x.abs()));
    let scale = if largest == 0.0 { 1.0 } else { largest };
    let mut u = a / scale;
    let mut v = Array2::eye(n);
    until_settled(|| {
        let mut settled = true;
        for (p, q) in pairs(n) {
            let of = |i: usize, j: usize| u.column(i).dot(&u.column(j));
            let (upp, uqq, upq) = (of(p, p), of(q, q), of(p, q));
            if upq.abs() <= 4.0 * f64::EPSILON * (upp * uqq).sqrt() {
                continue;
            }
            settled = false;
            let (c, s) = rotation(upp, uqq, upq);
            rotate_columns(&mut u, p, q, c, s);
            rotate_columns(&mut v, p, q, c, s);
        }
        settled
    });
    let norms: Vec<f64> = u.columns().into_iter().map(|c| c.dot(&c).sqrt()).collect();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| norms[j].total_cmp(&norms[i]));
    let (u, v) = (u.select(Axis(1), &order), v.select(Axis(1), &order));
    let s = Array2::from_shape_fn((n, 1), |(i, _)| norms[order[i]] * scale);
    (orthonormal(&u, columns), s, v)
}

/// So many orthonormal columns, of which the first are those of `a`, normalised. Columns that are
/// nothing but rounding beside the first have no direction, and what is missing is orthogonal to all
/// others.
fn orthonormal(a: &Array2<f64>, columns: usize) -> Array2<f64> {
    let m = a.nrows();
    let norm = |v: &Array1<f64>| v.dot(v).sqrt();
    let given = a.columns().into_iter().map(|column| column.to_owned());
    let smallest = 1e-12 * a.column(0).dot(&a.column(0)).sqrt();
    let mut basis: Vec<Array1<f64>> = given
        .filter(|column| norm(column) > smallest)
        .map(|column| &column / norm(&column))
        .collect();
    while basis.len() < columns {
        // Of all axes the one of which most is left; twice, as the first time cancels.
        let left = (0..m).map(|axis| {
            let mut rest = Array1::from_shape_fn(m, |i| if i == axis { 1.0 } else { 0.0 });
            for known in basis.iter().chain(&basis) {
                let along = known.dot(&rest);
                rest.scaled_add(-along, known);
            }
            rest
        });
        let Some(best) = left.max_by(|a, b| norm(a).total_cmp(&norm(b))) else {
            break;
        };
        basis.push(&best / norm(&best));
    }
    Array2::from_shape_fn((m, columns), |(i, j)| basis[j][i])
}

/// Each sweep squares what is left, so a few are enough; rounding may keep the last from being still.
fn until_settled(mut sweep: impl FnMut() -> bool) {
    for _ in 0..60 {
        if sweep() {
            return;
        }
    }
}

fn pairs(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |p| (p + 1..n).map(move |q| (p, q)))
}

/// Cosine and sine of the angle that makes a symmetric 2 × 2 matrix diagonal.
fn rotation(app: f64, aqq: f64, apq: f64) -> (f64, f64) {
    let tau = (aqq - app) / (2.0 * apq);
    let t = tau.signum() / (tau.abs() + tau.hypot(1.0));
    let c = 1.0 / t.hypot(1.0);
    (c, t * c)
}

fn rotate_columns(a: &mut Array2<f64>, p: usize, q: usize, c: f64, s: f64) {
    for mut row in a.rows_mut() {
        let (x, y) = (row[p], row[q]);
        row[p] = c * x - s * y;
        row[q] = s * x + c * y;
    }
}
