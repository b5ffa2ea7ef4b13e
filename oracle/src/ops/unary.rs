//! Element-wise operations on one operand.

use emily_spec::{Class, Unary};
use num_complex::Complex;

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
        // Halves away from zero; a zero result has the operand's sign.
        Unary::Round => real(input, target, f64::round).into(),
        Unary::Exp => exp(input, target),
        Unary::Sqrt => real(input, target, f64::sqrt).into(),
        Unary::Rsqrt => real(input, target, |x| 1.0 / x.sqrt()).into(),
        Unary::Cbrt => real(input, target, libm::cbrt).into(),
        Unary::Log => real(input, target, libm::log).into(),
        Unary::Log1p => real(input, target, libm::log1p).into(),
        Unary::Expm1 => real(input, target, libm::expm1).into(),
        Unary::Sigmoid => real(input, target, sigmoid).into(),
        Unary::Sin => real(input, target, libm::sin).into(),
        Unary::Cos => real(input, target, libm::cos).into(),
        Unary::Tan => real(input, target, libm::tan).into(),
        Unary::Asin => real(input, target, libm::asin).into(),
        Unary::Acos => real(input, target, libm::acos).into(),
        Unary::Atan => real(input, target, libm::atan).into(),
        Unary::Sinh => real(input, target, libm::sinh).into(),
        Unary::Cosh => real(input, target, libm::cosh).into(),
        Unary::Tanh => real(input, target, libm::tanh).into(),
        Unary::Asinh => real(input, target, libm::asinh).into(),
        Unary::Acosh => real(input, target, acosh).into(),
        Unary::Atanh => real(input, target, libm::atanh).into(),
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
    let above = |y: f64| {
        if magnitude < 0.5 {
            libm::erf(y) > magnitude
        } else {
            libm::erfc(y) < 1.0 - magnitude
        }
    };
    // Positive floats are in the order of their bits.
    let (mut low, mut high) = (0u64, 28f64.to_bits());
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if above(f64::from_bits(middle)) {
            high = middle;
        } else {
            low = middle;
        }
    }
    f64::from_bits(low).copysign(x)
}

/// Complex exponentials are e^re · (cos im + i·sin im) with num-complex's special cases for
/// infinite and NaN parts.
fn exp(input: &WideArray, target: Target) -> WideAnswer {
    let values = match target.class() {
        Class::Complex => input.mapv(|x| Wide::Complex(complex_exp(target.cast(x).complex()))),
        Class::Float | Class::Unsigned | Class::Signed => real(input, target, f64::exp),
    };
    with_modulus(values, target)
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
    let magnitude = format.map(|format| {
        let sizes: Vec<f64> = values.iter().map(|x| x.complex().norm()).collect();
        let of = |(&size, condition): (&f64, f64)| match size {
            0.0 => 0.0,
            size => (size * condition).max(format.tiny()),
        };
        Magnitude {
            of: Of::Function,
            worst: sizes.iter().zip(conditions).map(of).collect(),
            sizes,
            random: 1.0,
        }
    });
    WideAnswer { values, magnitude }
}

/// e^z. On the real line it stays there, also where e^re is infinite.
pub(super) fn complex_exp(z: Complex<f64>) -> Complex<f64> {
    if z.im == 0.0 {
        return Complex::new(z.re.exp(), z.im);
    }
    z.exp()
}
