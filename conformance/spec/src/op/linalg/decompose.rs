//! Decompositions of matrices, over the last two axes.

use serde::Deserialize;

use super::{matrices, square};
use crate::grad::MATRIX;
use crate::op::{Attributes, ops};
use crate::row::row;
use crate::{
    Domain, Dtypes, Family, Grad, Judged, Price, Promise, Result, ResultDType, Row, TensorType,
};

/// A decomposition, whose elements are nobody's: it is judged by what it promises.
pub(super) const DECOMPOSITION: Row = Row {
    accepts: Dtypes::REAL,
    result: ResultDType::Floating,
    price: Price::each(8),
    domain: &[Domain::Range(-4.0, 4.0)],
    ..row(Family::Linalg)
};

ops! {
    /// A = Q·R with orthonormal columns in Q and R upper triangular, over the last two axes. The leading
    /// columns that have nothing below the diagonal are R's as they are; after those R's diagonal is not
    /// negative, but for the last row of a square or wide matrix: it has the sign that comes of one
    /// reflection for each column before. A complete Q's columns after the n-th, which R multiplies by
    /// zero, are any that complete the basis. Of a matrix with a NaN or an infinity all are NaN.
    pub struct Qr = Row {
        name: "qr",
        results: 2,
        // n reflections of m rows leave c·m·n roundings of half an eps in the worst case (Higham,
        // Accuracy and Stability, 19.3), and √(m·n) of them where they have no common sign; a
        // reflection is two products, a quotient and a difference, twice: c = 8.
        judged: Judged::Promise { promise: Promise::Qr, k: 4.0 },
        grad: Some(MATRIX),
        // An elimination of Q among them, for its last column's sign.
        price: Price::each(16),
        ..DECOMPOSITION
    }; {
        /// The sizes of Q and R.
        #[serde(default)]
        mode: QrMode,
    }
}

/// The sizes of a QR decomposition's factors for an m × n matrix, k = min(m, n).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QrMode {
    /// Q is m × k, R is k × n.
    #[default]
    Reduced,
    /// Q is m × m, R is m × n.
    Complete,
}

impl Attributes for Qr {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let (batch, m, n) = matrices(&inputs[0])?;
        let k = match self.mode {
            QrMode::Reduced => m.min(n),
            QrMode::Complete => m,
        };
        let dtype = row.result_dtype(inputs, None)?;
        let factor = |rows, columns| TensorType::new(dtype, [batch, &[rows, columns]].concat());
        Ok(vec![factor(m, k), factor(k, n)])
    }
}

ops! {
    /// A = L·Lᵀ with L lower triangular and its diagonal positive, for symmetric positive definite A,
    /// of which the lower triangle is read. Where that has a NaN or an infinity L is NaN. Another A is an
    /// error, where Nx.BinaryBackend answers with numbers.
    pub struct Cholesky = Row {
        name: "cholesky",
        // |A − L·Lᵀ|ᵢⱼ ≤ (n + 1)·u·√(aᵢᵢ·aⱼⱼ) (Higham, Accuracy and Stability, 10.3), and once more
        // 2·u where the factor is rounded to a narrower dtype: at most 2 of n·eps.
        judged: Judged::Promise { promise: Promise::Cholesky, k: 2.0 },
        domain: &[Domain::PositiveDefinite],
        grad: Some(Grad {
            domain: &[Domain::PositiveDefinite],
            symmetric: true,
            ..MATRIX
        }),
        price: Price::each(6),
        ..DECOMPOSITION
    }; {
    }
}

impl Attributes for Cholesky {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        square(&inputs[0])?;
        let dtype = row.result_dtype(inputs, None)?;
        Ok(vec![TensorType::new(dtype, inputs[0].shape.clone())])
    }
}

ops! {
    /// A = P·L·U with a permutation P, of A's dtype, L lower triangular with ones on its diagonal, and U
    /// upper triangular. No element of L is larger than 1: each pivot is the largest of its column. Of a
    /// matrix with a NaN or an infinity L and U are NaN, and P is a permutation.
    pub struct Lu = Row {
        name: "lu",
        results: 3,
        // L's and U's; P, the first result, has the operand's.
        result: ResultDType::Floating,
        // |A − P·L·U| ≤ n·u·P·|L|·|U| (Higham, Accuracy and Stability, 9.3), and 2·u more where the
        // factors are rounded to a narrower dtype: at most 3/2 of n·eps.
        judged: Judged::Promise { promise: Promise::Lu, k: 1.5 },
        grad: Some(MATRIX),
        // In `f64`.
        price: Price::each(16),
        ..DECOMPOSITION
    }; {
    }
}

impl Attributes for Lu {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        square(&inputs[0])?;
        let floating = row.result_dtype(inputs, None)?;
        let of = |dtype| TensorType::new(dtype, inputs[0].shape.clone());
        Ok(vec![of(inputs[0].dtype), of(floating), of(floating)])
    }
}
