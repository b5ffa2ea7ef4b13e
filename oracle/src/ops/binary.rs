//! Element-wise operations on two operands, each broadcast to the result's shape.
//!
//! A sum, quotient or product of two `f16`, `bf16` or `f32` numbers computed in `f64` and rounded
//! again is the correctly rounded one: `f64` has more than twice their digits and two.

use std::cmp::Ordering;

use emily_spec::{Arithmetic, Class, Compare, Error, ErrorKind, Result};
use ndarray::Zip;
use num_complex::Complex;

use super::sort::order;
use super::unary::{complex_exp, conditioned, with_modulus};
use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};
use crate::value::Wide;

/// Arithmetic on the operands cast to the result's dtype.
pub(crate) fn arithmetic(
    op: Arithmetic,
    inputs: &[WideArray],
    target: Target,
) -> Result<WideAnswer> {
    match op {
        Arithmetic::Add => add(inputs, target).map(WideAnswer::from),
        Arithmetic::Subtract => subtract(inputs, target).map(WideAnswer::from),
        Arithmetic::Multiply => multiply(inputs, target),
        Arithmetic::Quotient => quotient(inputs, target).map(WideAnswer::from),
        Arithmetic::Divide => divide(inputs, target),
        Arithmetic::Remainder => remainder(inputs, target).map(WideAnswer::from),
        Arithmetic::Pow => pow(inputs, target),
        Arithmetic::Atan2 => atan2(inputs, target).map(WideAnswer::from),
        Arithmetic::BitwiseAnd => bits(inputs, target, |a, b| a & b).map(WideAnswer::from),
        Arithmetic::BitwiseOr => bits(inputs, target, |a, b| a | b).map(WideAnswer::from),
        Arithmetic::BitwiseXor => bits(inputs, target, |a, b| a ^ b).map(WideAnswer::from),
        Arithmetic::LeftShift => shift(inputs, target, "left", |a, by| a << by),
        Arithmetic::RightShift => shift(inputs, target, "right", |a, by| a >> by),
        Arithmetic::Max => choose(inputs, target, Ordering::Greater).map(WideAnswer::from),
        Arithmetic::Min => choose(inputs, target, Ordering::Less).map(WideAnswer::from),
    }
}

/// Compares the operands as they are, not as a merged dtype would have them.
pub(crate) fn compare(op: Compare, inputs: &[WideArray], target: Target) -> Result<WideArray> {
    let ordered = |a, b, holds: fn(Ordering) -> bool| numbers(a, b).is_some_and(holds);
    zip(inputs, target, |a, b| {
        let holds = match op {
            Compare::Equal => is_equal(a, b),
            Compare::NotEqual => !is_equal(a, b),
            Compare::Greater => ordered(a, b, Ordering::is_gt),
            Compare::Less => ordered(a, b, Ordering::is_lt),
            Compare::GreaterEqual => ordered(a, b, Ordering::is_ge),
            Compare::LessEqual => ordered(a, b, Ordering::is_le),
            Compare::LogicalAnd => !a.is_zero() && !b.is_zero(),
            Compare::LogicalOr => !a.is_zero() || !b.is_zero(),
            Compare::LogicalXor => a.is_zero() != b.is_zero(),
        };
        Wide::Int(holds.into())
    })
}

fn add(inputs: &[WideArray], target: Target) -> Result<WideArray> {
    pairs(inputs, target, |a, b| match target.class() {
        Class::Unsigned | Class::Signed => Wide::Int(a.int() + b.int()),
        Class::Float => Wide::Float(a.float() + b.float()),
        Class::Complex => Wide::Complex(a.complex() + b.complex()),
    })
}

fn subtract(inputs: &[WideArray], target: Target) -> Result<WideArray> {
    pairs(inputs, target, |a, b| match target.class() {
        Class::Unsigned | Class::Signed => Wide::Int(a.int() - b.int()),
        Class::Float => Wide::Float(a.float() - b.float()),
        Class::Complex => Wide::Complex(a.complex() - b.complex()),
    })
}

/// Complex products are (ac − bd) + (ad + bc)i also for infinite parts, which no rule of C's mends.
fn multiply(inputs: &[WideArray], target: Target) -> Result<WideAnswer> {
    let values = pairs(inputs, target, |a, b| match target.class() {
        // The low bits are those of the exact product.
        Class::Unsigned | Class::Signed => Wide::Int(a.int().wrapping_mul(b.int())),
        Class::Float => Wide::Float(a.float() * b.float()),
        Class::Complex => Wide::Complex(a.complex() * b.complex()),
    })?;
    Ok(with_modulus(values, target))
}

fn quotient(inputs: &[WideArray], target: Target) -> Result<WideArray> {
    let zero = "integer division by zero";
    refuse_right(inputs, target, |b| b == 0, ErrorKind::Numeric, zero)?;
    // Inference refuses anything but integers.
    pairs(inputs, target, |a, b| Wide::Int(a.int() / b.int()))
}

/// C's `atan2`, of which every operand has an answer.
fn atan2(inputs: &[WideArray], target: Target) -> Result<WideArray> {
    pairs(inputs, target, |y, x| {
        Wide::Float(y.float().atan2(x.float()))
    })
}

/// Integers of infinitely many bits, of which the dtype keeps the low ones.
fn bits(inputs: &[WideArray], target: Target, f: impl Fn(i128, i128) -> i128) -> Result<WideArray> {
    pairs(inputs, target, |a, b| Wide::Int(f(a.int(), b.int())))
}

/// No dtype has more than 64 bits, so that shifts by more than that are shifts by 64.
fn shift(
    inputs: &[WideArray],
    target: Target,
    side: &str,
    f: impl Fn(i128, u32) -> i128,
) -> Result<WideAnswer> {
    let negative = format!("cannot {side} shift by a negative count");
    refuse_right(inputs, target, |b| b < 0, ErrorKind::Argument, &negative)?;
    let shifted = bits(inputs, target, |a, by| f(a, by.min(64) as u32))?;
    Ok(shifted.into())
}

/// NaN where either is; else the right element where it is beyond the left one, which the other zero
/// is not.
fn choose(inputs: &[WideArray], target: Target, beyond: Ordering) -> Result<WideArray> {
    let is_nan = |x: Wide| matches!(x, Wide::Float(x) if x.is_nan());
    pairs(inputs, target, |a, b| {
        if !is_nan(a) && (is_nan(b) || order(b, a) == beyond) {
            b
        } else {
            a
        }
    })
}

/// Complex quotients are a·conj(b) / |b|² in `f64`, which the squares of `f32` parts cannot
/// overflow; a zero or infinite divisor gives what that formula gives, mostly NaN.
fn divide(inputs: &[WideArray], target: Target) -> Result<WideAnswer> {
    let values = pairs(inputs, target, |a, b| match target.class() {
        Class::Complex => Wide::Complex(a.complex() / b.complex()),
        // Inference refuses integer results.
        Class::Float | Class::Unsigned | Class::Signed => Wide::Float(a.float() / b.float()),
    })?;
    Ok(with_modulus(values, target))
}

/// C's `fmod`: exact, with the dividend's sign; NaN for a zero divisor or an infinite dividend,
/// the dividend for an infinite divisor.
fn remainder(inputs: &[WideArray], target: Target) -> Result<WideArray> {
    let zero = "integer remainder by zero";
    refuse_right(inputs, target, |b| b == 0, ErrorKind::Numeric, zero)?;
    pairs(inputs, target, |a, b| match target.class() {
        Class::Unsigned | Class::Signed => Wide::Int(a.int() % b.int()),
        // Inference refuses complex operands.
        Class::Float | Class::Complex => Wide::Float(a.float() % b.float()),
    })
}

/// Real powers are IEEE 754's `pow`: x⁰ = 1 and 1ʸ = 1 also for NaN, a negative base with a
/// fractional exponent is NaN. Complex ones are [`complex_pow`].
fn pow(inputs: &[WideArray], target: Target) -> Result<WideAnswer> {
    refuse_right(
        inputs,
        target,
        |b| b < 0,
        ErrorKind::Numeric,
        "an integer to a negative integer power; cast one operand to a float",
    )?;
    let values = pairs(inputs, target, |a, b| match target.class() {
        Class::Unsigned | Class::Signed => Wide::Int(wrapping_pow(a.int(), b.int())),
        Class::Float => Wide::Float(real_pow(a.float(), b.float())),
        Class::Complex => Wide::Complex(complex_pow(a.complex(), b.complex())),
    })?;
    if !target.dtype().is_complex() {
        return Ok(values.into());
    }
    let conditions = pairs(inputs, target, |a, b| {
        Wide::Float(pow_condition(a.complex(), b.complex()))
    })?;
    let conditions: Vec<f64> = conditions.iter().map(|x| x.float()).collect();
    Ok(conditioned(values, conditions, target))
}

/// Applies `f` to pairs of elements cast to the result's dtype.
fn pairs(
    inputs: &[WideArray],
    target: Target,
    f: impl Fn(Wide, Wide) -> Wide,
) -> Result<WideArray> {
    zip(inputs, target, |a, b| f(target.cast(a), target.cast(b)))
}

fn zip(inputs: &[WideArray], target: Target, f: impl Fn(Wide, Wide) -> Wide) -> Result<WideArray> {
    let left = array::broadcast(&inputs[0], &target.ty.shape)?;
    let right = array::broadcast(&inputs[1], &target.ty.shape)?;
    Ok(Zip::from(&left).and(&right).map_collect(|&a, &b| f(a, b)))
}

/// Fails where the result is an integer and a right element that takes part in it is `bad`.
fn refuse_right(
    inputs: &[WideArray],
    target: Target,
    bad: impl Fn(i128) -> bool,
    kind: ErrorKind,
    message: &str,
) -> Result<()> {
    let right = array::broadcast(&inputs[1], &target.ty.shape)?;
    if target.dtype().is_integer() && right.iter().any(|&b| bad(target.cast(b).int())) {
        return Err(Error::new(kind, message));
    }
    Ok(())
}

/// `base` to a non-negative power modulo 2^128, of which every dtype keeps the low bits.
fn wrapping_pow(mut base: i128, mut exponent: i128) -> i128 {
    let mut power = 1i128;
    while exponent > 0 {
        if exponent % 2 == 1 {
            power = power.wrapping_mul(base);
        }
        base = base.wrapping_mul(base);
        exponent /= 2;
    }
    power
}

/// IEEE 754's `pow`. A C library may answer x⁰ and 1ʸ with NaN for a signalling NaN.
fn real_pow(x: f64, y: f64) -> f64 {
    if x == 1.0 || y == 0.0 { 1.0 } else { x.powf(y) }
}

/// e^(w · ln z) on the principal branch; small whole powers by multiplication, which is exact where
/// the answer is, as long as nothing on the way leaves the doubles. 0⁰ is 1, and 0^w is 0 where w's
/// real part is positive and NaN elsewhere, where it has no limit.
fn complex_pow(z: Complex<f64>, w: Complex<f64>) -> Complex<f64> {
    let zero = Complex::ZERO;
    match (z == zero, w == zero) {
        (_, true) => Complex::ONE,
        (true, false) if w.re > 0.0 => zero,
        (true, false) => Complex::new(f64::NAN, f64::NAN),
        (false, false) => whole_power(z, w).unwrap_or_else(|| complex_exp(w * z.ln())),
    }
}

/// z times itself, where w is a whole number of at most 64 and every product is finite.
fn whole_power(z: Complex<f64>, w: Complex<f64>) -> Option<Complex<f64>> {
    let is_small = w.im == 0.0 && w.re.fract() == 0.0 && w.re.abs() <= 64.0;
    let power = is_small.then(|| z.powi(w.re as i32))?;
    power.is_finite().then_some(power)
}

/// How many units the errors of ln z and of its product with w are in e^(w · ln z): an error of the
/// exponent is one of the result, relative to its modulus. That of the logarithm is relative to
/// itself, and, since ln|z| near 1 is lost in |z|, to 1 too.
fn pow_condition(z: Complex<f64>, w: Complex<f64>) -> f64 {
    if z == Complex::ZERO || w == Complex::ZERO {
        return 1.0;
    }
    1.0 + w.norm() * (1.0 + z.ln().norm())
}

/// Equality of the numbers themselves. The zeros are equal; NaN equals nothing.
fn is_equal(a: Wide, b: Wide) -> bool {
    match (a, b) {
        (Wide::Complex(a), Wide::Complex(b)) => a == b,
        (Wide::Complex(a), b @ (Wide::Int(_) | Wide::Float(_))) => {
            a.im == 0.0 && is_equal(b, Wide::Float(a.re))
        }
        (Wide::Int(_) | Wide::Float(_), Wide::Complex(_)) => is_equal(b, a),
        (Wide::Int(_) | Wide::Float(_), Wide::Int(_) | Wide::Float(_)) => {
            numbers(a, b) == Some(Ordering::Equal)
        }
    }
}

/// The order of real numbers, as they are; none beside NaN. The zeros are equal.
fn numbers(a: Wide, b: Wide) -> Option<Ordering> {
    match (a, b) {
        (Wide::Int(a), Wide::Int(b)) => Some(a.cmp(&b)),
        (Wide::Int(a), Wide::Float(b)) if b.abs() < 2f64.powi(127) => {
            // Whole numbers first, exactly; then what the float has beyond.
            let order = a.cmp(&(b.trunc() as i128));
            Some(order.then(0.0.partial_cmp(&b.fract())?))
        }
        // Beyond every integer dtype, or NaN.
        (Wide::Int(_), Wide::Float(b)) => 0.0.partial_cmp(&b),
        (Wide::Float(_), Wide::Int(_)) => numbers(b, a).map(Ordering::reverse),
        // Inference refuses complex operands.
        _ => a.float().partial_cmp(&b.float()),
    }
}
