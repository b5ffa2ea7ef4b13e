//! Eigenvalues and singular values, with their vectors, over the last two axes.

use super::decompose::DECOMPOSITION;
use super::{matrices, square};
use crate::grad::MATRIX;
use crate::op::{Attributes, ops};
use crate::{Judged, Price, Promise, Result, Row, TensorType};

ops! {
    /// Eigenvalues and eigenvectors of symmetric A, A·V = V·diag(λ), of which the lower triangle is read.
    /// The eigenvalues descend by modulus; V's columns are orthonormal, with signs of their own. Of a
    /// matrix with a NaN or an infinity all are NaN.
    pub struct Eigh = Row {
        name: "eigh",
        results: 2,
        // Reflections from both sides make A tridiagonal: twice what QR does, whose 4 are derived there.
        // Splitting that and putting the halves together (Cuppen's divide and conquer is backward stable:
        // Gu and Eisenstat, SIAM J. Matrix Anal. Appl. 16) leaves as much again.
        judged: Judged::Promise { promise: Promise::Eigh, k: 16.0 },
        // What Nx differentiates, on any backend, is the steps of its own iteration: other slopes than
        // those of eigenvalues and their vectors.
        grad: None,
        ..DECOMPOSITION
    }; {
    }
}

impl Attributes for Eigh {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let (batch, n) = square(&inputs[0])?;
        let dtype = row.result_dtype(inputs, None)?;
        Ok(vec![
            TensorType::new(dtype, [batch, &[n]].concat()),
            TensorType::new(dtype, inputs[0].shape.clone()),
        ])
    }
}

ops! {
    /// A = U·diag(S)·Vᵀ with orthonormal columns in U and V, and singular values S that descend to zero or
    /// above. The third result is Vᵀ. A column of U and the one of V may both turn their sign. Of a matrix
    /// with a NaN or an infinity all are NaN.
    pub struct Svd = Row {
        name: "svd",
        results: 3,
        // As Eigh's 16, of a bidiagonal matrix, and QR's 4 where a long one is made square first.
        judged: Judged::Promise { promise: Promise::Svd, k: 20.0 },
        // Of singular values: U's and Vᵀ's signs are open.
        grad: Some(MATRIX),
        price: Price::each(14),
        ..DECOMPOSITION
    }; {
        /// U and V are square; else they have as many columns as there are singular values.
        #[serde(default)]
        full_matrices: bool,
    }
}

impl Attributes for Svd {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let (batch, m, n) = matrices(&inputs[0])?;
        let k = m.min(n);
        let (columns, rows) = if self.full_matrices { (m, n) } else { (k, k) };
        let dtype = row.result_dtype(inputs, None)?;
        let of = |dims: &[usize]| TensorType::new(dtype, [batch, dims].concat());
        Ok(vec![of(&[m, columns]), of(&[k]), of(&[rows, n])])
    }
}
