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
        // Halves away from zero; a zero result has the operand's sign.
        Unary::Round => real(input, target, f64::round).into(),
        Unary::Exp => exp(input, target),
        Unary::Erfc => real(input, target, libm::erfc).into(),
    }
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
