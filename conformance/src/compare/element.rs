//! How far one element is from the one expected.

use emily_spec::{DType, Tolerance};

use super::APART;
use crate::number::{self, Format};

/// The distance in the tolerance's unit.
pub(super) fn distance(
    dtype: DType,
    tolerance: Tolerance,
    want: u64,
    got: u64,
    magnitude: Option<f64>,
) -> f64 {
    if want == got {
        return 0.0;
    }
    let Some(format) = Format::of(dtype) else {
        return integer_distance(dtype, want, got);
    };
    let pairs: &[[u64; 2]] = if dtype.is_complex() {
        let ([want_re, want_im], [got_re, got_im]) = (number::parts(want), number::parts(got));
        &[[want_re, got_re], [want_im, got_im]]
    } else {
        &[[want, got]]
    };
    match tolerance {
        Tolerance::Bits => pairs
            .iter()
            .map(|p| places(format, p).max(1.0))
            .fold(0.0, f64::max),
        Tolerance::Exact | Tolerance::Ulp(_) => pairs
            .iter()
            .map(|pair| float_places(format, pair))
            .fold(0.0, f64::max),
        Tolerance::Accum(_) => accumulated(format, pairs, magnitude),
    }
}

/// In integers a unit in the last place is 1.
fn integer_distance(dtype: DType, want: u64, got: u64) -> f64 {
    match (number::integer(dtype, want), number::integer(dtype, got)) {
        (Some(want), Some(got)) => want.abs_diff(got) as f64,
        _ => APART,
    }
}

/// How many representable values apart; 0 for two NaNs, 1 for the two zeros.
fn float_places(format: Format, &[want, got]: &[u64; 2]) -> f64 {
    match (format.is_nan(want), format.is_nan(got)) {
        (true, true) => 0.0,
        (false, false) => places(format, &[want, got]),
        (true, false) | (false, true) => APART,
    }
}

fn places(format: Format, &[want, got]: &[u64; 2]) -> f64 {
    format.place(want).abs_diff(format.place(got)) as f64
}

/// The distance in units of eps · magnitude.
///
/// Below the normal range a rounding is half the smallest value, whatever the magnitude. Where the
/// magnitude is beyond the largest finite value, a partial sum may overflow though the sum does
/// not: infinities and NaNs are then within the bound, and an infinity expected stands for the
/// largest value. A magnitude that is not finite comes of an operand that is not: no such slack.
fn accumulated(format: Format, pairs: &[[u64; 2]], magnitude: Option<f64>) -> f64 {
    let modulus = |side: usize| {
        let parts = pairs.iter().map(|pair| format.value(pair[side]));
        parts.fold(0.0, |sum: f64, part| sum.hypot(part))
    };
    let magnitude = magnitude.unwrap_or_else(|| modulus(0));
    let largest = format.value(format.max());
    let may_overflow = magnitude.is_finite() && magnitude >= largest;
    let mut apart: f64 = 0.0;
    for &[want, got] in pairs {
        let difference = match (format.is_finite(want), format.is_finite(got)) {
            (true, true) => format.value(want) - format.value(got),
            (_, false) if may_overflow => 0.0,
            (false, true) if may_overflow && !format.is_nan(want) => {
                format.value(want).clamp(-largest, largest) - format.value(got)
            }
            _ if float_places(format, &[want, got]) == 0.0 => 0.0,
            _ => return APART,
        };
        apart = apart.hypot(difference);
    }
    let unit = (format.value(format.eps()) * magnitude).max(format.value(1));
    (apart / unit).min(APART)
}

#[cfg(test)]
mod tests {
    use super::super::{Comparison, Expected, tensor, values};
    use super::*;

    fn compare(want: &str, got: &str, tolerance: &str) -> Comparison {
        let want = tensor(want);
        let expected = Expected {
            tensor: &want,
            magnitude: None,
        };
        values(expected, &tensor(got), tolerance.parse().unwrap())
    }

    #[track_caller]
    fn agrees(want: &str, got: &str, tolerance: &str) {
        let comparison = compare(want, got, tolerance);
        assert!(comparison.agrees(), "{comparison:?}");
    }

    #[track_caller]
    fn differs(want: &str, got: &str, tolerance: &str) {
        let comparison = compare(want, got, tolerance);
        assert!(!comparison.agrees(), "{comparison:?}");
    }

    #[test]
    fn types_come_first() {
        for got in ["f32[1] 1", "f16[2] 1 1", "f32[2,1] 1 1"] {
            let comparison = compare("f32[2] 1 1", got, "ulp(9)");
            assert!(comparison.broken.is_some());
        }
    }

    #[test]
    fn bits_see_payloads_and_exact_does_not() {
        differs("f32[1] nan", "f32[1] #7fc00001", "bits");
        agrees("f32[1] nan", "f32[1] #ffc00001", "exact");
        differs("f32[1] 0", "f32[1] -0.0", "exact");
        differs("f32[1] nan", "f32[1] 1", "ulp(4000000)");
        agrees("c64[1] (nan,1)", "c64[1] (#7fc00001,1)", "exact");
        differs("c64[1] (1,0)", "c64[1] (1,-0.0)", "exact");
        assert_eq!(compare("f32[1] nan", "f32[1] #7fc00001", "bits").worst, 1.0);
    }

    #[test]
    fn ulps_are_counted_across_zero_and_infinity() {
        agrees("f32[1] max", "f32[1] inf", "ulp(1)");
        assert_eq!(
            compare("f16[1] -denorm", "f16[1] denorm", "ulp(1)").worst,
            3.0
        );
        assert_eq!(compare("f32[1] -3", "f32[1] -2", "bits").worst, 4_194_304.0);
        assert_eq!(
            compare("u64[1] max", "u64[1] 0", "exact").worst,
            u64::MAX as f64
        );
        assert_eq!(compare("s8[1] -1", "s8[1] 1", "exact").worst, 2.0);
    }

    #[test]
    fn accumulation_is_relative_to_the_magnitude() {
        let want = tensor("f32[1] 0");
        let expected = Expected {
            tensor: &want,
            magnitude: Some(&[8.0]),
        };
        let got = tensor("f32[1] 0x1p-20");
        assert_eq!(values(expected, &got, Tolerance::Accum(1.0)).worst, 1.0);
        differs("f32[1] 0", "f32[1] 0x1p-20", "accum(1)");
        agrees("f32[1] 0", "f32[1] denorm", "accum(1)");
        differs("f32[1] nan", "f32[1] 1", "accum(1)");
        differs("f32[1] inf", "f32[1] max", "accum(1)");
        agrees("c64[1] (1,0)", "c64[1] (1,0x1p-23)", "accum(1)");
        differs("c64[1] (1,0)", "c64[1] (1,0x1p-21)", "accum(1)");
    }

    #[test]
    fn partial_sums_may_overflow_where_the_magnitude_says_so() {
        let with = |magnitude: f64, want: &str, got: &str| {
            let want = tensor(want);
            let expected = Expected {
                tensor: &want,
                magnitude: Some(&[magnitude]),
            };
            values(expected, &tensor(got), Tolerance::Accum(2.0)).agrees()
        };
        assert!(with(131_008.0, "f16[1] 65504", "f16[1] inf"));
        assert!(with(131_008.0, "f16[1] inf", "f16[1] 65472"));
        assert!(!with(131_008.0, "f16[1] inf", "f16[1] 60000"));
        assert!(!with(1000.0, "f16[1] 65504", "f16[1] inf"));
        assert!(!with(f64::INFINITY, "f16[1] inf", "f16[1] 65504"));
        assert!(!with(f64::INFINITY, "f16[1] 1", "f16[1] inf"));
    }
}
