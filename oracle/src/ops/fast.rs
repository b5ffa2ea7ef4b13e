//! What neural networks are made of, from its definitions.

mod attention;
mod einsum;
mod rope;

pub(crate) use attention::attention;
pub(crate) use einsum::einsum;
pub(crate) use rope::rope;

use emily_spec::{Class, Epsilon, Logsumexp, Norm, Result, Shape, Softmax};
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
    let computed = computed(target);
    let share = match target.dtype().is_small_float() {
        true => 2f64.powi(-13),
        false => 1.0,
    };
    // Below the normal range of what it is computed in, an exponential may be 0.
    let lost = format.tiny().max(computed.tiny() / format.eps());
    let worst = elements
        .iter()
        .map(|element| element.value.abs() + element.on_the_way * share / 2.0 + lost);
    // Of a finite element the size may be beyond `f64`, whose largest number it is then.
    let worst = worst.zip(&elements).map(|(size, element)| {
        if element.value.is_finite() && !size.is_nan() {
            size.min(f64::MAX)
        } else {
            0.0
        }
    });
    let magnitude = Magnitude {
        of: Of::Function,
        sizes: elements.iter().map(|element| element.value.abs()).collect(),
        worst: worst.collect(),
        random: 1.0,
        open_zeros: Vec::new(),
    };
    let values = elements.iter().map(|element| Wide::Float(element.value));
    Ok(WideAnswer {
        values: array::from_vec(&target.ty.shape, values.collect())?,
        magnitude: Some(magnitude),
    })
}

/// The format of what is computed on the way.
fn computed(target: Target) -> Format {
    match Format::of(target.dtype()) {
        Some(format) if !target.dtype().is_small_float() => format,
        Some(_) | None => Format::F32,
    }
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

/// Rows brought to one size. Elements are taken as parts of the power of two below the largest, or below √eps
/// where that is larger, so that no square overflows, none that counts underflows, and none is rounded.
pub(crate) fn norm(
    op: Norm,
    attrs: &Epsilon,
    inputs: &[WideArray],
    target: Target,
) -> Result<WideAnswer> {
    let root = attrs.value().unwrap_or(0.0).sqrt();
    let vector = |at: usize| -> Vec<f64> {
        let elements = inputs[at].iter();
        elements.map(|&x| target.cast(x).float()).collect()
    };
    let format = computed(target);
    let of = |row: &[f64]| {
        let moduli: Vec<f64> = row.iter().map(|x| x.abs()).collect();
        let scale = match largest(&moduli).max(root) {
            f64::INFINITY => 1.0,
            scale => power_of_two(scale),
        };
        let parts: Vec<f64> = row.iter().map(|x| x / scale).collect();
        // Beside a variance of 0 it counts, however small.
        let eps = match root {
            0.0 => 0.0,
            root => (root / scale).powi(2).max(f64::MIN_POSITIVE),
        };
        match op {
            Norm::RmsNorm => over_root_mean_square(&parts, eps, &vector(1), format),
            Norm::LayerNorm => standardized(&parts, eps, [&vector(1), &vector(2)], format),
        }
    };
    answer(
        along(&[inputs[0].ndim() - 1], &inputs[0], target, of)?,
        target,
    )
}

/// z / √(mean(z²) + eps) · weight.
///
/// The mean of n squares has n + 3 units of error: two of z, one of the square, n of the sum and the
/// division; eps has four. The root halves them. Then there are one each of z, the root, the quotient
/// and the product. What underflows of z is less than its tiny value's last digit.
fn over_root_mean_square(z: &[f64], eps: f64, weight: &[f64], format: Format) -> Vec<Rounded> {
    let root = (mean(z.iter().map(|z| z * z)) + eps).sqrt();
    let units = z.len() as f64 / 2.0 + 8.0;
    let of = |(z, weight): (&f64, &f64)| {
        let value = z / root * weight;
        Rounded {
            value,
            on_the_way: value.abs() * units + format.tiny() / root * weight.abs(),
        }
    };
    z.iter().zip(weight).map(of).collect()
}

/// (z − mean) / √(variance + eps) · weight + bias.
///
/// A mean of n terms is off by n + 1 units of the mean of their moduli. Taken twice, it is off by as much of
/// what the first time leaves, c and the error of the first mean; each difference adds one unit of its own.
/// In the variance the mean's error meets differences that cancel, and is left with its square.
fn standardized(z: &[f64], eps: f64, [weight, bias]: [&[f64]; 2], format: Format) -> Vec<Rounded> {
    let count = z.len() as f64;
    let centered = |z: &[f64]| -> Vec<f64> {
        let center = mean(z.iter().copied());
        z.iter().map(|z| z - center).collect()
    };
    let off = centered(&centered(z));
    let variance = mean(off.iter().map(|c| c * c));
    let root = (variance + eps).sqrt();

    let unit = format.eps() / 2.0;
    let of_first = unit * (count + 1.0) * mean(z.iter().map(|z| z.abs()));
    let of_mean = (count + 1.0) * (mean(off.iter().map(|c| c.abs())) + of_first);
    let of_differences = |c: f64| 2.0 * c.abs() + of_first;
    let crossed = mean(off.iter().map(|c| 2.0 * c.abs() * of_differences(*c)));
    let of_square = crossed + (count + 1.0) * variance + unit * of_mean.powi(2) + 4.0 * eps;
    let of_root = of_square / root.powi(2) / 2.0 + 1.0;

    let elements = off.iter().zip(weight.iter().zip(bias));
    let of = |(c, (weight, bias)): (&f64, (&f64, &f64))| {
        let product = c / root * weight;
        let of_off = of_mean + of_differences(*c) + format.tiny();
        let of_product = (of_off / root * weight).abs() + product.abs() * (of_root + 2.0);
        Rounded {
            value: product + bias,
            on_the_way: of_product,
        }
    };
    elements.map(of).collect()
}

/// The power of two at or below a number that is not negative: its exponent's bits alone.
fn power_of_two(x: f64) -> f64 {
    f64::from_bits(x.to_bits() & f64::INFINITY.to_bits()).max(f64::MIN_POSITIVE)
}

/// The mean, with the sum's error below a unit.
fn mean(terms: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = terms.len() as f64;
    accumulate::sum(Class::Float, terms.map(Wide::Float))
        .value
        .float()
        / count
}
