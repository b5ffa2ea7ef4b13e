//! Element-wise operations on one operand.

use emily_spec::{Class, DType, Unary};
use num_complex::Complex;

use super::complex;
pub(super) use super::complex::exp as complex_exp;
use crate::array::WideArray;
use crate::eval::{Target, WideAnswer};
use crate::format::Format;
use crate::value::Wide;
use crate::{Magnitude, Of};

/// A function of each element, cast to the result's dtype.
pub(crate) fn unary(op: Unary, input: &WideArray, target: Target) -> WideAnswer {
    match op {
        Unary::Abs => input.mapv(|x| abs(x, target)).into(),
        Unary::Negate => input.mapv(|x| negative(target.cast(x))).into(),
        Unary::Sign => input.mapv(|x| sign(target.cast(x))).into(),
        Unary::Floor => real(input, target, f64::floor).into(),
        Unary::Ceil => real(input, target, f64::ceil).into(),
        Unary::BitwiseNot => bits(input, target, |x, _| !x).into(),
        Unary::CountLeadingZeros => bits(input, target, |x, width| {
            (x.leading_zeros() + width - 128).into()
        })
        .into(),
        Unary::PopulationCount => bits(input, target, |x, _| x.count_ones().into()).into(),
        Unary::Real => part(input, |z| z.re).into(),
        Unary::Imag => part(input, |z| z.im).into(),
        Unary::Conjugate => {
            let conjugate = |x: Wide| Wide::Complex(target.cast(x).complex().conj());
            input.mapv(conjugate).into()
        }
        Unary::IsNan => any_part(input, f64::is_nan).into(),
        Unary::IsInfinity => any_part(input, f64::is_infinite).into(),
        Unary::LogicalNot => input.mapv(|x| Wide::Int(x.is_zero().into())).into(),
        Unary::Phase => input.mapv(|x| phase(x, target)).into(),
        // Halves away from zero; a zero result has the operand's sign.
        Unary::Round => real(input, target, f64::round).into(),
        Unary::Exp => function(input, target, complex::exp, f64::exp),
        Unary::Sqrt => function(input, target, complex::sqrt, f64::sqrt),
        Unary::Rsqrt => function(input, target, complex::rsqrt, |x| 1.0 / x.sqrt()),
        Unary::Cbrt => function(input, target, complex::cbrt, libm::cbrt),
        Unary::Log => function(input, target, complex::ln, libm::log),
        Unary::Log1p => function(input, target, complex::log1p, libm::log1p),
        Unary::Expm1 => function(input, target, complex::expm1, libm::expm1),
        Unary::Sigmoid => function(input, target, complex::sigmoid, sigmoid),
        Unary::Sin => function(input, target, complex::sin, libm::sin),
        Unary::Cos => function(input, target, complex::cos, libm::cos),
        Unary::Tan => function(input, target, complex::tan, libm::tan),
        Unary::Asin => function(input, target, complex::asin, libm::asin),
        Unary::Acos => function(input, target, complex::acos, libm::acos),
        Unary::Atan => function(input, target, complex::atan, libm::atan),
        Unary::Sinh => function(input, target, complex::sinh, libm::sinh),
        Unary::Cosh => function(input, target, complex::cosh, libm::cosh),
        Unary::Tanh => function(input, target, complex::tanh, libm::tanh),
        Unary::Asinh => function(input, target, complex::asinh, libm::asinh),
        Unary::Acosh => function(input, target, complex::acosh, acosh),
        Unary::Atanh => function(input, target, complex::atanh, libm::atanh),
        Unary::Erf => real(input, target, libm::erf).into(),
        Unary::ErfInv => real(input, target, erf_inv).into(),
        Unary::Erfc => real(input, target, libm::erfc).into(),
    }
}

/// The modulus is infinite where either part is, also beside NaN.
fn abs(x: Wide, target: Target) -> Wide {
    match x {
        Wide::Complex(z) => Wide::Float(z.re.hypot(z.im)),
        Wide::Int(_) | Wide::Float(_) => match target.cast(x) {
            Wide::Int(x) => Wide::Int(x.abs()),
            x @ (Wide::Float(_) | Wide::Complex(_)) => Wide::Float(x.float().abs()),
        },
    }
}

fn negative(x: Wide) -> Wide {
    match x {
        Wide::Int(x) => Wide::Int(-x),
        Wide::Float(x) => Wide::Float(-x),
        Wide::Complex(x) => Wide::Complex(-x),
    }
}

/// Zeros and NaN are their own.
fn sign(x: Wide) -> Wide {
    match x {
        Wide::Int(x) => Wide::Int(x.signum()),
        Wide::Float(_) | Wide::Complex(_) if x.is_zero() => x,
        Wide::Float(_) | Wide::Complex(_) => Wide::Float(x.float().signum()),
    }
}

/// A function of an integer's bits, zero-extended, and of their number.
fn bits(input: &WideArray, target: Target, f: impl Fn(u128, u32) -> u128) -> WideArray {
    let width = 8 * target.dtype().size() as u32;
    input.mapv(|x| {
        let bits = target.cast(x).to_bits(target.dtype());
        Wide::Int(f(bits.into(), width) as i128)
    })
}

fn part(input: &WideArray, of: impl Fn(Complex<f64>) -> f64) -> WideArray {
    input.mapv(|x| Wide::Float(of(x.complex())))
}

/// 1 where this holds of an element or of either of its parts.
fn any_part(input: &WideArray, holds: impl Fn(f64) -> bool) -> WideArray {
    input.mapv(|x| {
        let Complex { re, im } = x.complex();
        Wide::Int((holds(re) || holds(im)).into())
    })
}

/// The crate's own has numbers far below 1.
fn acosh(x: f64) -> f64 {
    if x < 1.0 { f64::NAN } else { libm::acosh(x) }
}

/// 1 / (1 + e^−x); e^x where e^−x would overflow, and is all of the sum.
fn sigmoid(x: f64) -> f64 {
    if x < -700.0 {
        return x.exp();
    }
    1.0 / (1.0 + (-x).exp())
}

/// The y with erf(y) = x, by bisection of the floats between 0 and 28, beyond which erf is 1 in every
/// dtype. Above ½ it is erfc(y) = 1 − x, which is exact there and keeps its digits.
fn erf_inv(x: f64) -> f64 {
    let magnitude = x.abs();
    if x == 0.0 || x.is_nan() {
        return x;
    }
    if magnitude >= 1.0 {
        return if magnitude == 1.0 {
            x * f64::INFINITY
        } else {
            f64::NAN
        };
    }
    let guess = erf_inv_guess(magnitude).to_bits();
    let (low, high) = (guess.saturating_sub(CLOSE), guess + CLOSE);
    let is_between = !is_above(low, magnitude) && is_above(high, magnitude);
    let range = if is_between { (low, high) } else { ALL };
    last_not_above(range, magnitude).copysign(x)
}

/// Whether erf of this is above x. Positive floats are in the order of their bits.
fn is_above(bits: u64, x: f64) -> bool {
    let y = f64::from_bits(bits);
    if x < 0.5 {
        libm::erf(y) > x
    } else {
        libm::erfc(y) < 1.0 - x
    }
}

/// The last number in the range of which erf is not above x.
fn last_not_above((mut low, mut high): (u64, u64), x: f64) -> f64 {
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if is_above(middle, x) {
            high = middle;
        } else {
            low = middle;
        }
    }
    f64::from_bits(low)
}

/// What erf of any `f64` below 1 is between.
const ALL: (u64, u64) = (0, 28f64.to_bits());

/// Numbers on either side of a guess.
const CLOSE: u64 = 32;

/// Steps of Newton's from Winitzki's "handy approximation" (2008), which is within a hundredth.
fn erf_inv_guess(x: f64) -> f64 {
    const A: f64 = 0.147;
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let half = 2.0 / (std::f64::consts::PI * A) + log / 2.0;
    // The difference of what is nearly equal, for small numbers, as a quotient.
    let mut y = (-log / A / ((half * half - log / A).sqrt() + half)).sqrt();
    for _ in 0..4 {
        let off = if x < 0.5 {
            libm::erf(y) - x
        } else {
            (1.0 - x) - libm::erfc(y)
        };
        y -= off / (std::f64::consts::FRAC_2_SQRT_PI * (-y * y).exp());
    }
    y
}

/// A function of real and one of complex numbers.
fn function(
    input: &WideArray,
    target: Target,
    of_complex: impl Fn(Complex<f64>) -> Complex<f64>,
    of_real: impl Fn(f64) -> f64,
) -> WideAnswer {
    let values = match target.class() {
        Class::Complex => input.mapv(|x| Wide::Complex(of_complex(target.cast(x).complex()))),
        Class::Float | Class::Unsigned | Class::Signed => real(input, target, of_real),
    };
    with_modulus(values, target)
}

/// The angle of (re, im), a real number's imaginary part being +0.
fn phase(x: Wide, target: Target) -> Wide {
    match x {
        Wide::Complex(z) => Wide::Float(z.im.atan2(z.re)),
        Wide::Int(_) | Wide::Float(_) => Wide::Float(0f64.atan2(target.cast(x).float())),
    }
}

/// The elements at their dtype, whose bits are taken for the result's.
pub(crate) fn bitcast(input: &WideArray, from: DType, target: Target) -> WideArray {
    input.mapv(|x| Wide::from_bits(target.dtype(), x.to_bits(from)))
}

pub(crate) fn as_type(input: &WideArray, target: Target) -> WideArray {
    input.mapv(|x| target.cast(x))
}

fn real(input: &WideArray, target: Target, f: impl Fn(f64) -> f64) -> WideArray {
    input.mapv(|x| Wide::Float(f(target.cast(x).float())))
}

/// The values of a complex function beside their moduli, which bound the error of both parts.
pub(super) fn with_modulus(values: WideArray, target: Target) -> WideAnswer {
    let conditions = vec![1.0; values.len()];
    conditioned(values, conditions, target)
}

/// The values of a complex function beside their moduli, times how much of the operands' rounding
/// each result shows.
pub(super) fn conditioned(
    values: WideArray,
    conditions: impl IntoIterator<Item = f64>,
    target: Target,
) -> WideAnswer {
    let format = Format::of(target.dtype()).filter(|_| target.dtype().is_complex());
    let magnitude = format.map(|format| moduli(&values, conditions, format));
    WideAnswer { values, magnitude }
}

/// The moduli of a function's values, each times so much.
pub(super) fn moduli<'a>(
    values: impl IntoIterator<Item = &'a Wide>,
    times: impl IntoIterator<Item = f64>,
    format: Format,
) -> Magnitude {
    let moduli = values.into_iter().map(|x| x.complex().norm());
    let sizes: Vec<f64> = moduli.collect();
    let worst = |(&size, times): (&f64, f64)| match size {
        0.0 => 0.0,
        size => (size * times).max(format.tiny()),
    };
    Magnitude {
        of: Of::Function,
        worst: sizes.iter().zip(times).map(worst).collect(),
        sizes,
        random: 1.0,
        open_zeros: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_close_to_a_guess_is_what_is_found_among_all() {
        let powers = (1..=53).flat_map(|n| [0.5f64.powi(n), 1.0 - 0.5f64.powi(n)]);
        let least = [f64::MIN_POSITIVE, f64::from_bits(1)];
        let all = powers
            .chain(least)
            .chain((1..1000).map(|n| f64::from(n) / 1000.0));
        for x in all {
            assert_eq!(erf_inv(x), last_not_above(ALL, x), "{x:e}");
        }
    }
}
