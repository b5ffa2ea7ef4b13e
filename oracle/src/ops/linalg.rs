//! Products and decompositions.

use emily_spec::{Class, DType, Dot, Result, TensorType};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, Slice};

use super::accumulate;
use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};
use crate::format::Format;
use crate::value::Wide;
use crate::{Magnitude, Of};

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
    let (values, sizes): (_, Vec<(f64, f64)>) = (0..batches * m)
        .flat_map(|i| (0..n).map(move |j| (i, i / m * n + j)))
        .map(|(i, j)| inner(left.row(i), right.row(j), target))
        .unzip();
    let growth = Growth::of(target.dtype(), left.ncols());
    Ok(WideAnswer {
        values: array::from_vec(&target.ty.shape, values)?,
        magnitude: (!target.dtype().is_integer()).then(|| Magnitude {
            of: Of::Terms,
            sizes: sizes.iter().map(|(size, _)| *size).collect(),
            worst: sizes
                .iter()
                .map(|(size, lost)| growth.worst * (size + lost))
                .collect(),
            random: growth.random / growth.worst,
        }),
    })
}

/// How many times Σ|aᵢ·bᵢ| stands for the error of a product of `n` terms, two units of it being
/// allowed: 4·u·Σ|aᵢ·bᵢ|, where u = eps/2 is the error of one rounding.
struct Growth {
    worst: f64,
    random: f64,
}

impl Growth {
    /// A BLAS adds in an order of its own choice. In any, n roundings reach each term, so the error is
    /// at most n·u·Σ|aᵢ·bᵢ| (Higham, *Accuracy and Stability of Numerical Algorithms*, 3.1); one more
    /// u is the reference's own. A complex product has two real ones in each part. The small floats
    /// are added in `f32`, whose roundings they do not see.
    ///
    /// Rounding errors of operands drawn at random have no common sign: they are a martingale of
    /// n + 1 steps, each at most u·Σ|aᵢ·bᵢ|, and beyond [`DEVIATIONS`]·√(n + 1) of them once in
    /// e³²/2 elements (Azuma; as in Higham and Mary, *A new approach to probabilistic rounding error
    /// analysis*). In the 10⁶ elements that the sweeps compare, that is once in 40 million runs.
    fn of(dtype: DType, terms: usize) -> Growth {
        let n = match dtype.class() {
            Class::Float if dtype.is_small_float() => {
                return Growth {
                    worst: 1.0,
                    random: 1.0,
                };
            }
            Class::Complex => 2.0 * terms as f64,
            Class::Float | Class::Unsigned | Class::Signed => terms as f64,
        };
        let worst = ((n + 1.0) / 4.0).max(1.0);
        let random = (DEVIATIONS * (n + 1.0).sqrt() + 1.0) / 4.0;
        Growth {
            worst,
            random: random.min(worst),
        }
    }
}

/// How many times √n a sum of n independent errors may be: P(more) ≤ 2·e^(−8²/2) = 2.5·10⁻¹⁴.
const DEVIATIONS: f64 = 8.0;

/// The product beside Σ|aᵢ·bᵢ|, and what underflow may add to that: a product below the normal range
/// is rounded to a multiple of eps·tiny. One real product alone is rounded once, like any result.
fn inner(left: ArrayView1<Wide>, right: ArrayView1<Wide>, target: Target) -> (Wide, (f64, f64)) {
    let terms = left.iter().copied().zip(right.iter().copied());
    let total = accumulate::dot(target.class(), terms.clone());
    let tiny = Format::of(target.dtype()).map_or(0.0, Format::tiny);
    let sizes = terms.map(|(a, b)| a.complex().norm() * b.complex().norm());
    let rounded = sizes.filter(|size| *size > 0.0);
    let (count, smallest) = rounded.fold((0, f64::INFINITY), |(count, least), size| {
        (count + 1, size.min(least))
    });
    let added = count > 1 || (count > 0 && target.dtype().is_complex());
    let lost = if added && smallest < tiny { tiny } else { 0.0 };
    (total.value, (total.magnitude, lost))
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
