//! Element-wise operations on one operand.

use emily_spec::Class;
use num_complex::Complex;

use crate::array::WideArray;
use crate::eval::{Target, WideAnswer};
use crate::value::Wide;

/// Halves away from zero; a zero result has the operand's sign.
pub(crate) fn round(input: &WideArray, target: Target) -> WideArray {
    real(input, target, f64::round)
}

/// Complex exponentials are e^re · (cos im + i·sin im) with num-complex's special cases for
/// infinite and NaN parts.
pub(crate) fn exp(input: &WideArray, target: Target) -> WideAnswer {
    let values = match target.class() {
        Class::Complex => input.mapv(|x| Wide::Complex(complex_exp(target.cast(x).complex()))),
        Class::Float | Class::Unsigned | Class::Signed => real(input, target, f64::exp),
    };
    with_modulus(values, target)
}

pub(crate) fn erfc(input: &WideArray, target: Target) -> WideArray {
    real(input, target, libm::erfc)
}

pub(crate) fn as_type(input: &WideArray, target: Target) -> WideArray {
    input.mapv(|x| target.cast(x))
}

fn real(input: &WideArray, target: Target, f: impl Fn(f64) -> f64) -> WideArray {
    input.mapv(|x| Wide::Float(f(target.cast(x).float())))
}

/// The values of a complex function beside their moduli, which bound the error of both parts.
pub(super) fn with_modulus(values: WideArray, target: Target) -> WideAnswer {
    let magnitude = target
        .dtype()
        .is_complex()
        .then(|| values.iter().map(|x| x.complex().norm()).collect());
    WideAnswer { values, magnitude }
}

/// e^z. On the real line it stays there, also where e^re is infinite.
pub(super) fn complex_exp(z: Complex<f64>) -> Complex<f64> {
    if z.im == 0.0 {
        return Complex::new(z.re.exp(), z.im);
    }
    z.exp()
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use emily_spec::{DType, Op};
    use num_complex::Complex;

    use crate::testing::{answers, gives, values};

    #[test]
    fn halves_round_away_from_zero() {
        gives(
            &Op::Round,
            &["f32[6] -2.5 -1.5 -0.5 0.5 1.5 2.5"],
            "f32[6] -3 -2 -1 1 2 3",
        );
        gives(&Op::Round, &["bf16[2] 0.5 -2.5"], "bf16[2] 1 -3");
        // The largest f64 below a half: adding a half and truncating would give 1.
        gives(&Op::Round, &["f64[] 0.49999999999999994"], "f64[] 0");
    }

    #[test]
    fn rounding_keeps_signs_infinities_and_nan() {
        gives(
            &Op::Round,
            &["f16[6] -0.4 -0.0 0.0 inf -inf nan"],
            "f16[6] -0.0 -0.0 0.0 inf -inf nan",
        );
        gives(&Op::Round, &["f32[0,2]"], "f32[0,2]");
    }

    #[test]
    fn exponentials_overflow_and_vanish() {
        gives(
            &Op::Exp,
            &["f32[6] 0 -0.0 89 -104 inf -inf"],
            "f32[6] 1 1 inf 0 inf 0",
        );
        // e^11 = 59874.14; the f16 unit there is 32.
        gives(&Op::Exp, &["f16[3] 11 12 nan"], "f16[3] 59872 inf nan");
        gives(&Op::Exp, &["u8[] 0"], "f32[] 1");
    }

    #[test]
    fn exponentials_of_doubles_are_double() {
        let got = values(&Op::Exp, &["f64[2] 1 -1"]);
        assert_relative_eq!(got[0].float(), std::f64::consts::E, max_relative = 1e-15);
        assert_relative_eq!(
            got[1].float(),
            1.0 / std::f64::consts::E,
            max_relative = 1e-15
        );
    }

    #[test]
    fn complex_exponentials_turn_and_carry_their_modulus() {
        // e^(1 + iπ/2) = e·i.
        let [answer] = answers(&Op::Exp, &["c64[] 1+1.5707963267948966i"])
            .try_into()
            .unwrap();
        assert_relative_eq!(
            answer.magnitude.unwrap()[0],
            std::f64::consts::E,
            max_relative = 1e-15
        );
        let Complex { re, im } = values(&Op::Exp, &["c64[] 1+1.5707963267948966i"])[0].complex();
        assert_relative_eq!(im, std::f64::consts::E, max_relative = 1e-7);
        assert_relative_eq!(re, 0.0, epsilon = 2e-7);
    }

    #[test]
    fn erfc_keeps_its_digits_far_out() {
        gives(&Op::Erfc, &["f32[4] 0 inf -inf nan"], "f32[4] 1 0 2 nan");
        // Abramowitz and Stegun: erfc(1) and erfc(5).
        let got = values(&Op::Erfc, &["f64[2] 1 5"]);
        assert_relative_eq!(
            got[0].float(),
            0.157_299_207_050_285_13,
            max_relative = 1e-15
        );
        assert_relative_eq!(
            got[1].float(),
            1.537_459_794_428_034_8e-12,
            max_relative = 1e-14
        );
        let small = values(&Op::Erfc, &["f32[] 5"])[0].float();
        assert_relative_eq!(small, 1.537_459_8e-12, max_relative = 1e-7);
    }

    #[track_caller]
    fn casts(from: &str, dtype: DType, to: &str) {
        gives(&Op::AsType { dtype }, &[from], to);
    }

    #[test]
    fn casts_follow_nx() {
        casts(
            "f32[6] -1.9 300.7 nan inf -inf -0.5",
            DType::U8,
            "u8[6] 255 44 0 255 0 0",
        );
        casts(
            "u64[] 9223372036854775808",
            DType::S64,
            "s64[] -9223372036854775808",
        );
        casts("s8[] -1", DType::U64, "u64[] 18446744073709551615");
        casts("c64[] -2.5+7i", DType::S8, "s8[] -2");
        casts("c64[] -2.5+7i", DType::F16, "f16[] -2.5");
        casts("bf16[] 1.5", DType::C64, "c64[] 1.5+0i");
        casts("f32[0]", DType::S8, "s8[0]");
    }

    #[test]
    fn casts_round_once() {
        // 1 + 2^-11 + 2^-40: by way of f32 it is a tie and goes down to 1.
        casts("f64[] 1.0004882812509095", DType::F16, "f16[] 1.0009765625");
        // 1 + 2^-8 + 2^-40, the same for bf16.
        casts("f64[] 1.0039062500009095", DType::Bf16, "bf16[] 1.0078125");
        casts(
            "u64[] 9223372586610589697",
            DType::F32,
            "f32[] 9223373136366403584",
        );
        casts("s64[] 65520", DType::F16, "f16[] inf");
    }
}
