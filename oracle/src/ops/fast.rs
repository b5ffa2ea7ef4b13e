//! What neural networks are made of, from its definitions.

use emily_spec::{Class, Logsumexp, Result, Shape, Softmax};
use ndarray::ArrayView1;

use super::accumulate;
use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};
use crate::format::Format;
use crate::value::Wide;
use crate::{Magnitude, Of};

/// A result's element, and by how many units of rounding, eps/2 of its own or of what it is computed
/// in, it may be off.
#[derive(Clone, Copy, Debug)]
struct Rounded {
    value: f64,
    /// The error of all that is computed on the way, in units of what it is computed in.
    on_the_way: f64,
}

/// The answer of these elements, given in row-major order.
///
/// The small floats are computed in `f32`, of whose roundings they see a part in 2^13 at most, and are
/// rounded once, as the reference is.
fn answer(elements: Vec<Rounded>, target: Target) -> Result<WideAnswer> {
    let format = Format::of(target.dtype()).unwrap_or(Format::F32);
    let (computed, share) = match target.dtype().is_small_float() {
        true => (Format::F32, 2f64.powi(-13)),
        false => (format, 1.0),
    };
    // Below the normal range of what it is computed in, an exponential may be 0.
    let lost = format.tiny().max(computed.tiny() / format.eps());
    let worst = elements
        .iter()
        .map(|element| element.value.abs() + element.on_the_way * share / 2.0 + lost);
    let worst = worst.map(|size| if size.is_finite() { size } else { 0.0 });
    let magnitude = Magnitude {
        of: Of::Function,
        sizes: elements.iter().map(|element| element.value.abs()).collect(),
        worst: worst.collect(),
        random: 1.0,
    };
    let values = elements.iter().map(|element| Wide::Float(element.value));
    Ok(WideAnswer {
        values: array::from_vec(&target.ty.shape, values.collect())?,
        magnitude: Some(magnitude),
    })
}

/// The exponentials of a row, scaled by that of its largest element, which does not overflow.
struct Exponentials {
    largest: f64,
    /// xᵢ − the largest.
    below: Vec<f64>,
    /// e^(xᵢ − the largest).
    powers: Vec<f64>,
    sum: f64,
}

impl Exponentials {
    fn of(row: &[f64], largest: f64) -> Exponentials {
        let below: Vec<f64> = row.iter().map(|x| x - largest).collect();
        let powers: Vec<f64> = below.iter().map(|x| x.exp()).collect();
        let terms = powers.iter().map(|&power| Wide::Float(power));
        let sum = accumulate::sum(Class::Float, terms).value.float();
        Exponentials {
            largest,
            below,
            powers,
            sum,
        }
    }

    /// The units of relative error of an exponential: one for each of the roundings of x − m, of that
    /// times log₂ e and of log₂ e itself, all in an exponent, that is times its size; and 8 for a
    /// library's function of 4 ulp.
    fn of_power(below: f64) -> f64 {
        3.0 * below.abs() + 8.0
    }

    /// The units of relative error of the sum: those of each term, by its share, and one for each
    /// addition (Higham, *Accuracy and Stability of Numerical Algorithms*, 4.2).
    fn of_sum(&self) -> f64 {
        let terms = self.powers.iter().zip(&self.below);
        let terms = terms.filter(|(power, _)| **power > 0.0);
        let terms: f64 = terms.map(|(power, &x)| power * Self::of_power(x)).sum();
        terms / self.sum + self.powers.len() as f64
    }
}

/// e^(x − m) / Σ e^(x − m), m being the largest x.
pub(crate) fn softmax(op: &Softmax, input: &WideArray, target: Target) -> Result<WideAnswer> {
    let shares = |row: &[f64]| {
        let all = Exponentials::of(row, largest(row));
        let of_sum = all.of_sum();
        let share = |(&power, &below): (&f64, &f64)| {
            let value = power / all.sum;
            // The quotient may be a product with the rounded inverse: two roundings more.
            let units = Exponentials::of_power(below) + of_sum + 2.0;
            Rounded {
                value,
                on_the_way: if value > 0.0 { value * units } else { 0.0 },
            }
        };
        all.powers.iter().zip(&all.below).map(share).collect()
    };
    answer(along(&op.axes, input, target, shares)?, target)
}

/// m + ln Σ e^(x − m), m being the largest x, or 0 where that is infinite.
pub(crate) fn logsumexp(op: &Logsumexp, input: &WideArray, target: Target) -> Result<WideAnswer> {
    let axes: Vec<usize> = (0..input.ndim()).collect();
    let rows = array::rows(input, op.axes.as_deref().unwrap_or(&axes))?;
    let of = |row: ArrayView1<Wide>| {
        let row: Vec<f64> = row.iter().map(|&x| target.cast(x).float()).collect();
        let largest = largest(&row);
        let all = Exponentials::of(&row, if largest.is_infinite() { 0.0 } else { largest });
        let log = all.sum.ln();
        Rounded {
            value: all.largest + log,
            // A relative error of the sum is an absolute one of its logarithm, which is a library's.
            on_the_way: all.of_sum() + 8.0 * log.abs(),
        }
    };
    answer(rows.rows().into_iter().map(of).collect(), target)
}

/// The largest of a row; NaN where there is one, −∞ of none.
fn largest(row: &[f64]) -> f64 {
    let larger = |a: f64, b: f64| if a >= b || a.is_nan() { a } else { b };
    row.iter().copied().fold(f64::NEG_INFINITY, larger)
}

/// The elements of a result of the input's shape, row-major: `of` gives those of a row along these
/// axes.
fn along(
    axes: &[usize],
    input: &WideArray,
    target: Target,
    of: impl Fn(&[f64]) -> Vec<Rounded>,
) -> Result<Vec<Rounded>> {
    let others = (0..input.ndim()).filter(|axis| !axes.contains(axis));
    let order: Vec<usize> = others.chain(axes.iter().copied()).collect();
    let permuted = input.view().permuted_axes(order.clone());
    let elements: Vec<f64> = permuted.iter().map(|&x| target.cast(x).float()).collect();
    let length: usize = axes.iter().map(|&axis| input.shape()[axis]).product();
    let rows = elements.chunks(length.max(1));
    let results: Vec<Rounded> = rows.flat_map(of).collect();
    let mut inverse = vec![0; order.len()];
    order
        .iter()
        .enumerate()
        .for_each(|(i, &axis)| inverse[axis] = i);
    let results = array::from_vec(&Shape::new(permuted.shape()), results)?;
    Ok(results.permuted_axes(inverse).iter().copied().collect())
}
