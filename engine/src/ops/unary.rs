//! Element-wise operations on one operand.

use emily_spec::{Class, TensorType};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::select;

use super::cast::operand;
use super::float::{widened, with_sign_of};
use super::{Cx, erfc as special, float};
use crate::mlx::{dtype_of, real};

/// Halves away from zero, a zero result having the operand's sign; MLX rounds halves to even.
///
/// The fraction of a magnitude is exact, where adding a half would round.
pub(super) fn round(x: &Array) -> Result<Array> {
    let constant = |value: f64| real(dtype_of(x), value);
    let magnitude = x.abs()?;
    let floor = magnitude.floor()?;
    let up = magnitude.subtract(&floor)?.ge(constant(0.5))?;
    let rounded = select(up, floor.add(constant(1.0))?, &floor)?;
    with_sign_of(&rounded, x)
}

/// e^x; `f16` and `bf16` by way of `f32`.
pub(super) fn exp(x: &Array, ty: &TensorType, cx: &Cx) -> Result<Array> {
    let x = operand(x, ty.dtype)?;
    match ty.dtype.class() {
        Class::Complex => x.exp(),
        Class::Unsigned | Class::Signed | Class::Float => real_function(&x, |x| float::exp(x, cx)),
    }
}

/// 1 − erf(x); `f16` and `bf16` by way of `f32`.
pub(super) fn erfc(x: &Array, ty: &TensorType, cx: &Cx) -> Result<Array> {
    let x = operand(x, ty.dtype)?;
    real_function(&x, |x| special::erfc(x, cx))
}

/// A function of `f32` and `f64` on any real float.
fn real_function(x: &Array, f: impl Fn(&Array) -> Result<Array>) -> Result<Array> {
    f(&widened(x)?)?.as_dtype(x.dtype())
}

#[cfg(test)]
mod tests {
    use emily_spec::Op;
    use half::{bf16, f16};

    use super::super::testing::{Element, answer, gives, scalar, ulps, vector};

    const NAN: f32 = f32::NAN;
    const INF: f32 = f32::INFINITY;

    fn rounds<T: Element>(from: &[T], to: &[T]) {
        gives(&Op::Round, &[vector(from)], &vector(to));
    }

    #[test]
    fn halves_round_away_from_zero() {
        rounds(
            &[-2.5f32, -1.5, -0.5, 0.5, 1.5, 2.5],
            &[-3.0, -2.0, -1.0, 1.0, 2.0, 3.0],
        );
        rounds(&[-2.5f64, 0.5], &[-3.0, 1.0]);
        rounds(
            &[-2.5, 0.5].map(f16::from_f32),
            &[-3.0, 1.0].map(f16::from_f32),
        );
        rounds(
            &[-2.5, 0.5].map(bf16::from_f32),
            &[-3.0, 1.0].map(bf16::from_f32),
        );
    }

    #[test]
    fn zeros_keep_the_operands_sign() {
        rounds(&[-0.4f32, -0.0, 0.0, 0.4], &[-0.0, -0.0, 0.0, 0.0]);
    }

    #[test]
    fn rounding_is_exact_next_to_a_half_and_without_fraction() {
        let below = 0.499_999_97f32;
        rounds(&[below, -below, 8_388_607.5], &[0.0, -0.0, 8_388_608.0]);
        rounds(
            &[8_388_609f32, 16_777_217.0, f32::MAX],
            &[8_388_609.0, 16_777_217.0, f32::MAX],
        );
        rounds(
            &[0.499_999_999_999_999_94f64, 4_503_599_627_370_497.0],
            &[0.0, 4_503_599_627_370_497.0],
        );
        rounds(&[INF, -INF], &[INF, -INF]);
        let nan = answer(&Op::Round, &[scalar(NAN)]).values::<f32>()[0];
        assert!(nan.is_nan());
    }

    /// Values of e^x and erfc(x) at f32s, to 17 digits, from 40-digit arithmetic.
    fn near(op: &Op, table: &[(f32, f64)], allowed: u32) {
        let (x, want): (Vec<_>, Vec<_>) = table.iter().copied().unzip();
        let got = answer(op, &[vector(&x)]).values::<f32>();
        for ((x, want), got) in x.iter().zip(want).zip(got) {
            assert!(
                ulps(got, want as f32) <= allowed,
                "{op:?} of {x}: {got}, not {want}"
            );
        }
    }

    #[test]
    fn exponentials_reach_both_ends_of_the_range() {
        near(
            &Op::Exp,
            &[
                (0.0, 1.0),
                (-0.0, 1.0),
                (1.0, std::f64::consts::E),
                (-1.0, 0.367_879_441_171_442_33),
                (88.0, 1.651_636_254_994_001_9e38),
                (88.722_84, f64::INFINITY),
                (-87.5, 9.982_350_930_569_248e-39),
                (-100.0, 3.720_075_976_020_836e-44),
                (-104.0, 0.0),
                (INF, f64::INFINITY),
                (-INF, 0.0),
                (NAN, f64::NAN),
            ],
            4,
        );
    }

    #[test]
    fn small_floats_and_integers_go_through_f32() {
        let got = answer(
            &Op::Exp,
            &[vector(&[1.0f32, 11.0, -17.5].map(f16::from_f32))],
        );
        let want = [1.0f32, 11.0, -17.5].map(|x| f16::from_f32(x.exp()));
        assert_eq!(got.values::<f16>(), want);
        gives(
            &Op::Exp,
            &[vector(&[0i32, 1])],
            &vector(&[1.0f32, std::f32::consts::E]),
        );
    }

    #[test]
    fn doubles_keep_their_digits() {
        let x = [
            1.0f64, -1.0, 700.0, -700.0, 1e-10, 709.7, -740.0, 710.0, -746.0,
        ];
        let got = answer(&Op::Exp, &[vector(&x)]).values::<f64>();
        for (x, got) in x.iter().zip(got) {
            let want = x.exp();
            let distance = got.to_bits().abs_diff(want.to_bits());
            assert!(distance <= 4, "{x}: {got}, not {want}");
        }
        let ends = answer(
            &Op::Exp,
            &[vector(&[f64::INFINITY, f64::NEG_INFINITY, f64::NAN])],
        );
        let ends = ends.values::<f64>();
        assert_eq!(ends[..2], [f64::INFINITY, 0.0]);
        assert!(ends[2].is_nan());
    }

    #[test]
    fn complex_exponentials_have_special_cases() {
        let z = [
            [0.0f32, std::f32::consts::PI],
            [-INF, NAN],
            [INF, 0.0],
            [0.0, 0.0],
        ];
        let got = answer(&Op::Exp, &[vector(&z)]).values::<[f32; 2]>();
        assert!((got[0][0] + 1.0).abs() < 1e-6 && got[0][1].abs() < 1e-6);
        assert_eq!(got[1].map(f32::abs), [0.0, 0.0]);
        assert_eq!(got[2], [INF, 0.0]);
        assert_eq!(got[3], [1.0, 0.0]);
    }

    #[test]
    fn erfc_is_accurate_where_one_minus_erf_is_not() {
        near(
            &Op::Erfc,
            &[
                (0.0, 1.0),
                (0.5, 0.479_500_122_186_953_5),
                (1.0, 0.157_299_207_050_285_13),
                (2.0, 0.004_677_734_981_047_266),
                (4.0, 1.541_725_790_028_002e-8),
                (6.0, 2.151_973_671_249_891_3e-17),
                (9.0, 4.137_031_746_513_81e-37),
                (-0.5, 1.520_499_877_813_046_5),
                (-2.0, 1.995_322_265_018_952_7),
                (-9.0, 2.0),
                (11.0, 0.0),
                (INF, 0.0),
                (-INF, 2.0),
                (NAN, f64::NAN),
            ],
            8,
        );
    }

    #[test]
    fn erfc_of_other_dtypes() {
        gives(
            &Op::Erfc,
            &[vector(&[0i32, 30, -30])],
            &vector(&[1.0f32, 0.0, 2.0]),
        );
        let got = answer(&Op::Erfc, &[scalar(f16::from_f32(1.0))]).values::<f16>();
        assert_eq!(got, [f16::from_f64(0.157_299_207_050_285_13)]);
        let x = [5.0f64, 20.0, -1.0, 27.0];
        let want = [
            1.537_459_794_428_035e-12,
            5.395_865_611_607_901e-176,
            1.842_700_792_949_715,
            5.237_05e-319,
        ];
        let got = answer(&Op::Erfc, &[vector(&x)]).values::<f64>();
        for (got, want) in got.iter().zip(want) {
            assert!(
                got.to_bits().abs_diff(f64::to_bits(want)) <= 8,
                "{got} {want}"
            );
        }
    }
}
