//! Determinants.
//!
//! Up to 3 × 3 by Leibniz's formula, larger ones by elimination. Rounding makes elimination find the
//! factors of a matrix that is off by ΔA, with |ΔA| ≤ n·u·P·|L|·|U| (Higham, *Accuracy and Stability of
//! Numerical Algorithms*, 9.3). To first order the determinant is off by the sum of |ΔA| times the
//! moduli of the cofactors, and by n more roundings of the product of the pivots, which is no larger.

use emily_spec::Result;
use ndarray::Array2;

use super::super::accumulate::Growth;
use super::matrix::{Eliminated, eliminate, is_finite, matrices, moduli};
use crate::Magnitude;
use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};
use crate::value::Wide;

pub(crate) fn determinant(input: &WideArray, target: Target) -> Result<WideAnswer> {
    let n = input.shape().last().copied().unwrap_or(0);
    let all = matrices::<f64>(input, |x| target.cast(x));
    let (values, sizes): (Vec<Wide>, Vec<f64>) = all
        .map(|a| match n {
            ..=3 => (leibniz(&a), permanent(&moduli(&a))),
            _ => (by_pivots(&a), by_cofactors(&a)),
        })
        .map(|(value, size)| (Wide::Float(value), size))
        .unzip();
    // An element alone is not rounded. Of up to six products of three, five roundings reach each term.
    let growth = match n {
        ..=1 => 0.0,
        n => Growth::of(target.dtype(), 2 * n).worst,
    };
    Ok(WideAnswer {
        values: array::from_vec(&target.ty.shape, values)?,
        magnitude: Some(Magnitude::of_terms(target.dtype(), sizes, |size| {
            growth * size
        })),
    })
}

/// Along the first row; the signs of its minors alternate.
fn leibniz(a: &Array2<f64>) -> f64 {
    expanded(a, -1.0, leibniz)
}

/// The same without signs.
fn permanent(a: &Array2<f64>) -> f64 {
    expanded(a, 1.0, permanent)
}

fn expanded(a: &Array2<f64>, sign: f64, of_minor: fn(&Array2<f64>) -> f64) -> f64 {
    if a.nrows() == 1 {
        return a[[0, 0]];
    }
    let terms = (0..a.ncols()).map(|j| sign.powi(j as i32) * a[[0, j]] * of_minor(&minor(a, 0, j)));
    terms.sum()
}

/// Without this row and column.
fn minor(a: &Array2<f64>, row: usize, column: usize) -> Array2<f64> {
    let beyond = |at: usize, left_out: usize| at + usize::from(at >= left_out);
    Array2::from_shape_fn((a.nrows() - 1, a.ncols() - 1), |(i, j)| {
        a[[beyond(i, row), beyond(j, column)]]
    })
}

/// The product of the pivots, turned by each pair of rows that is out of order; NaN of what is not finite,
/// wherever it is.
fn by_pivots(a: &Array2<f64>) -> f64 {
    if !is_finite(a) {
        return f64::NAN;
    }
    let Eliminated { rows, u, .. } = eliminate(a);
    let pairs = (0..rows.len()).flat_map(|i| (0..i).map(move |j| (j, i)));
    let odd = pairs.filter(|&(j, i)| rows[j] > rows[i]).count() % 2 == 1;
    let product: f64 = u.diag().product();
    if odd { -product } else { product }
}

/// What a change of every element by its size makes of the determinant.
fn by_cofactors(a: &Array2<f64>) -> f64 {
    let changes = eliminate(a).sizes();
    let change = |((i, j), by): ((usize, usize), &f64)| by_pivots(&minor(a, i, j)).abs() * by;
    changes.indexed_iter().map(change).sum()
}
