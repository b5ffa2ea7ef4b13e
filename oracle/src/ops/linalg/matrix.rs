//! Matrices of real or complex numbers, and elimination.

use std::ops::Neg;

use emily_spec::{Result, TensorType};
use ndarray::{Array2, LinalgScalar};
use num_complex::Complex;

use crate::array::{self, WideArray};
use crate::eval::WideAnswer;
use crate::value::Wide;

/// What matrices are made of.
pub(super) trait Number: LinalgScalar + Neg<Output = Self> + PartialEq {
    fn of(wide: Wide) -> Self;
    fn wide(self) -> Wide;
    fn modulus(self) -> f64;
    fn conjugate(self) -> Self;
}

impl Number for f64 {
    fn of(wide: Wide) -> f64 {
        wide.float()
    }

    fn wide(self) -> Wide {
        Wide::Float(self)
    }

    fn modulus(self) -> f64 {
        self.abs()
    }

    fn conjugate(self) -> f64 {
        self
    }
}

impl Number for Complex<f64> {
    fn of(wide: Wide) -> Complex<f64> {
        wide.complex()
    }

    fn wide(self) -> Wide {
        Wide::Complex(self)
    }

    fn modulus(self) -> f64 {
        self.norm()
    }

    fn conjugate(self) -> Complex<f64> {
        self.conj()
    }
}

/// The matrices over the last two axes. Inference refuses empty ones.
pub(super) fn matrices<T: Number>(
    array: &WideArray,
    cast: impl Fn(Wide) -> Wide,
) -> impl Iterator<Item = Array2<T>> {
    let dims = array.shape();
    let (m, n) = (dims[dims.len() - 2], dims[dims.len() - 1]);
    let elements: Vec<T> = array.iter().map(|&x| T::of(cast(x))).collect();
    let matrix =
        move |at: usize| Array2::from_shape_fn((m, n), |(i, j)| elements[(at * m + i) * n + j]);
    (0..array.len() / (m * n)).map(matrix)
}

/// A matrix that is not finite has no factors.
pub(super) fn is_finite(a: &Array2<f64>) -> bool {
    a.iter().all(|x| x.is_finite())
}

/// What such a matrix has instead.
pub(super) fn nan(m: usize, n: usize) -> Array2<f64> {
    Array2::from_elem((m, n), f64::NAN)
}

/// One result per factor, of every matrix's.
pub(super) fn stacked<const N: usize>(
    results: &[TensorType],
    factors: Vec<[Array2<f64>; N]>,
) -> Result<Vec<WideAnswer>> {
    let result = |(i, ty): (usize, &TensorType)| {
        let elements = factors.iter().flat_map(|factors| factors[i].iter());
        let elements = elements.map(|&x| Wide::Float(x)).collect();
        Ok(array::from_vec(&ty.shape, elements)?.into())
    };
    results.iter().enumerate().map(result).collect()
}

/// L and U of a matrix whose rows are taken in this order.
pub(super) struct Eliminated<T> {
    pub(super) rows: Vec<usize>,
    pub(super) l: Array2<T>,
    pub(super) u: Array2<T>,
}

/// Gaussian elimination; the pivot is the largest element left of a column, the first of equals.
pub(super) fn eliminate<T: Number>(a: &Array2<T>) -> Eliminated<T> {
    let n = a.nrows();
    let (mut l, mut u) = (Array2::eye(n), a.clone());
    let mut rows: Vec<usize> = (0..n).collect();
    for k in 0..n {
        let mut pivot = k;
        for i in k + 1..n {
            if u[[i, k]].modulus() > u[[pivot, k]].modulus() {
                pivot = i;
            }
        }
        rows.swap(k, pivot);
        (0..n).for_each(|j| u.swap([k, j], [pivot, j]));
        (0..k).for_each(|j| l.swap([k, j], [pivot, j]));
        for i in k + 1..n {
            if u[[i, k]] == T::zero() {
                continue;
            }
            let factor = u[[i, k]] / u[[k, k]];
            l[[i, k]] = factor;
            u[[i, k]] = T::zero();
            for j in k + 1..n {
                u[[i, j]] = u[[i, j]] - factor * u[[k, j]];
            }
        }
    }
    Eliminated { rows, l, u }
}

impl<T: Number> Eliminated<T> {
    /// P·|L|·|U|, whose rows are in the matrix's order: what rounding errors in it are relative to.
    pub(super) fn sizes(&self) -> Array2<f64> {
        let all = product(&moduli(&self.l), &moduli(&self.u));
        let mut ordered = all.clone();
        for (i, &row) in self.rows.iter().enumerate() {
            ordered.row_mut(row).assign(&all.row(i));
        }
        ordered
    }
}

/// X of T·X = B for lower triangular T, from the first row on.
pub(super) fn substitute<T: Number>(t: &Array2<T>, b: &Array2<T>) -> Array2<T> {
    let mut x = b.clone();
    for i in 0..t.nrows() {
        for j in 0..b.ncols() {
            let known = (0..i).fold(T::zero(), |sum, k| sum + t[[i, k]] * x[[k, j]]);
            x[[i, j]] = (b[[i, j]] - known) / t[[i, i]];
        }
    }
    x
}

/// Rows and columns from the last to the first: of an upper triangular matrix, a lower one.
pub(super) fn reversed<T: Number>(a: &Array2<T>) -> Array2<T> {
    let (m, n) = a.dim();
    Array2::from_shape_fn((m, n), |(i, j)| a[[m - 1 - i, n - 1 - j]])
}

/// Rows from the last to the first.
pub(super) fn flipped<T: Number>(a: &Array2<T>) -> Array2<T> {
    let m = a.nrows();
    Array2::from_shape_fn(a.dim(), |(i, j)| a[[m - 1 - i, j]])
}

/// The moduli of all elements.
pub(super) fn moduli<T: Number>(a: &Array2<T>) -> Array2<f64> {
    a.mapv(Number::modulus)
}

/// |A|·|B|, to which what is zero adds nothing, not even beside an infinity.
pub(super) fn product(a: &Array2<f64>, b: &Array2<f64>) -> Array2<f64> {
    Array2::from_shape_fn((a.nrows(), b.ncols()), |(i, j)| {
        let terms = (0..a.ncols()).map(|k| (a[[i, k]], b[[k, j]]));
        let terms = terms.filter(|(a, b)| *a != 0.0 && *b != 0.0);
        terms.map(|(a, b)| a * b).sum()
    })
}
