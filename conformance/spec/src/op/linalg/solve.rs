//! Systems of linear equations, over the last two axes.

use serde::Deserialize;

use super::{copies, square};
use crate::grad::MATRIX;
use crate::op::{Attributes, ops};
use crate::row::row;
use crate::tolerance::sum_tolerance;
use crate::{
    Arity, Cost, Domain, Dtypes, Error, ErrorKind, Family, Grad, Judged, Price, Result,
    ResultDType, Row, TensorType,
};

/// What a system's solution may be off by: what rounding errors of the size that elimination makes in
/// the matrix do to it, which the oracle's magnitude tells.
const SYSTEM: Row = Row {
    operands: &["a", "b"],
    arity: Arity::Exactly(2),
    result: ResultDType::Floating,
    judged: Judged::Values(sum_tolerance),
    // A zero comes of terms that cancel, in any order.
    open_zero: Dtypes::ALL,
    domain: &[Domain::Dominant, Domain::Range(-4.0, 4.0)],
    grad: Some(MATRIX),
    // Real ones are in `f64`.
    price: Price {
        temporaries: 16,
        complex: 8,
    },
    ..row(Family::Linalg)
};

ops! {
    /// X with op(A)·X = B for each triangular matrix A of a batch; B has a vector or a matrix for
    /// each. Only A's triangle is read. A zero on its diagonal is an error.
    pub struct TriangularSolve = Row {
        name: "triangular_solve",
        // Nx's gradient inverts all of A, not its triangle.
        grad: Some(Grad {
            domain: &[Domain::Triangular { upper: false }, Domain::Range(-2.0, 2.0)],
            ..MATRIX
        }),
        ..SYSTEM
    }; {
        /// A is upper triangular, not lower.
        #[serde(default)]
        upper: bool,
        /// X·op(A) = B is solved instead.
        #[serde(default)]
        right: bool,
        /// What op(A) is.
        #[serde(default)]
        transform: TransformA,
    }
}

/// What is done to a matrix before it is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransformA {
    /// Nothing.
    #[default]
    None,
    /// Rows become columns.
    Transpose,
    /// Elements become their conjugates.
    Conjugate,
}

impl Attributes for TriangularSolve {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        system(row, inputs, self.right)
    }

    /// Beside what is known of X, a copy of A.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let cost = row.price.cost_of(inputs, results)?;
        Ok(Cost {
            temporaries: cost.temporaries.saturating_add(copies(4, inputs, results)?),
        })
    }
}

ops! {
    /// X with A·X = B for each square matrix A of a batch; B has a vector or a matrix for each. A
    /// matrix that elimination finds to be singular is an error; of one with a NaN or an infinity X is NaN.
    pub struct Solve = Row {
        name: "solve",
        accepts: Dtypes::REAL,
        ..SYSTEM
    }; {
    }
}

impl Attributes for Solve {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        system(row, inputs, false)
    }

    /// Beside what is known of X, the factors of A.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let cost = row.price.cost_of(inputs, results)?;
        let factors = copies(row.price.temporaries, inputs, results)?;
        Ok(Cost {
            temporaries: cost.temporaries.saturating_add(factors),
        })
    }
}

/// B's type, where it has a vector per matrix, or a matrix with as many rows or, at the right, columns.
fn system(row: &Row, inputs: &[TensorType], right: bool) -> Result<Vec<TensorType>> {
    let (batch, n) = square(&inputs[0])?;
    let b = &inputs[1].shape;
    let fits = match b.strip_prefix(batch) {
        Some(&[m]) => m == n,
        Some(&[rows, columns]) => n == if right { columns } else { rows },
        _ => false,
    };
    if !fits {
        let message = format!("a of {} does not fit b of {b}", inputs[0].shape);
        return Err(Error::new(ErrorKind::Shape, message));
    }
    let dtype = row.result_dtype(inputs, None)?;
    Ok(vec![TensorType::new(dtype, b.clone())])
}
