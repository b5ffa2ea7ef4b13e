//! Eigenvalues and eigenvectors, over the last two axes.

use super::decompose::DECOMPOSITION;
use super::{by_column, square};
use crate::op::{Attributes, ops};
use crate::{Cost, Judged, Promise, Result, Row, TensorType};

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

    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        by_column(row, inputs, results)
    }
}
