//! Determinants of matrices, over the last two axes.

use super::{copies, square};
use crate::grad::MATRIX;
use crate::op::{Attributes, ops};
use crate::row::row;
use crate::tolerance::sum_tolerance;
use crate::{Cost, Domain, Dtypes, Family, Judged, Price, Result, ResultDType, Row, TensorType};

ops! {
    /// The determinant of each square matrix of a batch. Integers are cast first. Up to 3 × 3 it is what the
    /// sum of products says, also of infinities; of a larger matrix with a NaN or an infinity it is NaN.
    pub struct Determinant = Row {
        name: "determinant",
        accepts: Dtypes::REAL,
        result: ResultDType::Floating,
        // A sum of products, or what rounding errors of the size that elimination makes in the matrix
        // do to it, which the oracle's magnitude tells.
        judged: Judged::Values(sum_tolerance),
        // A zero comes of terms that cancel, in any order.
        open_zero: Dtypes::ALL,
        domain: &[Domain::Range(-4.0, 4.0)],
        grad: Some(MATRIX),
        price: Price::each(16),
        ..row(Family::Linalg)
    }; {
    }
}

impl Attributes for Determinant {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let (batch, _) = square(&inputs[0])?;
        let dtype = row.result_dtype(inputs, None)?;
        Ok(vec![TensorType::new(dtype, batch.to_vec())])
    }

    /// The result is small, what is eliminated is not.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        Ok(Cost {
            temporaries: copies(row.price.temporaries, inputs, results)?,
        })
    }
}
