//! How far one element is from the one expected.
//!
//! NaN, infinities, zeros and signs come before any distance: numbers that differ in one of them are
//! not near each other, however close they lie. Only where the bound of an accumulated error reaches
//! across zero, or beyond the largest finite value, may such an error have done it.

use emily_oracle::{Magnitude, Of};
use emily_spec::{DType, Tolerance};

use super::{APART, Difference, Rule};
use crate::number::{self, Format};

/// How two elements differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Apart {
    /// By a distance in the tolerance's unit.
    By(f64),
    /// In kind.
    In(Difference),
}

/// What the error of one element is relative to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    of: Of,
    /// What was added up, or the modulus.
    whole: f64,
    /// The same with all that errors may grow by.
    grown: f64,
    /// Whether the sign of a zero is open, of each part.
    open_zeros: [bool; 2],
}

impl Size {
    pub(super) fn at(magnitude: &Magnitude, index: usize, random: bool) -> Size {
        let share = if random { magnitude.random } else { 1.0 };
        Size {
            of: magnitude.of,
            whole: magnitude.sizes[index],
            grown: magnitude.worst[index] * share,
            open_zeros: magnitude.open_zeros.get(index).copied().unwrap_or_default(),
        }
    }
}

pub(super) fn apart(
    dtype: DType,
    rule: Rule<'_>,
    want: u64,
    got: u64,
    size: Option<Size>,
) -> Apart {
    if want == got {
        return Apart::By(0.0);
    }
    let Some(format) = Format::of(dtype) else {
        return Apart::By(integer_distance(dtype, want, got));
    };
    let pairs: &[[u64; 2]] = if dtype.is_complex() {
        let ([want_re, want_im], [got_re, got_im]) = (number::parts(want), number::parts(got));
        let finite = |parts: [u64; 2]| parts.into_iter().all(|part| format.is_finite(part));
        if rule.open_parts && !finite([want_re, want_im]) && !finite([got_re, got_im]) {
            return Apart::By(0.0);
        }
        &[[want_re, got_re], [want_im, got_im]]
    } else {
        &[[want, got]]
    };
    match rule.tolerance {
        Tolerance::Bits => {
            let places = pairs.iter().map(|pair| places(format, pair).max(1.0));
            Apart::By(places.fold(0.0, f64::max))
        }
        Tolerance::Exact | Tolerance::Ulp(_) => in_places(format, rule, pairs),
        Tolerance::Accum(k) => accumulated(format, rule, k, pairs, size),
    }
}

/// In integers a unit in the last place is 1.
fn integer_distance(dtype: DType, want: u64, got: u64) -> f64 {
    match (number::integer(dtype, want), number::integer(dtype, got)) {
        (Some(want), Some(got)) => want.abs_diff(got) as f64,
        _ => APART,
    }
}

/// How many representable values apart the parts are at most, if they are of one kind.
fn in_places(format: Format, rule: Rule<'_>, pairs: &[[u64; 2]]) -> Apart {
    let mut furthest: f64 = 0.0;
    for pair in pairs {
        match difference(format, rule, pair) {
            Some(difference) => return Apart::In(difference),
            None if format.is_nan(pair[0]) || is_zero(format, pair[0]) => {}
            None => furthest = furthest.max(places(format, pair)),
        }
    }
    Apart::By(furthest)
}

fn places(format: Format, &[want, got]: &[u64; 2]) -> f64 {
    format.place(want).abs_diff(format.place(got)) as f64
}

/// How two numbers differ in kind.
fn difference(format: Format, rule: Rule<'_>, &[want, got]: &[u64; 2]) -> Option<Difference> {
    let differ = |is: &dyn Fn(u64) -> bool| is(want) != is(got);
    if differ(&|x| format.is_nan(x)) {
        return Some(Difference::Nan);
    }
    if format.is_nan(want) {
        return None;
    }
    if differ(&|x| format.is_finite(x)) {
        return Some(Difference::Infinite);
    }
    if differ(&|x| is_zero(format, x)) {
        return Some(Difference::Zero);
    }
    let open = rule.open_zero && is_zero(format, want);
    (differ(&|x| x & format.sign() != 0) && !open).then_some(Difference::Sign)
}

fn is_zero(format: Format, x: u64) -> bool {
    x & !format.sign() == 0
}

/// The distance in units of eps · magnitude.
///
/// Where that many units as are allowed reach across zero, they make of a small number one of the
/// other sign or none at all; but zero itself is the sum of what cancels, or of zeros, without an
/// error, and keeps its sign, unless the magnitude says that what it came of was rounded away.
///
/// Where the magnitude is beyond the largest finite value, a partial result may overflow though the
/// result does not ([`overflows`]), and an infinity expected stands for the largest value. A magnitude
/// that is not finite comes of an operand that is not: no such slack.
fn accumulated(
    format: Format,
    rule: Rule<'_>,
    k: f64,
    pairs: &[[u64; 2]],
    size: Option<Size>,
) -> Apart {
    let modulus = |side: usize| {
        let parts = pairs.iter().map(|pair| format.value(pair[side]));
        let parts = parts.filter(|part| !part.is_nan());
        parts.fold(0.0, |sum: f64, part| sum.hypot(part))
    };
    let size = size.unwrap_or_else(|| Size {
        of: Of::Function,
        whole: 0.0,
        grown: modulus(0),
        open_zeros: [false; 2],
    });
    let largest = format.value(format.max());
    // Where something that it came of is NaN, nobody knows how large the rest is.
    let grown = if size.grown.is_nan() {
        modulus(0)
    } else {
        size.grown
    };
    let unit = format.value(format.eps()) * grown;
    let may_overflow = size.whole.is_finite() && size.whole >= largest;
    let mut apart: f64 = 0.0;
    for (pair, open_zero) in pairs.iter().zip(size.open_zeros) {
        let [want, got] = *pair;
        let [value, found] = pair.map(|x| format.value(x));
        let by = match difference(format, rule, pair) {
            None if value == found || format.is_nan(want) => 0.0,
            None => value - found,
            Some(Difference::Sign) if value == 0.0 && open_zero => 0.0,
            Some(Difference::Zero | Difference::Sign)
                if value != 0.0 && format.is_finite(want) && value.abs() <= k * unit =>
            {
                value - found
            }
            // Nothing to something: the distance tells, where there are units to count.
            Some(Difference::Zero) if value == 0.0 && unit > 0.0 => found,
            Some(_)
                if !format.is_finite(got) && overflows(largest, size, k * unit, value, found) =>
            {
                0.0
            }
            Some(Difference::Infinite) if may_overflow && format.is_finite(got) => {
                value.clamp(-largest, largest) - found
            }
            Some(difference) => return Apart::In(difference),
        };
        apart = apart.hypot(by);
    }
    if apart == 0.0 {
        return Apart::By(0.0);
    }
    Apart::By((apart / unit).min(APART))
}

/// Whether partial results of this size may overflow to what was found.
///
/// Terms whose moduli add up to `whole` and that themselves add up to `value` have positive parts of
/// (whole + value) / 2 and negative ones of (whole − value) / 2: a partial sum reaches an infinity only
/// where its sign's do, and NaN, the sum of both infinities, only where both do. A function's modulus
/// overflows to both parts' infinities, each with its part's sign; a part that is smaller than the error
/// that is allowed may have either, if that is beyond the largest.
fn overflows(largest: f64, size: Size, slack: f64, value: f64, found: f64) -> bool {
    if !size.whole.is_finite() {
        return false;
    }
    let value = value.clamp(-largest, largest);
    let up = (size.whole + value) / 2.0 >= largest;
    let down = (size.whole - value) / 2.0 >= largest;
    match size.of {
        Of::Terms if found.is_nan() => up && down,
        Of::Terms if found > 0.0 => up,
        Of::Terms => down,
        Of::Function => {
            let either = slack >= largest && value.abs() <= slack;
            let sign = either || found.is_sign_negative() == (value < 0.0);
            size.whole >= largest && !found.is_nan() && sign
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Comparison, Expected, tensor, values};
    use super::*;

    fn compare(want: &str, got: &str, tolerance: &str) -> Comparison {
        with(None, want, got, tolerance)
    }

    fn with(magnitude: Option<&Magnitude>, want: &str, got: &str, tolerance: &str) -> Comparison {
        let want = tensor(want);
        let expected = Expected {
            tensor: &want,
            magnitude,
        };
        let tolerance: Tolerance = tolerance.parse().unwrap();
        values(expected, &tensor(got), tolerance.into())
    }

    /// Of one element; the errors grow by nothing, and at random by half of it.
    fn sized(of: Of, size: f64) -> Magnitude {
        Magnitude {
            of,
            sizes: vec![size],
            worst: vec![size],
            random: 0.5,
            open_zeros: Vec::new(),
        }
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

    /// However large the tolerance, these differ in kind, and either way round.
    #[track_caller]
    fn differ_in(difference: Difference, left: &str, right: &str) {
        for (want, got) in [(left, right), (right, left)] {
            for tolerance in ["exact", "ulp(4000000000)", "accum(1)"] {
                let comparison = compare(want, got, tolerance);
                let found = comparison.misses.first().and_then(|miss| miss.difference);
                assert_eq!(found, Some(difference), "{want} {got} {tolerance}");
            }
        }
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
        agrees("c64[1] (nan,1)", "c64[1] (#7fc00001,1)", "exact");
        assert_eq!(compare("f32[1] nan", "f32[1] #7fc00001", "bits").worst, 1.0);
        assert_eq!(compare("f32[1] -3", "f32[1] -2", "bits").worst, 4_194_304.0);
    }

    #[test]
    fn a_zero_has_either_sign_in_the_part_where_the_magnitude_says_so() {
        let open = |open_zeros: [bool; 2]| Magnitude {
            open_zeros: vec![open_zeros],
            ..sized(Of::Terms, 1e-40)
        };
        let agree = |parts, want, got| with(Some(&open(parts)), want, got, "accum(1)").agrees();
        assert!(agree([true, false], "f32[1] 0", "f32[1] -0.0"));
        assert!(agree([true, false], "f32[1] -0.0", "f32[1] 0"));
        assert!(!agree([false, false], "f32[1] 0", "f32[1] -0.0"));
        assert!(agree([false, true], "c64[1] (1,0)", "c64[1] (1,-0.0)"));
        assert!(!agree([true, false], "c64[1] (1,0)", "c64[1] (1,-0.0)"));
        assert!(!agree([true, false], "f32[1] 1", "f32[1] -1"));
    }

    #[test]
    fn kinds_come_before_distances() {
        differ_in(Difference::Nan, "f32[1] nan", "f32[1] 1");
        differ_in(Difference::Nan, "f32[1] nan", "f32[1] inf");
        differ_in(Difference::Infinite, "f32[1] max", "f32[1] inf");
        differ_in(Difference::Sign, "f32[1] inf", "f32[1] -inf");
        differ_in(Difference::Sign, "f32[1] 0", "f32[1] -0.0");
        differ_in(Difference::Sign, "f16[1] denorm", "f16[1] -denorm");
        differ_in(Difference::Zero, "bf16[1] denorm", "bf16[1] 0");
        differ_in(Difference::Zero, "f64[1] denorm", "f64[1] -0.0");
        differ_in(Difference::Sign, "c64[1] (1,0)", "c64[1] (1,-0.0)");
    }

    #[test]
    fn the_parts_of_what_is_not_finite_may_be_open() {
        let [want, other, finite] =
            ["c64[1] (inf,0)", "c64[1] (nan,-inf)", "c64[1] (max,0)"].map(tensor);
        let expected = Expected {
            tensor: &want,
            magnitude: None,
        };
        let open = Rule {
            open_parts: true,
            ..Tolerance::Exact.into()
        };
        assert!(!values(expected, &other, Tolerance::Exact.into()).agrees());
        assert!(values(expected, &other, open).agrees());
        assert!(!values(expected, &finite, open).agrees());
    }

    #[test]
    fn within_a_kind_places_are_counted() {
        agrees("f32[1] 1", "f32[1] 0x1.000002p0", "ulp(1)");
        assert_eq!(
            compare("f16[1] denorm", "f16[1] tiny", "ulp(1)").worst,
            1023.0
        );
        assert_eq!(
            compare("u64[1] max", "u64[1] 0", "exact").worst,
            u64::MAX as f64
        );
        assert_eq!(compare("s8[1] -1", "s8[1] 1", "exact").worst, 2.0);
    }

    #[test]
    fn a_zero_whose_sign_is_open_has_either() {
        let want = tensor("c64[1] (1,0)");
        let expected = Expected {
            tensor: &want,
            magnitude: None,
        };
        let got = tensor("c64[1] (1,-0.0)");
        for tolerance in [Tolerance::Exact, Tolerance::Ulp(1), Tolerance::Accum(1.0)] {
            let rule = Rule::from(tolerance);
            assert!(!values(expected, &got, rule).agrees());
            let open_zero = true;
            assert!(values(expected, &got, Rule { open_zero, ..rule }).agrees());
        }
    }

    #[test]
    fn what_is_forgiven_is_noted() {
        let want = tensor("f32[3] 0 1 2");
        let expected = Expected {
            tensor: &want,
            magnitude: None,
        };
        let rule = Rule {
            forgiven: &[Difference::Sign],
            ..Rule::from(Tolerance::Exact)
        };
        let lost = values(expected, &tensor("f32[3] -0.0 1 2"), rule);
        assert!(lost.agrees());
        assert_eq!(lost.forgiven, [Difference::Sign]);
        assert!(values(expected, &want, rule).forgiven.is_empty());
        assert!(!values(expected, &tensor("f32[3] -0.0 1 0"), rule).agrees());
    }

    #[test]
    fn accumulation_is_relative_to_the_magnitude() {
        let eight = sized(Of::Terms, 8.0);
        let with = |got: &str| with(Some(&eight), "f32[1] 0", got, "accum(1)");
        assert_eq!(with("f32[1] 0x1p-20").worst, 1.0);
        assert!(with("f32[1] -0x1p-20").agrees());
        assert!(!with("f32[1] 0x1.8p-20").agrees());
        agrees("c64[1] (1,0)", "c64[1] (1,0x1p-23)", "accum(1)");
        agrees("c64[1] (nan,1)", "c64[1] (nan,0x1.000002p+0)", "accum(1)");
        differs("c64[1] (nan,1)", "c64[1] (nan,0x1.000006p+0)", "accum(1)");
        differs("c64[1] (1,0)", "c64[1] (1,0x1p-21)", "accum(1)");
    }

    #[test]
    fn operands_drawn_at_random_allow_their_share() {
        let eight = sized(Of::Terms, 8.0);
        let want = tensor("f32[1] 1");
        let expected = Expected {
            tensor: &want,
            magnitude: Some(&eight),
        };
        let rule = Rule::from(Tolerance::Accum(1.0));
        let got = tensor("f32[1] 0x1.000008p0");
        assert_eq!(values(expected, &got, rule).worst, 0.5);
        let random = true;
        assert_eq!(values(expected, &got, Rule { random, ..rule }).worst, 1.0);
    }

    #[test]
    fn a_sign_is_judged_where_the_bound_keeps_away_from_zero() {
        let size = sized(Of::Terms, 1.0);
        let agree = |want, got| with(Some(&size), want, got, "accum(2)").agrees();
        // Two units are 2^-22: they make of a smaller number one of the other sign, or none.
        assert!(agree("f32[1] 0x1p-23", "f32[1] -0x1p-23"));
        assert!(agree("f32[1] 0x1p-23", "f32[1] -0.0"));
        assert!(agree("f32[1] -0x1p-22", "f32[1] 0"));
        assert!(!agree("f32[1] 0x1p-23", "f32[1] -0x1p-22"));
        assert!(!agree("f32[1] 0x1p-21", "f32[1] 0"));
        // What cancels exactly has no error.
        assert!(!agree("f32[1] 0", "f32[1] -0.0"));
        assert!(agree("f32[1] 0", "f32[1] -0x1p-23"));
        let nothing = sized(Of::Terms, 0.0);
        assert!(!with(Some(&nothing), "f32[1] 0", "f32[1] denorm", "accum(2)").agrees());
    }

    #[test]
    fn partial_sums_may_overflow_where_the_magnitude_says_so() {
        let with = |magnitude: f64, want: &str, got: &str| {
            let size = sized(Of::Terms, magnitude);
            with(Some(&size), want, got, "accum(2)").agrees()
        };
        assert!(with(131_008.0, "f16[1] 65504", "f16[1] inf"));
        assert!(with(131_008.0, "f16[1] inf", "f16[1] 65472"));
        assert!(!with(131_008.0, "f16[1] inf", "f16[1] 60000"));
        assert!(!with(1000.0, "f16[1] 65504", "f16[1] inf"));
        assert!(!with(f64::INFINITY, "f16[1] inf", "f16[1] 65504"));
        assert!(!with(f64::INFINITY, "f16[1] 1", "f16[1] inf"));
    }

    #[test]
    fn a_sum_overflows_to_the_sign_of_terms_that_do() {
        let agree = |magnitude: f64, want: &str, got: &str| {
            let size = sized(Of::Terms, magnitude);
            with(Some(&size), want, got, "accum(2)").agrees()
        };
        // 300 · 300 has no other terms that could have made it anything else.
        assert!(!agree(90_000.0, "f16[1] inf", "f16[1] -inf"));
        assert!(!agree(90_000.0, "f16[1] inf", "f16[1] nan"));
        // Terms of 65504 and −65504, twice each.
        for got in ["f16[1] inf", "f16[1] -inf", "f16[1] nan"] {
            assert!(agree(262_016.0, "f16[1] 0", got));
        }
    }

    #[test]
    fn a_functions_parts_overflow_to_their_own_infinities() {
        let large = sized(Of::Function, 1e39);
        let agree = |want, got| with(Some(&large), want, got, "accum(2)").agrees();
        assert!(agree("c64[1] (-3e38,inf)", "c64[1] (-inf,inf)"));
        assert!(!agree("c64[1] (-3e38,inf)", "c64[1] (inf,inf)"));
        assert!(!agree("c64[1] (-3e38,inf)", "c64[1] (nan,inf)"));
    }
}
