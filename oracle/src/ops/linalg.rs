//! Products, systems of equations and decompositions.

mod decompose;
mod matrix;
mod solve;

pub(crate) use decompose::{cholesky, qr};
pub(crate) use solve::triangular_solve;

use emily_spec::{Class, DType, Dot, Result};
use ndarray::ArrayView1;

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
