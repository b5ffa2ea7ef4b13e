//! The only place that compares floats.
//!
//! Dtype and shape come first; then every element, in the result's own dtype, within a
//! [`Tolerance`]; or a decomposition's residuals, in f64. Distances are counted in the tolerance's
//! unit, so that worst and allowed can stand side by side.

use emily_spec::{DType, Promise, Tensor, TensorType, Tolerance};

use crate::number::{self, Format};

/// The distance of values that are no distance apart, as NaN and 1.
pub const APART: f64 = f64::MAX;

/// The misses that a comparison keeps.
const KEPT: usize = 8;

/// What an answer is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The answer.
    pub tensor: &'a Tensor,
    /// Per element, what [`Tolerance::Accum`] is relative to; the answer's own size when absent.
    pub magnitude: Option<&'a [f64]>,
}

/// The distance allowed, in words and as a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Allowed {
    /// The tolerance's text, `ulp(4)`.
    pub text: String,
    /// The largest distance.
    pub distance: f64,
    /// What the distance counts.
    pub unit: &'static str,
}

/// One element outside the tolerance.
#[derive(Clone, Debug, PartialEq)]
pub struct Miss {
    /// Its row-major place.
    pub index: usize,
    /// The bits expected.
    pub expected: u64,
    /// The bits found.
    pub actual: u64,
    /// How far apart they are.
    pub distance: f64,
}

/// The outcome of one comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The values compared.
    pub checked: u64,
    /// Those outside the tolerance.
    pub outside: u64,
    /// The largest distance seen.
    pub worst: f64,
    /// The distance allowed.
    pub allowed: Allowed,
    /// The first misses.
    pub misses: Vec<Miss>,
    /// What is wrong besides single elements: the type, or a broken promise.
    pub broken: Option<String>,
}

impl Comparison {
    /// True when nothing lies outside the tolerance.
    pub fn agrees(&self) -> bool {
        self.outside == 0 && self.broken.is_none()
    }

    /// One value that is as it should be, where no distance can be measured.
    pub fn agreed() -> Comparison {
        Comparison {
            checked: 1,
            ..Comparison::new(Allowed::of(Tolerance::Exact))
        }
    }

    /// One value that is wrong in a way that no distance measures.
    pub fn broken(message: impl Into<String>) -> Comparison {
        Comparison::agreed().breaking(message.into())
    }

    fn new(allowed: Allowed) -> Comparison {
        Comparison {
            checked: 0,
            outside: 0,
            worst: 0.0,
            allowed,
            misses: Vec::new(),
            broken: None,
        }
    }

    /// Counts an element, and keeps it where it is too far from what was expected.
    fn count(&mut self, element: Miss) {
        self.checked += 1;
        self.worst = self.worst.max(element.distance);
        if element.distance > self.allowed.distance {
            self.outside += 1;
            if self.misses.len() < KEPT {
                self.misses.push(element);
            }
        }
    }

    /// This comparison, wrong besides single elements.
    fn breaking(self, message: String) -> Comparison {
        Comparison {
            worst: APART,
            broken: Some(message),
            ..self
        }
    }
}

impl Allowed {
    /// What a tolerance allows.
    pub fn of(tolerance: Tolerance) -> Allowed {
        let (distance, unit) = match tolerance {
            Tolerance::Bits | Tolerance::Exact => (0.0, "ulp"),
            Tolerance::Ulp(n) => (f64::from(n), "ulp"),
            Tolerance::Accum(k) => (k, "accum"),
        };
        Allowed {
            text: tolerance.to_string(),
            distance,
            unit,
        }
    }
}

/// Compares an answer with the expected one.
pub fn values(expected: Expected<'_>, actual: &Tensor, tolerance: Tolerance) -> Comparison {
    let mut comparison = Comparison::new(Allowed::of(tolerance));
    let want = expected.tensor;
    if want.ty() != actual.ty() {
        let message = format!("the result is {}, expected {}", actual.ty(), want.ty());
        return comparison.breaking(message);
    }
    let dtype = want.dtype();
    let pairs = number::elements(want).zip(number::elements(actual));
    for (index, (want, got)) in pairs.enumerate() {
        let magnitude = expected.magnitude.map(|all| all[index]);
        comparison.count(Miss {
            index,
            expected: want,
            actual: got,
            distance: distance(dtype, tolerance, want, got, magnitude),
        });
    }
    comparison
}

fn distance(
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

/// Compares a gradient with the slopes that finite differences give, element by element, in units of
/// f32's eps times the largest of them; a gradient is as large as the operand `of`.
///
/// Differences cannot tell a slope below 10⁻³ to f32's digits from their own rounding, so none counts
/// as smaller.
pub fn gradient(of: &TensorType, slopes: &[f64], actual: &Tensor, eps: f64) -> Comparison {
    let allowed = Allowed {
        text: format!("eps({eps})"),
        distance: eps,
        unit: "eps",
    };
    let mut comparison = Comparison::new(allowed);
    let Some(format) = Format::of(actual.dtype()).filter(|_| of == actual.ty()) else {
        return comparison.breaking(format!("the gradient is {}, expected {of}", actual.ty()));
    };
    let largest = slopes
        .iter()
        .fold(1e-3, |max: f64, slope| max.max(slope.abs()));
    let unit = f64::from(f32::EPSILON) * largest;
    for (index, (&want, got)) in slopes.iter().zip(number::elements(actual)).enumerate() {
        let distance = match (format.value(got) - want).abs() / unit {
            distance if distance.is_nan() => APART,
            distance => distance,
        };
        comparison.count(Miss {
            index,
            expected: format.nearest(want),
            actual: got,
            distance,
        });
    }
    comparison
}

/// Checks what a decomposition of `input` promises, in units of eps · dimension · norm.
pub fn promise(promise: Promise, k: f64, input: &Tensor, results: &[Tensor]) -> Comparison {
    let allowed = Allowed {
        text: format!("residual({k})"),
        distance: k,
        unit: "residual",
    };
    let mut comparison = Comparison::new(allowed);
    let outcome = match promise {
        Promise::Qr => qr(input, results, &mut comparison),
    };
    match outcome {
        Ok(()) => comparison,
        Err(message) => comparison.breaking(message),
    }
}

/// A = Q·R, Qᵀ·Q = I, R upper triangular, for each matrix of the batch.
fn qr(input: &Tensor, results: &[Tensor], comparison: &mut Comparison) -> Result<(), String> {
    let [q, r] = results else {
        return Err(format!("qr gives 2 results, got {}", results.len()));
    };
    let (m, n) = last_two(input)?;
    let (_, k) = last_two(q)?;
    let eps = Format::of(q.dtype()).map_or(0.0, |format| format.value(format.eps()));
    let dimension = m.max(n) as f64;
    comparison.checked =
        (q.bytes().len() / q.dtype().size() + r.bytes().len() / r.dtype().size()) as u64;
    let [a, q, r] = [input, q, r].map(as_f64);
    let matrices = a.chunks(m * n).zip(q.chunks(m * k)).zip(r.chunks(k * n));
    for (batch, ((a, q), r)) in matrices.enumerate() {
        let below = (0..k).flat_map(|i| (0..n.min(i)).map(move |j| (i, j)));
        if let Some((i, j)) = below.into_iter().find(|&(i, j)| r[i * n + j] != 0.0) {
            return Err(format!(
                "R is not upper triangular at [{i},{j}] of matrix {batch}"
            ));
        }
        let product = |i: usize, j: usize| (0..k).map(|l| q[i * k + l] * r[l * n + j]).sum::<f64>();
        let gram = |i: usize, j: usize| (0..m).map(|l| q[l * k + i] * q[l * k + j]).sum::<f64>();
        let identity = |i: usize, j: usize| if i == j { 1.0 } else { 0.0 };
        let residuals = [
            (
                "A − Q·R",
                norm(m, n, |i, j| a[i * n + j] - product(i, j)),
                norm(m, n, |i, j| a[i * n + j]),
            ),
            (
                "QᵀQ − I",
                norm(k, k, |i, j| gram(i, j) - identity(i, j)),
                (k as f64).sqrt(),
            ),
        ];
        for (name, residual, scale) in residuals {
            let unit = (eps * dimension * scale).max(f64::MIN_POSITIVE);
            let units = if residual == 0.0 {
                0.0
            } else {
                residual / unit
            };
            // A NaN is no residual at all.
            let units = if units.is_nan() {
                APART
            } else {
                units.min(APART)
            };
            comparison.worst = comparison.worst.max(units);
            if units > comparison.allowed.distance && comparison.broken.is_none() {
                comparison.broken = Some(format!("‖{name}‖ of matrix {batch} is {residual:.3e}"));
            }
        }
    }
    Ok(())
}

fn norm(rows: usize, columns: usize, at: impl Fn(usize, usize) -> f64) -> f64 {
    let places = (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j)));
    places.map(|(i, j)| at(i, j).powi(2)).sum::<f64>().sqrt()
}

fn last_two(tensor: &Tensor) -> Result<(usize, usize), String> {
    match tensor.shape().split_last_chunk::<2>() {
        Some((_, &[m, n])) if m > 0 && n > 0 => Ok((m, n)),
        _ => Err(format!("{} is not a matrix", tensor.ty())),
    }
}

fn as_f64(tensor: &Tensor) -> Vec<f64> {
    let dtype = tensor.dtype();
    let value = |element: u64| match (Format::of(dtype), number::integer(dtype, element)) {
        (Some(format), _) => format.value(element),
        (None, integer) => integer.unwrap_or(0) as f64,
    };
    number::elements(tensor).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::literal::Literal;

    fn tensor(text: &str) -> Tensor {
        let literal = Literal::parse(text).unwrap();
        literal.at(literal.ty().dtype).unwrap()
    }

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
    fn gradients_are_judged_by_the_largest_slope() {
        let judged = |slopes: &[f64], got: &str| {
            let got = tensor(got);
            gradient(got.ty(), slopes, &got, 2.0)
        };
        assert_eq!(judged(&[1.0, 4.0], "f32[2] 0x1.000008p0 4").worst, 1.0);
        assert!(!judged(&[1.0, 1.0], "f32[2] 0x1.000008p0 1").agrees());
        assert!(judged(&[1e-13], "f32[1] 0").agrees());
        assert!(!judged(&[0.0], "f32[1] nan").agrees());
        let narrow = tensor("f16[1] 1");
        let f32 = TensorType::new(DType::F32, [1]);
        assert!(gradient(&f32, &[1.0], &narrow, 2.0).broken.is_some());
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

    #[test]
    fn a_decomposition_is_judged_by_what_it_promises() {
        let a = tensor("f32[2,2] 3 1 4 2");
        let judge = |q: &str, r: &str| promise(Promise::Qr, 8.0, &a, &[tensor(q), tensor(r)]);
        let q = "f32[2,2] 0.6 -0.8 0.8 0.6";
        assert!(judge(q, "f32[2,2] 5 2.2 0 0.4").agrees());
        // The signs of a column of Q and a row of R may both turn.
        assert!(judge("f32[2,2] -0.6 -0.8 -0.8 0.6", "f32[2,2] -5 -2.2 0 0.4").agrees());
        assert!(
            judge(q, "f32[2,2] 5 2.2 0 0.5")
                .broken
                .unwrap()
                .contains("A − Q·R")
        );
        assert!(
            judge(q, "f32[2,2] 5 2.2 1e-9 0.4")
                .broken
                .unwrap()
                .contains("triangular")
        );
        assert!(
            judge("f32[2,2] 1.2 0 1.6 0", "f32[2,2] 2.5 1.1 0 0")
                .broken
                .is_some()
        );
        assert!(
            judge("f32[2,2] *nan", "f32[2,2] nan nan 0 nan")
                .broken
                .is_some()
        );
    }
}
