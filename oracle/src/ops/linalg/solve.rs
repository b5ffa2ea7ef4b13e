//! Systems of linear equations.
//!
//! Rounding makes substitution solve a system of a matrix that is off by ΔT, with |ΔT| ≤ c·u·|T|, and
//! elimination one that is off by ΔA, with |ΔA| ≤ 3·n·u·P·|L|·|U| (Higham, *Accuracy and Stability of
//! Numerical Algorithms*, 8.5 and 9.4). To first order the solution is off by |A⁻¹|·|ΔA|·|X|, which is
//! the magnitude here.

use emily_spec::{Class, Error, ErrorKind, Result, TransformA, TriangularSolve};
use ndarray::Array2;
use num_complex::Complex;

use super::super::accumulate::Growth;
use super::matrix::{
    Eliminated, Number, eliminate, flipped, is_finite, matrices, moduli, nan, product, reversed,
    substitute,
};
use crate::Magnitude;
use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};

pub(crate) fn triangular_solve(
    op: &TriangularSolve,
    inputs: &[WideArray],
    target: Target,
) -> Result<WideAnswer> {
    match target.class() {
        Class::Complex => systems(inputs, op.right, target, |a, b| {
            triangular::<Complex<f64>>(op, a, b)
        }),
        Class::Unsigned | Class::Signed | Class::Float => {
            systems(inputs, op.right, target, |a, b| triangular::<f64>(op, a, b))
        }
    }
}

pub(crate) fn solve(inputs: &[WideArray], target: Target) -> Result<WideAnswer> {
    systems(inputs, false, target, general)
}

/// A solution, and what rounding errors of one unit in the matrix may change of it.
struct Solution<T> {
    x: Array2<T>,
    sensitivity: Array2<f64>,
    /// The number of roundings that reach an element of the matrix.
    roundings: usize,
}

/// Every matrix with its right-hand side, a vector being a matrix of one column, or one row where it
/// stands at the right.
fn systems<T: Number>(
    inputs: &[WideArray],
    right: bool,
    target: Target,
    solve: impl Fn(Array2<T>, Array2<T>) -> Result<Solution<T>>,
) -> Result<WideAnswer> {
    let b = &inputs[1];
    let mut dims = b.shape().to_vec();
    if b.ndim() < inputs[0].ndim() {
        dims.insert(if right { dims.len() - 1 } else { dims.len() }, 1);
    }
    let b = b.to_shape(dims).map(|b| b.to_owned());
    let b = b.map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
    let (mut values, mut sizes, mut roundings) = (Vec::new(), Vec::new(), 0);
    if !b.is_empty() {
        let cast = |x| target.cast(x);
        for (a, b) in matrices(&inputs[0], cast).zip(matrices(&b, cast)) {
            let solution = solve(a, b)?;
            values.extend(solution.x.iter().map(|x| x.wide()));
            sizes.extend(solution.sensitivity);
            roundings = solution.roundings;
        }
    }
    let growth = Growth::of(target.dtype(), roundings).worst;
    Ok(WideAnswer {
        values: array::from_vec(&target.ty.shape, values)?,
        magnitude: Some(Magnitude::of_terms(target.dtype(), sizes, |size| {
            growth * size
        })),
    })
}

/// Substitution. A system at the right is one at the left of transposes; an upper triangular one is a
/// lower one whose rows and columns are counted from the end.
fn triangular<T: Number>(op: &TriangularSolve, a: Array2<T>, b: Array2<T>) -> Result<Solution<T>> {
    let is_read = |i: usize, j: usize| if op.upper { j >= i } else { j <= i };
    let a = Array2::from_shape_fn(a.dim(), |(i, j)| match op.transform {
        _ if !is_read(i, j) => T::zero(),
        TransformA::None | TransformA::Transpose => a[[i, j]],
        TransformA::Conjugate => a[[i, j]].conjugate(),
    });
    let transposed = (op.transform == TransformA::Transpose) != op.right;
    let (a, upper) = match transposed {
        true => (a.reversed_axes(), !op.upper),
        false => (a, op.upper),
    };
    let b = if op.right { b.reversed_axes() } else { b };
    let (t, b) = if upper {
        (reversed(&a), flipped(&b))
    } else {
        (a, b)
    };
    check_pivots(&t)?;
    let x = substitute(&t, &b);
    let inverse = substitute(&t, &Array2::eye(t.nrows()));
    let sensitivity = product(&moduli(&inverse), &product(&moduli(&t), &moduli(&x)));
    let roundings = t.nrows() + 3;
    let (x, sensitivity) = match upper {
        true => (flipped(&x), flipped(&sensitivity)),
        false => (x, sensitivity),
    };
    Ok(match op.right {
        true => Solution {
            x: x.reversed_axes(),
            sensitivity: sensitivity.reversed_axes(),
            roundings,
        },
        false => Solution {
            x,
            sensitivity,
            roundings,
        },
    })
}

/// Elimination with pivots, then substitution twice. What is not finite leaves nothing to solve.
fn general(a: Array2<f64>, b: Array2<f64>) -> Result<Solution<f64>> {
    let roundings = 3 * a.nrows();
    if !is_finite(&a) {
        return Ok(Solution {
            x: nan(a.nrows(), b.ncols()),
            sensitivity: Array2::zeros(b.dim()),
            roundings,
        });
    }
    let eliminated = eliminate(&a);
    check_pivots(&eliminated.u)?;
    let x = substituted(&eliminated, &b);
    let inverse = substituted(&eliminated, &Array2::eye(a.nrows()));
    let sensitivity = product(
        &moduli(&inverse),
        &product(&eliminated.sizes(), &moduli(&x)),
    );
    Ok(Solution {
        x,
        sensitivity,
        roundings,
    })
}

fn substituted(eliminated: &Eliminated<f64>, b: &Array2<f64>) -> Array2<f64> {
    let Eliminated { rows, l, u } = eliminated;
    let b = Array2::from_shape_fn(b.dim(), |(i, j)| b[[rows[i], j]]);
    let y = substitute(l, &b);
    flipped(&substitute(&reversed(u), &flipped(&y)))
}

fn check_pivots<T: Number>(t: &Array2<T>) -> Result<()> {
    if t.diag().iter().any(|&pivot| pivot == T::zero()) {
        return Err(Error::new(
            ErrorKind::Argument,
            "can't solve for singular matrix",
        ));
    }
    Ok(())
}
