//! Eigenvalues by Jacobi's rotations.

use emily_spec::{Result, TensorType};
use ndarray::{Array2, Axis};

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
