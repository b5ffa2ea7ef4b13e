//! Element-wise operations on two operands, cast to the result's dtype first.

use emily_spec::{Class, DType, ErrorKind, TensorType};
use mlx_rs::error::Result;
use mlx_rs::ops::select;
use mlx_rs::{Array, Dtype};

use super::cast::operand;
use super::float::{widened, with_sign_of};
use super::integer::{negate_where, sign_and_magnitude};
use super::{Cx, complex};
use crate::Device;
use crate::mlx::{clone_array, dtype_of, integer, real, to_mlx};

/// Integers wrap.
pub(super) fn add(left: &Array, right: &Array, ty: &TensorType) -> Result<Array> {
    operand(left, ty.dtype)?.add(operand(right, ty.dtype)?)
}

/// The result is floating, so that integers become floats before they divide.
pub(super) fn divide(left: &Array, right: &Array, ty: &TensorType, cx: &Cx) -> Result<Array> {
    let (a, b) = (operand(left, ty.dtype)?, operand(right, ty.dtype)?);
    match (ty.dtype.class(), cx.device) {
        (Class::Complex, Device::Cpu) => complex::divide(&a, &b),
        (Class::Complex, Device::Gpu) => complex::divide_scaled(&a, &b),
        (Class::Unsigned | Class::Signed | Class::Float, _) => a.divide(b),
    }
}

/// The remainder of the magnitudes, with the dividend's sign.
///
/// MLX's remainder has the divisor's sign; of magnitudes it is C's `fmod` and `%`. Unsigned
/// magnitudes also have no trap where the least integer meets −1.
pub(super) fn remainder(
    left: &Array,
    right: &Array,
    ty: &TensorType,
    cx: &mut Cx,
) -> Result<Array> {
    let (a, b) = (operand(left, ty.dtype)?, operand(right, ty.dtype)?);
    match ty.dtype.class() {
        Class::Unsigned => {
            let b = refuse_zero(&a, &b, cx)?;
            a.remainder(b)
        }
        Class::Signed => {
            let b = refuse_zero(&a, &b, cx)?;
            let (negative, a) = sign_and_magnitude(&a)?;
            let (_, b) = sign_and_magnitude(&b)?;
            negate_where(&negative, &a.remainder(b)?)?.view_dtype(to_mlx(ty.dtype))
        }
        Class::Float | Class::Complex => {
            // Some C libraries' fmod gives −0 for magnitudes whose quotient is past 2^1023.
            let magnitude = a.abs()?.remainder(b.abs()?)?.abs()?;
            with_sign_of(&magnitude, &a)
        }
    }
}

/// Makes a zero divisor that meets a dividend an error, and puts 1 in its place: a division by
/// zero ends the process.
fn refuse_zero(a: &Array, b: &Array, cx: &mut Cx) -> Result<Array> {
    let dtype = dtype_of(b);
    let zero = b.eq(integer(dtype, 0))?;
    refuse(&zero, a, "integer remainder by zero", cx);
    select(zero, integer(dtype, 1), b)
}

/// Makes the marked elements an error. Where the other operand is empty no element takes part.
fn refuse(marked: &Array, other: &Array, message: &str, cx: &mut Cx) {
    if other.size() > 0 {
        cx.fail_where(clone_array(marked), ErrorKind::Numeric, message);
    }
}

/// Integer powers wrap; a negative exponent is an error.
pub(super) fn pow(left: &Array, right: &Array, ty: &TensorType, cx: &mut Cx) -> Result<Array> {
    let (base, exponent) = (operand(left, ty.dtype)?, operand(right, ty.dtype)?);
    match ty.dtype.class() {
        Class::Unsigned => integer_pow(&base, &exponent, ty.dtype),
        Class::Signed => {
            let zero = integer(ty.dtype, 0);
            let negative = exponent.lt(&zero)?;
            let message = "an integer to a negative integer power; cast one operand to a float";
            refuse(&negative, &base, message, cx);
            integer_pow(&base, &select(negative, zero, exponent)?, ty.dtype)
        }
        Class::Float => float_pow(&base, &exponent, ty.dtype),
        Class::Complex => complex::pow(&base, &exponent, cx),
    }
}

/// IEEE 754's `pow`: 1 to any power and anything to the power 0 are 1, also for a signalling NaN,
/// of which some C libraries make a quiet one.
fn float_pow(base: &Array, exponent: &Array, dtype: DType) -> Result<Array> {
    let one = real(dtype, 1.0);
    let power = widened(base)?
        .power(widened(exponent)?)?
        .as_dtype(to_mlx(dtype))?;
    let is_one = base.eq(&one)?.logical_or(exponent.eq(real(dtype, 0.0))?)?;
    select(is_one, one, power)
}

/// Powers modulo 2^bits, in unsigned integers of at least 32 bits, where C++ defines wrapping.
fn integer_pow(base: &Array, exponent: &Array, dtype: DType) -> Result<Array> {
    let mlx = if dtype.size() == 8 {
        Dtype::Uint64
    } else {
        Dtype::Uint32
    };
    base.as_dtype(mlx)?
        .power(exponent.as_dtype(mlx)?)?
        .as_dtype(to_mlx(dtype))
}

#[cfg(test)]
mod tests {
    use emily_spec::Op;
    use half::{bf16, f16};

    use super::super::testing::{Element, answer, fails, gives, scalar, tensor, ulps, vector};
    use super::*;

    const ADD: Op = Op::Add { dtype: None };
    const DIVIDE: Op = Op::Divide { dtype: None };
    const REMAINDER: Op = Op::Remainder { dtype: None };
    const POW: Op = Op::Pow { dtype: None };
    const NAN: f32 = f32::NAN;
    const INF: f32 = f32::INFINITY;

    fn pairs<T: Element, U: Element>(op: &Op, left: &[T], right: &[T], want: &[U]) {
        gives(op, &[vector(left), vector(right)], &vector(want));
    }

    /// As [`pairs`], for floats among which NaN is wanted somewhere.
    fn floats(op: &Op, left: &[f32], right: &[f32], want: &[f32]) {
        let got = answer(op, &[vector(left), vector(right)]).values::<f32>();
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            let same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
            assert!(
                same,
                "{op:?} of {} and {}: {got}, not {want}",
                left[i], right[i]
            );
        }
    }

    #[test]
    fn sums_wrap_and_broadcast() {
        pairs(&ADD, &[127i8, -128], &[1, -1], &[-128i8, 127]);
        pairs(&ADD, &[u64::MAX], &[2], &[1u64]);
        pairs(&ADD, &[i64::MAX], &[1], &[i64::MIN]);
        gives(
            &ADD,
            &[tensor([2, 1], &[1i32, 2]), vector(&[10i32, 20])],
            &tensor([2, 2], &[11i32, 21, 12, 22]),
        );
        gives(
            &ADD,
            &[tensor::<i32>([0, 1], &[]), vector(&[1i32, 2])],
            &tensor::<i32>([0, 2], &[]),
        );
    }

    #[test]
    fn operands_are_cast_to_the_result_first() {
        // u64 and s8 merge to s64, in which 2^60 + 1 survives.
        gives(
            &ADD,
            &[scalar((1u64 << 60) + 1), scalar(-1i8)],
            &scalar(1i64 << 60),
        );
        let bytes = Op::Add {
            dtype: Some(DType::U8),
        };
        gives(&bytes, &[scalar(300i32), scalar(-1i32)], &scalar(43u8));
    }

    #[test]
    fn small_float_sums_round_once() {
        pairs(
            &ADD,
            &[f16::from_f32(2048.0), f16::MAX],
            &[f16::from_f32(1.0), f16::MAX],
            &[f16::from_f32(2048.0), f16::INFINITY],
        );
        pairs(
            &ADD,
            &[bf16::from_f32(256.0)],
            &[bf16::from_f32(3.0)],
            &[bf16::from_f32(260.0)],
        );
    }

    #[test]
    fn integers_divide_as_floats() {
        pairs(
            &DIVIDE,
            &[1i32, -7, 0],
            &[3i32, 2, 5],
            &[1.0f32 / 3.0, -3.5, 0.0],
        );
        pairs(&DIVIDE, &[u64::MAX], &[1u64], &[2f32.powi(64)]);
        floats(
            &DIVIDE,
            &[1.0, -1.0, 0.0, 1.0],
            &[0.0, 0.0, 0.0, INF],
            &[INF, -INF, NAN, 0.0],
        );
        let wide = Op::Divide {
            dtype: Some(DType::F64),
        };
        pairs(&wide, &[1i32], &[3i32], &[1.0f64 / 3.0]);
    }

    #[test]
    fn complex_quotients_neither_overflow_nor_vanish() {
        // (3 + 4i) / (1 + 2i) = (11 − 2i) / 5.
        let left = [[3.0f32, 4.0], [1e30, 0.0], [1e-30, 1e-30], [3e38, 3e38]];
        let right = [[1.0f32, 2.0], [0.0, 1e30], [1e-30, -1e-30], [3e38, 0.0]];
        let want = [[2.2f32, -0.4], [0.0, -1.0], [0.0, 1.0], [1.0, 1.0]];
        pairs(&DIVIDE, &left, &right, &want);
    }

    #[test]
    fn scaled_complex_quotients_agree() {
        use super::super::testing::{download, on_cpu, upload};
        let left = vector(&[
            [3.0f32, 4.0],
            [1e30, 0.0],
            [1e-30, 1e-30],
            [3e38, 3e38],
            [0.0, 0.0],
        ]);
        let right = vector(&[
            [1.0f32, 2.0],
            [0.0, 1e30],
            [1e-30, -1e-30],
            [3e38, 0.0],
            [1.0, 0.0],
        ]);
        let want = [2.2f32, -0.4, 0.0, -1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0];
        on_cpu(|_| {
            let (z, w) = (upload(&left).unwrap(), upload(&right).unwrap());
            let got = download(&complex::divide_scaled(&z, &w).unwrap()).unwrap();
            for (got, want) in got.chunks_exact(4).map(f32::read).zip(want) {
                assert!((got - want).abs() <= 2e-7, "{got} {want}");
            }
        });
    }

    #[test]
    fn the_remainder_has_the_dividends_sign() {
        pairs(
            &REMAINDER,
            &[7i8, -7, 7, -7],
            &[3, 3, -3, -3],
            &[1i8, -1, 1, -1],
        );
        floats(
            &REMAINDER,
            &[5.5, -5.5, 5.5, -5.5],
            &[2.0, 2.0, -2.0, -2.0],
            &[1.5, -1.5, 1.5, -1.5],
        );
        floats(
            &REMAINDER,
            &[-4.0, 4.0, -0.0, 0.0],
            &[2.0, -2.0, 1.0, -1.0],
            &[-0.0, 0.0, -0.0, 0.0],
        );
    }

    #[test]
    fn integer_remainders_survive_their_extremes() {
        pairs(
            &REMAINDER,
            &[i8::MIN, i8::MIN, 127, -128],
            &[-1, -128, -128, 127],
            &[0i8, 0, 127, -1],
        );
        pairs(
            &REMAINDER,
            &[i32::MIN, i32::MIN],
            &[-1, i32::MIN],
            &[0i32, 0],
        );
        pairs(
            &REMAINDER,
            &[i64::MIN, i64::MIN, -5],
            &[-1, i64::MAX, i64::MIN],
            &[0i64, -1, -5],
        );
        pairs(
            &REMAINDER,
            &[u64::MAX, u64::MAX],
            &[10, 1 << 63],
            &[5u64, (1 << 63) - 1],
        );
    }

    #[test]
    fn float_remainders_are_exact() {
        // 1e30 is a 24-bit integer times 2^76, and 2^76 is 1 modulo 3.
        let huge = 1e30f32;
        let digits = huge.to_bits() & 0x7f_ffff | 0x80_0000;
        assert_eq!(digits as f32 * 2f32.powi(76), huge);
        let want = (digits % 3) as f32;
        floats(&REMAINDER, &[huge, -huge], &[3.0, 3.0], &[want, -want]);
        // Quotients that round to even in IEEE's remainder.
        floats(
            &REMAINDER,
            &[3.0, 1.5, 2.5],
            &[2.0, 1.0, 1.0],
            &[1.0, 0.5, 0.5],
        );
        let tiny = f32::from_bits(1);
        floats(
            &REMAINDER,
            &[tiny * 7.0, f32::MAX],
            &[tiny * 3.0, tiny],
            &[tiny, 0.0],
        );
        floats(
            &REMAINDER,
            &[1.0, INF, NAN, 1.0, -3.0, 1.0],
            &[0.0, 2.0, 2.0, INF, -INF, NAN],
            &[NAN, NAN, NAN, 1.0, -3.0, NAN],
        );
        let [a, b, c] = [60000.0, 7.0, 3.0].map(f16::from_f32);
        pairs(&REMAINDER, &[a], &[b], &[c]);
        pairs(&REMAINDER, &[-1e300], &[3.0], &[-(1e300f64 % 3.0)]);
    }

    #[test]
    fn an_integer_remainder_by_zero_is_an_error() {
        let zero = [vector(&[1i32, 2]), vector(&[1i32, 0])];
        fails(&REMAINDER, &zero, ErrorKind::Numeric, "by zero");
        fails(
            &REMAINDER,
            &[scalar(1u8), scalar(0u8)],
            ErrorKind::Numeric,
            "by zero",
        );
        // 256 is 0 once it is cast to u8.
        let bytes = Op::Remainder {
            dtype: Some(DType::U8),
        };
        fails(
            &bytes,
            &[scalar(1i32), scalar(256i32)],
            ErrorKind::Numeric,
            "by zero",
        );
        // No element takes part.
        gives(
            &REMAINDER,
            &[vector::<i32>(&[]), scalar(0i32)],
            &vector::<i32>(&[]),
        );
    }

    #[test]
    fn integer_powers_wrap() {
        pairs(&POW, &[0u8, 2, 3, 16], &[0, 7, 5, 2], &[1u8, 128, 243, 0]);
        pairs(&POW, &[-2i8, 2, -1], &[7, 7, 127], &[-128i8, -128, -1]);
        pairs(&POW, &[65535u16, 65535], &[2, 3], &[1u16, 65535]);
        // 3^41 − 2^64.
        pairs(
            &POW,
            &[3, u64::MAX],
            &[41, u64::MAX],
            &[18_026_252_303_461_234_787, u64::MAX],
        );
        pairs(
            &POW,
            &[-3i64, i64::MIN],
            &[39, 1],
            &[-4_052_555_153_018_976_267, i64::MIN],
        );
    }

    #[test]
    fn a_negative_integer_exponent_is_an_error() {
        fails(
            &POW,
            &[scalar(2i32), scalar(-1i32)],
            ErrorKind::Numeric,
            "negative",
        );
        gives(&POW, &[scalar(2f32), scalar(-1i32)], &scalar(0.5f32));
        gives(&POW, &[vector::<i8>(&[]), scalar(-1i8)], &vector::<i8>(&[]));
    }

    #[test]
    fn real_powers_have_ieee_special_cases() {
        floats(
            &POW,
            &[NAN, 1.0, 0.0, -0.0, -8.0, -1.0, 2.0, -2.0],
            &[0.0, NAN, -1.0, -3.0, 0.5, INF, -INF, 3.0],
            &[1.0, 1.0, INF, -INF, NAN, 1.0, 0.0, -8.0],
        );
        pairs(
            &POW,
            &[f16::from_f32(2.0)],
            &[f16::from_f32(0.5)],
            &[f16::from_f32(2f32.sqrt())],
        );
        let got = answer(&POW, &[scalar(1.1f32), scalar(100.0f32)]).values::<f32>()[0];
        // 1.1 as an f32 to the 100th.
        assert!(ulps(got, 13780.642) <= 4, "{got}");
    }

    #[test]
    fn complex_powers_are_defined_at_zero() {
        let got = answer(
            &POW,
            &[
                vector(&[[0.0f32, 0.0], [0.0, 0.0], [0.0, 0.0], [2.0, 1.0]]),
                vector(&[[0.0f32, 0.0], [2.0, 1.0], [-1.0, 0.0], [0.0, 0.0]]),
            ],
        )
        .values::<[f32; 2]>();
        assert_eq!(got[0], [1.0, 0.0]);
        assert_eq!(got[1], [0.0, 0.0]);
        assert!(got[2].iter().all(|part| part.is_nan()));
        assert_eq!(got[3], [1.0, 0.0]);
    }

    #[test]
    fn complex_powers_are_exponentials_of_logarithms() {
        // i² = −1 and i^i = e^(−π/2).
        let i = [0.0f32, 1.0];
        let got = answer(&POW, &[vector(&[i, i]), vector(&[[2.0f32, 0.0], i])]);
        let want = [[-1.0, 0.0], [(-std::f32::consts::FRAC_PI_2).exp(), 0.0]];
        for (got, want) in got.values::<[f32; 2]>().iter().zip(want) {
            assert!(
                (got[0] - want[0]).abs() < 1e-6 && (got[1] - want[1]).abs() < 1e-6,
                "{got:?}"
            );
        }
    }
}
