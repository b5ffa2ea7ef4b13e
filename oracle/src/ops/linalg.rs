//! Products, systems of equations and decompositions.

mod decompose;
mod determinant;
mod gathered;
mod matrix;
mod solve;
mod spectral;

pub(crate) use decompose::{cholesky, lu, qr};
pub(crate) use determinant::determinant;
pub(crate) use gathered::{gather_mm, picked};
pub(crate) use solve::{solve, triangular_solve};
pub(crate) use spectral::{eigh, svd};

use emily_spec::{Dot, Result};

use super::accumulate;
use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};

/// One sum of products per batch index, row of the left and row of the right operand, a row being
/// the elements along the contracted axes. Batch axes lead, so rows come grouped by batch index.
pub(crate) fn dot(op: &Dot, inputs: &[WideArray], target: Target) -> Result<WideAnswer> {
    let (contract, batch) = (op.contract(), op.batch());
    let rows = |side: usize| array::rows(&inputs[side].mapv(|x| target.cast(x)), contract[side]);
    let (left, right) = (rows(0)?, rows(1)?);
    let batches: usize = batch[0]
        .iter()
        .map(|&axis| inputs[0].shape()[axis])
        .product();
    // No batch means no rows, which any number of groups divides.
    let (m, n) = (
        left.nrows() / batches.max(1),
        right.nrows() / batches.max(1),
    );
    let pairs = (0..batches * m).flat_map(|i| (0..n).map(move |j| (i, i / m * n + j)));
    let elements = pairs.map(|(i, j)| {
        let terms = left.row(i).into_iter().zip(right.row(j));
        terms.map(|(a, b)| (*a, *b))
    });
    accumulate::products(target, left.ncols(), elements)
}
