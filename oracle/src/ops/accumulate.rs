//! Sums of many terms, with the magnitude their rounding errors are measured by.
//!
//! Integers add exactly modulo 2^128, of which every dtype keeps the low bits. Floats add with
//! Neumaier's compensation and products with their rounding error, so that the total is good to
//! about twice the digits of `f64` before it is rounded. Sums that leave the finite range are what
//! plain `f64` addition in order gives.

use emily_spec::{Class, DType, Result};
use ndarray::ArrayD;
use num_complex::Complex;

use crate::array;
use crate::eval::{Target, WideAnswer};
use crate::format::Format;
use crate::value::Wide;
use crate::{Magnitude, Of};

use super::zero;

/// A sum of terms of one class.
pub(crate) struct Total {
    pub(crate) value: Wide,
    /// The sum of the terms' moduli; 0 for integers, which have no rounding error.
    pub(crate) magnitude: f64,
}

/// Σxᵢ; 0 for no terms.
pub(crate) fn sum(class: Class, terms: impl Iterator<Item = Wide>) -> Total {
    let one = match class {
        Class::Unsigned | Class::Signed => Wide::Int(1),
        Class::Float => Wide::Float(1.0),
        // A real one: multiplying by 0·i would turn infinite parts into NaN.
        Class::Complex => return complex_sum(terms.map(Wide::complex)),
    };
    dot(class, terms.map(|term| (term, one)))
}

/// x₀ + x₁ + …, from the first term instead of from 0: of negative zeros alone it is one.
pub(crate) fn sum_from_first(class: Class, terms: &[Wide]) -> Total {
    let total = sum(class, terms.iter().copied());
    let part = |sum: f64, part: fn(Complex<f64>) -> f64| {
        let mut parts = terms.iter().map(|x| part(x.complex()));
        let negative = parts.all(|x| x == 0.0 && x.is_sign_negative());
        if negative { -0.0 } else { sum }
    };
    let value = match total.value {
        Wide::Int(_) => total.value,
        Wide::Float(x) => Wide::Float(part(x, |z| z.re)),
        Wide::Complex(z) => Wide::Complex(Complex::new(part(z.re, |z| z.re), part(z.im, |z| z.im))),
    };
    Total { value, ..total }
}

/// The sum of each list of terms, in any order, with what its error is relative to.
pub(crate) fn sums(
    lists: &ArrayD<Vec<Wide>>,
    target: Target,
    sum: impl Fn(Class, &[Wide]) -> Total,
) -> WideAnswer {
    let totals = lists.map(|terms| sum(target.class(), terms));
    let sizes = totals.iter().map(|total| total.magnitude);
    let sizes: Vec<_> = sizes.zip(lists.iter().map(Vec::len)).collect();
    WideAnswer {
        values: totals.map(|total| total.value),
        magnitude: magnitude(target.dtype(), &sizes),
    }
}

/// What the errors of sums are relative to, two units of it being allowed, given each one's Σ|xᵢ| and
/// number of terms; none for integers.
///
/// Two units are 4·u·Σ|xᵢ|, where u = eps/2 is the error of one rounding. Added in any order, n terms
/// are off by n − 1 of those, and by one more for the reference's own (Higham, *Accuracy and Stability
/// of Numerical Algorithms*, 4.2). The small floats are added in `f32`, whose roundings they do not
/// see. Below the normal range adding is exact, and what nothing is added to is not rounded.
fn magnitude(dtype: DType, sums: &[(f64, usize)]) -> Option<Magnitude> {
    let growth = |terms: usize| match terms {
        0 | 1 => 0.0,
        _ if dtype.is_small_float() => 1.0,
        terms => (terms as f64 / 4.0).max(1.0),
    };
    (!dtype.is_integer()).then(|| Magnitude {
        of: Of::Terms,
        sizes: sums.iter().map(|&(size, _)| size).collect(),
        worst: sums
            .iter()
            .map(|&(size, terms)| size * growth(terms))
            .collect(),
        random: 1.0,
        open_zeros: Vec::new(),
    })
}

/// Σaᵢ·bᵢ; 0 for no terms.
pub(crate) fn dot(class: Class, terms: impl Iterator<Item = (Wide, Wide)>) -> Total {
    match class {
        Class::Unsigned | Class::Signed => int_dot(terms.map(|(a, b)| (a.int(), b.int()))),
        Class::Float => float_dot(terms.map(|(a, b)| (a.float(), b.float()))),
        Class::Complex => complex_dot(terms.map(|(a, b)| (a.complex(), b.complex()))),
    }
}

/// The answer whose elements are each a sum of `count` products, given in row-major order.
pub(crate) fn products<T: Iterator<Item = (Wide, Wide)> + Clone>(
    target: Target,
    count: usize,
    elements: impl Iterator<Item = T>,
) -> Result<WideAnswer> {
    inner_products(target, count, elements.map(|terms| inner(terms, target)))
}

/// A sum of products.
pub(crate) struct Inner {
    pub(crate) value: Wide,
    /// Σ|aᵢ·bᵢ|.
    pub(crate) size: f64,
    /// What underflow may add to that.
    pub(crate) lost: f64,
    /// As in [`Magnitude`].
    pub(crate) open_zeros: [bool; 2],
}

/// The answer whose elements are these sums of `count` products, given in row-major order.
pub(crate) fn inner_products(
    target: Target,
    count: usize,
    elements: impl Iterator<Item = Inner>,
) -> Result<WideAnswer> {
    let growth = Growth::of(target.dtype(), count);
    let (mut values, mut magnitude) = (
        Vec::new(),
        Magnitude {
            of: Of::Terms,
            sizes: Vec::new(),
            worst: Vec::new(),
            random: growth.random / growth.worst,
            open_zeros: Vec::new(),
        },
    );
    for element in elements {
        values.push(element.value);
        magnitude.sizes.push(element.size);
        let worst = growth.worst * (element.size + element.lost);
        magnitude.worst.push(worst);
        magnitude.open_zeros.push(element.open_zeros);
    }
    Ok(WideAnswer {
        values: array::from_vec(&target.ty.shape, values)?,
        magnitude: (!target.dtype().is_integer()).then_some(magnitude),
    })
}

/// Whether the signs of a sum's parts are open: each is one of real products.
fn open_zeros(
    value: Wide,
    terms: impl Iterator<Item = (Wide, Wide)> + Clone,
    dtype: DType,
) -> [bool; 2] {
    match value {
        Wide::Int(_) => [false; 2],
        Wide::Float(sum) => {
            let terms = terms.map(|(a, b)| (a.float(), b.float()));
            [zero::is_open(dtype, sum, 0, terms), false]
        }
        Wide::Complex(sum) => {
            let terms = terms.map(|(a, b)| (a.complex(), b.complex()));
            let re = terms.clone();
            let re = re.flat_map(|(a, b)| [(a.re, b.re), (-a.im, b.im)]);
            let im = terms.flat_map(|(a, b)| [(a.re, b.im), (a.im, b.re)]);
            [
                zero::is_open(dtype, sum.re, 0, re),
                zero::is_open(dtype, sum.im, 0, im),
            ]
        }
    }
}

/// The product. A product below the normal range is rounded to a multiple of eps·tiny. One real product
/// alone is rounded once, like any result, but where it vanishes even here, with its sign.
fn inner(terms: impl Iterator<Item = (Wide, Wide)> + Clone, target: Target) -> Inner {
    let total = dot(target.class(), terms.clone());
    let open_zeros = open_zeros(total.value, terms.clone(), target.dtype());
    let tiny = Format::of(target.dtype()).map_or(0.0, Format::tiny);
    let sizes = terms.map(|(a, b)| (a.complex().norm(), b.complex().norm()));
    let rounded = sizes.filter(|(a, b)| *a > 0.0 && *b > 0.0);
    let rounded = rounded.map(|(a, b)| a * b);
    let (count, smallest) = rounded.fold((0, f64::INFINITY), |(count, least), size| {
        (count + 1, size.min(least))
    });
    let added = count > 1 || (count > 0 && target.dtype().is_complex());
    let lost = if (added && smallest < tiny) || smallest == 0.0 {
        tiny
    } else {
        0.0
    };
    Inner {
        value: total.value,
        size: total.magnitude,
        lost,
        open_zeros,
    }
}

/// How many times Σ|aᵢ·bᵢ| stands for the error of a product of `n` terms, two units of it being
/// allowed: 4·u·Σ|aᵢ·bᵢ|, where u = eps/2 is the error of one rounding.
pub(super) struct Growth {
    pub(super) worst: f64,
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
    pub(super) fn of(dtype: DType, terms: usize) -> Growth {
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

fn int_dot(terms: impl Iterator<Item = (i128, i128)>) -> Total {
    let total = terms.fold(0i128, |sum, (a, b)| sum.wrapping_add(a.wrapping_mul(b)));
    Total {
        value: Wide::Int(total),
        magnitude: 0.0,
    }
}

fn float_dot(terms: impl Iterator<Item = (f64, f64)>) -> Total {
    let mut sum = Compensated::default();
    let mut magnitude = 0.0;
    for (a, b) in terms {
        sum.add_product(a, b);
        magnitude += (a * b).abs();
    }
    Total {
        value: Wide::Float(sum.total()),
        magnitude,
    }
}

fn complex_sum(terms: impl Iterator<Item = Complex<f64>>) -> Total {
    let (mut re, mut im) = (Compensated::default(), Compensated::default());
    let mut magnitude = 0.0;
    for term in terms {
        re.add(term.re);
        im.add(term.im);
        magnitude += term.norm();
    }
    Total {
        value: Wide::Complex(Complex::new(re.total(), im.total())),
        magnitude,
    }
}

fn complex_dot(terms: impl Iterator<Item = (Complex<f64>, Complex<f64>)>) -> Total {
    let (mut re, mut im) = (Compensated::default(), Compensated::default());
    let mut magnitude = 0.0;
    for (a, b) in terms {
        re.add_product(a.re, b.re);
        re.add_product(-a.im, b.im);
        im.add_product(a.re, b.im);
        im.add_product(a.im, b.re);
        magnitude += a.norm() * b.norm();
    }
    Total {
        value: Wide::Complex(Complex::new(re.total(), im.total())),
        magnitude,
    }
}

/// A sum and, beside it, what its additions rounded away.
#[derive(Default)]
struct Compensated {
    sum: f64,
    lost: f64,
}

impl Compensated {
    fn add(&mut self, term: f64) {
        let sum = self.sum + term;
        self.lost += if self.sum.abs() >= term.abs() {
            (self.sum - sum) + term
        } else {
            (term - sum) + self.sum
        };
        self.sum = sum;
    }

    fn add_product(&mut self, a: f64, b: f64) {
        let product = a * b;
        self.add(product);
        // The fused product minus the rounded one is what rounding took away.
        self.lost += a.mul_add(b, -product);
    }

    /// The total. Once the sum is infinite or NaN, what was lost means nothing.
    fn total(&self) -> f64 {
        if self.sum.is_finite() {
            self.sum + self.lost
        } else {
            self.sum
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float_sum(terms: &[f64]) -> f64 {
        sum(Class::Float, terms.iter().map(|&x| Wide::Float(x)))
            .value
            .float()
    }

    #[test]
    fn small_terms_survive_large_ones() {
        assert_eq!(float_sum(&[1e100, 1.0, -1e100]), 1.0);
        assert_eq!(float_sum(&[1.0, 1e100, -1e100]), 1.0);
    }

    #[test]
    fn infinities_and_nan_are_natural() {
        assert_eq!(float_sum(&[f64::INFINITY, 1.0]), f64::INFINITY);
        assert!(float_sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert!(float_sum(&[1.0, f64::NAN, 1.0]).is_nan());
        assert_eq!(float_sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
    }

    #[test]
    fn products_keep_what_f64_rounds_away() {
        // (1 + 2^-30)² − (1 + 2^-29) = 2^-60, below the last bit of f64 at 1.
        let a = 1.0 + 2f64.powi(-30);
        let b = 1.0 + 2f64.powi(-29);
        let total = float_dot([(a, a), (-1.0, b)].into_iter());
        assert_eq!(total.value, Wide::Float(2f64.powi(-60)));
    }

    #[test]
    fn an_infinite_part_leaves_the_other_part_alone() {
        let terms = [Complex::new(f64::INFINITY, 1.0), Complex::new(1.0, 2.0)];
        let total = complex_sum(terms.into_iter());
        assert_eq!(total.value, Wide::Complex(Complex::new(f64::INFINITY, 3.0)));
    }

    #[test]
    fn from_the_first_term_on_negative_zeros_stay() {
        let of = |terms: &[f64]| {
            let terms: Vec<Wide> = terms.iter().map(|&x| Wide::Float(x)).collect();
            sum_from_first(Class::Float, &terms).value.float()
        };
        assert!(of(&[-0.0, -0.0]).is_sign_negative());
        assert!(of(&[-0.0, 0.0]).is_sign_positive());
        assert_eq!(of(&[-0.0, 1.5]), 1.5);
        let terms = [Wide::Complex(Complex::new(-0.0, 0.0))];
        let Wide::Complex(sum) = sum_from_first(Class::Complex, &terms).value else {
            panic!("a complex number")
        };
        assert!(sum.re.is_sign_negative() && sum.im.is_sign_positive());
    }

    #[test]
    fn nothing_sums_to_zero() {
        for (class, zero) in [
            (Class::Signed, Wide::Int(0)),
            (Class::Float, Wide::Float(0.0)),
            (Class::Complex, Wide::Complex(Complex::ZERO)),
        ] {
            assert_eq!(sum(class, std::iter::empty()).value, zero);
        }
    }
}
