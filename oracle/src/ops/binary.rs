//! Element-wise operations on two operands, each broadcast to the result's shape.
//!
//! A sum, quotient or product of two `f16`, `bf16` or `f32` numbers computed in `f64` and rounded
//! again is the correctly rounded one: `f64` has more than twice their digits and two.

use emily_spec::{Class, Error, ErrorKind, Result};
use ndarray::Zip;
use num_complex::Complex;

use super::unary::complex_exp;
use super::unary::with_modulus;
use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};
use crate::value::Wide;

pub(crate) fn add(inputs: &[WideArray], target: Target) -> Result<WideArray> {
    arithmetic(inputs, target, |a, b| match target.class() {
        Class::Unsigned | Class::Signed => Wide::Int(a.int() + b.int()),
        Class::Float => Wide::Float(a.float() + b.float()),
        Class::Complex => Wide::Complex(a.complex() + b.complex()),
    })
}

/// Complex quotients are a·conj(b) / |b|² in `f64`, which the squares of `f32` parts cannot
/// overflow; a zero or infinite divisor gives what that formula gives, mostly NaN.
pub(crate) fn divide(inputs: &[WideArray], target: Target) -> Result<WideAnswer> {
    let values = arithmetic(inputs, target, |a, b| match target.class() {
        Class::Complex => Wide::Complex(a.complex() / b.complex()),
        // Inference refuses integer results.
        Class::Float | Class::Unsigned | Class::Signed => Wide::Float(a.float() / b.float()),
    })?;
    Ok(with_modulus(values, target))
}

/// C's `fmod`: exact, with the dividend's sign; NaN for a zero divisor or an infinite dividend,
/// the dividend for an infinite divisor.
pub(crate) fn remainder(inputs: &[WideArray], target: Target) -> Result<WideArray> {
    refuse_right(inputs, target, |b| b == 0, "integer remainder by zero")?;
    arithmetic(inputs, target, |a, b| match target.class() {
        Class::Unsigned | Class::Signed => Wide::Int(a.int() % b.int()),
        // Inference refuses complex operands.
        Class::Float | Class::Complex => Wide::Float(a.float() % b.float()),
    })
}

/// Real powers are IEEE 754's `pow`: x⁰ = 1 and 1ʸ = 1 also for NaN, a negative base with a
/// fractional exponent is NaN. Complex ones are [`complex_pow`].
pub(crate) fn pow(inputs: &[WideArray], target: Target) -> Result<WideAnswer> {
    refuse_right(
        inputs,
        target,
        |b| b < 0,
        "an integer to a negative integer power; cast one operand to a float",
    )?;
    let values = arithmetic(inputs, target, |a, b| match target.class() {
        Class::Unsigned | Class::Signed => Wide::Int(wrapping_pow(a.int(), b.int())),
        Class::Float => Wide::Float(real_pow(a.float(), b.float())),
        Class::Complex => Wide::Complex(complex_pow(a.complex(), b.complex())),
    })?;
    Ok(with_modulus(values, target))
}

/// Compares the operands as they are, not as a merged dtype would have them.
pub(crate) fn equal(inputs: &[WideArray], target: Target) -> Result<WideArray> {
    zip(inputs, target, |a, b| Wide::Int(is_equal(a, b).into()))
}

/// Applies `f` to pairs of elements cast to the result's dtype.
fn arithmetic(
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
    message: &str,
) -> Result<()> {
    let right = array::broadcast(&inputs[1], &target.ty.shape)?;
    if target.dtype().is_integer() && right.iter().any(|&b| bad(target.cast(b).int())) {
        return Err(Error::new(ErrorKind::Numeric, message));
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
/// the answer is. 0⁰ is 1, and 0^w is 0 where w's real part is positive and
/// NaN elsewhere, where it has no limit.
fn complex_pow(z: Complex<f64>, w: Complex<f64>) -> Complex<f64> {
    let zero = Complex::ZERO;
    match (z == zero, w == zero) {
        (_, true) => Complex::ONE,
        (true, false) if w.re > 0.0 => zero,
        (true, false) => Complex::new(f64::NAN, f64::NAN),
        (false, false) if w.im == 0.0 && w.re.fract() == 0.0 && w.re.abs() <= 64.0 => {
            z.powi(w.re as i32)
        }
        (false, false) => complex_exp(w * z.ln()),
    }
}

/// Equality of the numbers themselves. The zeros are equal; NaN equals nothing.
fn is_equal(a: Wide, b: Wide) -> bool {
    match (a, b) {
        (Wide::Int(a), Wide::Int(b)) => a == b,
        (Wide::Float(a), Wide::Float(b)) => a == b,
        (Wide::Complex(a), Wide::Complex(b)) => a == b,
        // An f64 at or beyond 2^127 equals no integer dtype's value, below it the cast is exact.
        (Wide::Int(a), Wide::Float(b)) => {
            b.trunc() == b && b.abs() < 2f64.powi(127) && a == b as i128
        }
        (Wide::Float(_), Wide::Int(_)) => is_equal(b, a),
        (Wide::Complex(a), b @ (Wide::Int(_) | Wide::Float(_))) => {
            a.im == 0.0 && is_equal(b, Wide::Float(a.re))
        }
        (Wide::Int(_) | Wide::Float(_), Wide::Complex(_)) => is_equal(b, a),
    }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use emily_spec::{DType, ErrorKind, Op};

    use crate::testing::{answers, fails, gives, values};

    const ADD: Op = Op::Add { dtype: None };
    const DIVIDE: Op = Op::Divide { dtype: None };
    const REMAINDER: Op = Op::Remainder { dtype: None };
    const POW: Op = Op::Pow { dtype: None };

    #[test]
    fn integers_wrap() {
        gives(
            &ADD,
            &["s8[3] 127 -128 -1", "s8[3] 1 -1 1"],
            "s8[3] -128 127 0",
        );
        gives(&ADD, &["u8[] 255", "u8[] 1"], "u8[] 0");
        gives(
            &ADD,
            &[
                "u64[2] 9223372036854775808 18446744073709551615",
                "u64[2] 1 1",
            ],
            "u64[2] 9223372036854775809 0",
        );
    }

    #[test]
    fn operands_broadcast() {
        gives(
            &ADD,
            &["s32[2,1] 10 20", "s32[2] 1 2"],
            "s32[2,2] 11 12 21 22",
        );
        gives(&ADD, &["f32[0]", "f32[1] 1"], "f32[0]");
        gives(&ADD, &["f32[] 1", "f32[] 2"], "f32[] 3");
    }

    #[test]
    fn operands_are_cast_before_they_are_added() {
        // u64 and s8 merge to s64, where 2^64 − 1 is −1.
        gives(&ADD, &["u64[] 18446744073709551615", "s8[] -1"], "s64[] -2");
        // 257 is 256 in bf16.
        gives(&ADD, &["s32[] 257", "bf16[] 1"], "bf16[] 256");
        gives(
            &Op::Add {
                dtype: Some(DType::U8),
            },
            &["f32[] 1.9", "f32[] 1.9"],
            "u8[] 2",
        );
    }

    #[test]
    fn floats_round_once() {
        // 2048 + 1 is a tie in f16, 2048 + 1.001 is not: 1.001 in f16 is 1.0009765625.
        gives(
            &ADD,
            &["f16[2] 2048 2048", "f16[2] 1 1.001"],
            "f16[2] 2048 2050",
        );
        gives(
            &ADD,
            &["f32[3] -0.0 -0.0 inf", "f32[3] -0.0 0.0 -inf"],
            "f32[3] -0.0 0.0 nan",
        );
        gives(
            &ADD,
            &["f64[] 0.1", "f64[] 0.2"],
            "f64[] 0.30000000000000004",
        );
        gives(&ADD, &["c64[] 1+2i", "f32[] 0.5"], "c64[] 1.5+2i");
    }

    #[test]
    fn division_is_floating() {
        gives(
            &DIVIDE,
            &["s32[4] 1 -1 0 7", "s32[4] 0 0 0 2"],
            "f32[4] inf -inf nan 3.5",
        );
        gives(&DIVIDE, &["f16[] 1", "f16[] 3"], "f16[] 0.333251953125");
        gives(
            &DIVIDE,
            &["f32[2] -1 1", "f32[2] inf -0.0"],
            "f32[2] -0.0 -inf",
        );
    }

    #[test]
    fn complex_quotients_carry_their_modulus() {
        // (3 + 4i) / (1 + 2i) = (3 + 4i)(1 − 2i) / 5 = (11 − 2i) / 5.
        let [answer] = answers(&DIVIDE, &["c64[] 3+4i", "c64[] 1+2i"])
            .try_into()
            .unwrap();
        let magnitude = answer.magnitude.unwrap();
        assert_relative_eq!(magnitude[0], 5f64.sqrt(), max_relative = 1e-15);
        gives(&DIVIDE, &["c64[] 3+4i", "c64[] 1+2i"], "c64[] 2.2-0.4i");
        // |b|² is beyond f32, a/b is not.
        gives(&DIVIDE, &["c64[] 1e30+0i", "c64[] 0+1e30i"], "c64[] 0-1i");
    }

    #[test]
    fn the_remainder_has_the_dividends_sign() {
        gives(
            &REMAINDER,
            &["s8[4] 7 -7 7 -7", "s8[4] 3 3 -3 -3"],
            "s8[4] 1 -1 1 -1",
        );
        gives(
            &REMAINDER,
            &["f32[4] 5.5 -5.5 5.5 -0.0", "f32[4] 2 2 -2 2"],
            "f32[4] 1.5 -1.5 1.5 -0.0",
        );
        gives(&REMAINDER, &["s8[] -128", "s8[] -1"], "s8[] 0");
        gives(
            &REMAINDER,
            &["u64[] 18446744073709551615", "u64[] 10"],
            "u64[] 5",
        );
    }

    #[test]
    fn float_remainders_have_fmods_special_cases() {
        gives(
            &REMAINDER,
            &["f32[5] 1 inf nan 1 -3", "f32[5] 0 2 2 inf -inf"],
            "f32[5] nan nan nan 1 -3",
        );
    }

    #[test]
    fn an_integer_remainder_by_zero_is_an_error() {
        fails(
            &REMAINDER,
            &["s32[2] 1 2", "s32[2] 1 0"],
            ErrorKind::Numeric,
            "by zero",
        );
        // 256 is 0 once it is cast to u8.
        let bytes = Op::Remainder {
            dtype: Some(DType::U8),
        };
        fails(
            &bytes,
            &["s32[] 1", "s32[] 256"],
            ErrorKind::Numeric,
            "by zero",
        );
        // No element takes part.
        gives(&REMAINDER, &["s32[0]", "s32[] 0"], "s32[0]");
    }

    #[test]
    fn integer_powers_wrap() {
        gives(
            &POW,
            &["u8[4] 0 2 3 16", "u8[4] 0 7 5 2"],
            "u8[4] 1 128 243 0",
        );
        gives(&POW, &["s8[2] -2 2", "s8[2] 7 7"], "s8[2] -128 -128");
        // 3^41 modulo 2^64 is 3^41 − 2^64, and (2^64 − 1)^odd is 2^64 − 1.
        gives(
            &POW,
            &[
                "u64[2] 3 18446744073709551615",
                "u64[2] 41 18446744073709551615",
            ],
            "u64[2] 18026252303461234787 18446744073709551615",
        );
    }

    #[test]
    fn a_negative_integer_exponent_is_an_error() {
        fails(
            &POW,
            &["s32[] 2", "s32[] -1"],
            ErrorKind::Numeric,
            "negative",
        );
        gives(&POW, &["f32[] 2", "s32[] -1"], "f32[] 0.5");
    }

    #[test]
    fn real_powers_have_ieee_special_cases() {
        gives(
            &POW,
            &[
                "f32[7] nan 1 0 -0.0 -8 -1 2",
                "f32[7] 0 nan -1 -3 0.5 inf -inf",
            ],
            "f32[7] 1 1 inf -inf nan 1 0",
        );
        gives(&POW, &["f16[] 2", "f16[] 0.5"], "f16[] 1.4140625");
    }

    #[test]
    fn complex_powers_are_exponentials_of_logarithms() {
        // i² = −1, and i^i = e^(−π/2).
        let [square, power] = values(&POW, &["c64[2] 0+1i 0+1i", "c64[2] 2+0i 0+1i"])
            .try_into()
            .unwrap();
        assert_relative_eq!(square.complex().re, -1.0, max_relative = 1e-7);
        assert_relative_eq!(square.complex().im, 0.0, epsilon = 1e-15);
        let want = (-std::f64::consts::FRAC_PI_2).exp();
        assert_relative_eq!(power.complex().re, want, max_relative = 1e-7);
        gives(
            &POW,
            &["c64[4] 0+0i 0+0i 0+0i 2+1i", "c64[4] 0+0i 2+1i -1+0i 0+0i"],
            "c64[4] 1+0i 0+0i nan+nani 1+0i",
        );
    }

    #[test]
    fn equality_is_exact_across_dtypes() {
        gives(
            &Op::Equal,
            &["u64[] 9223372036854775808", "s64[] -9223372036854775808"],
            "u8[] 0",
        );
        gives(
            &Op::Equal,
            &[
                "u64[2] 9223372036854775808 9223372036854775809",
                "f32[] 9223372036854775808",
            ],
            "u8[2] 1 0",
        );
        gives(
            &Op::Equal,
            &["s32[2] 16777217 16777216", "f32[] 16777216"],
            "u8[2] 0 1",
        );
        gives(
            &Op::Equal,
            &["s32[] 2", "f32[3] 2.5 inf nan"],
            "u8[3] 0 0 0",
        );
        gives(&Op::Equal, &["f32[] 0.1", "f64[] 0.1"], "u8[] 0");
    }

    #[test]
    fn zeros_are_equal_and_nan_equals_nothing() {
        gives(
            &Op::Equal,
            &["f32[2] 0 nan", "f16[2] -0.0 nan"],
            "u8[2] 1 0",
        );
        gives(&Op::Equal, &["u8[] 0", "f16[] -0.0"], "u8[] 1");
    }

    #[test]
    fn a_complex_number_equals_a_real_one_without_imaginary_part() {
        gives(
            &Op::Equal,
            &["c64[3] 2+0i 2-0i 2+1i", "s8[] 2"],
            "u8[3] 1 1 0",
        );
        gives(
            &Op::Equal,
            &["f64[] 0.5", "c64[2] 0.5+0i nan+0i"],
            "u8[2] 1 0",
        );
    }
}
