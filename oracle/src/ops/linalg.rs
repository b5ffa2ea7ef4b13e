//! Products and decompositions.

use emily_spec::{Dot, Result, TensorType};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, Slice};

use super::accumulate;
use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};
use crate::value::Wide;

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

/// Householder's Q and R of each matrix over the last two axes. Inference refuses empty matrices.
pub(crate) fn qr(
    input: &WideArray,
    results: &[TensorType],
    target: Target,
) -> Result<Vec<WideAnswer>> {
    let dims = input.shape();
    let (m, n) = (dims[dims.len() - 2], dims[dims.len() - 1]);
    // The columns of Q that are asked for: m, or the smaller dimension.
    let k = results[0].shape[dims.len() - 1];
    let elements: Vec<f64> = input.iter().map(|&x| target.cast(x).float()).collect();
    let (mut qs, mut rs) = (Vec::new(), Vec::new());
    for elements in elements.chunks_exact(m * n) {
        let matrix = Array2::from_shape_fn((m, n), |(i, j)| elements[i * n + j]);
        let (q, r) = householder(matrix.view());
        qs.extend(
            q.slice_axis(Axis(1), Slice::from(..k))
                .iter()
                .map(|&x| Wide::Float(x)),
        );
        rs.extend(
            r.slice_axis(Axis(0), Slice::from(..k))
                .iter()
                .map(|&x| Wide::Float(x)),
        );
    }
    Ok(vec![
        array::from_vec(&results[0].shape, qs)?.into(),
        array::from_vec(&results[1].shape, rs)?.into(),
    ])
}

/// Q of m × m and R of m × n: reflections clear R's columns below the diagonal one by one, and Q
/// is their product.
fn householder(a: ArrayView2<f64>) -> (Array2<f64>, Array2<f64>) {
    let (m, n) = a.dim();
    let mut q = Array2::eye(m);
    let mut r = a.to_owned();
    for j in 0..n.min(m - 1) {
        let Some(v) = reflector(corner(&mut r, j, j).column(0)) else {
            continue;
        };
        reflect(corner(&mut r, j, j), &v);
        corner(&mut r, j + 1, j).column_mut(0).fill(0.0);
        // Q·H is the transpose of H·Qᵀ.
        reflect(corner(&mut q, 0, j).reversed_axes(), &v);
    }
    (q, r)
}

/// The part from this row and column on.
fn corner(a: &mut Array2<f64>, row: usize, column: usize) -> ArrayViewMut2<'_, f64> {
    a.slice_each_axis_mut(|axis| Slice::from([row, column][axis.axis.index()]..))
}

/// The unit vector whose reflection takes the column to a multiple of the first axis; none where
/// the column is zero. Scaled first, so that squares neither overflow nor vanish.
fn reflector(column: ArrayView1<f64>) -> Option<Array1<f64>> {
    let largest = column.fold(0.0, |largest: f64, x| largest.max(x.abs()));
    if largest == 0.0 {
        return None;
    }
    let mut v = &column / largest;
    // Away from zero, so that nothing cancels.
    v[0] += norm(&v).copysign(v[0]);
    let length = norm(&v);
    Some(v / length)
}

fn norm(v: &Array1<f64>) -> f64 {
    v.dot(v).sqrt()
}

/// A ← (I − 2·v·vᵀ)·A.
fn reflect(mut a: ArrayViewMut2<f64>, v: &Array1<f64>) {
    let projection = v.dot(&a);
    for (mut row, &x) in a.rows_mut().into_iter().zip(v) {
        row.scaled_add(-2.0 * x, &projection);
    }
}
