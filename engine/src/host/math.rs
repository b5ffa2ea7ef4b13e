//! Functions of an `f32`, computed in `f64`: what they are off by is far below half a unit of the `f32` that
//! the result is rounded to, once, subnormal numbers and overflow included.
//!
//! They have no branches, so that loops over them become vector code. A sum of so many terms of a series is
//! derived at each: the first term left out, relative to the sum, is below 2⁻³⁵, a thousandth of an `f32`'s
//! half unit.

use super::level::Level;

/// Added and taken away again, it leaves the nearest integer, which then stands in the low bits.
const ROUND: f64 = 1.5 * (1u64 << 52) as f64;

/// Σ terms[i] · xⁱ.
#[inline(always)]
pub(super) fn polynomial<L: Level, const N: usize>(x: f64, terms: [f64; N]) -> f64 {
    let mut sum = terms[N - 1];
    for term in terms[..N - 1].iter().rev() {
        sum = L::fma(sum, x, *term);
    }
    sum
}

/// e^x; beyond ±700, what every `f32` makes of that.
///
/// x = n·ln 2 + r, |r| ≤ ½·ln 2: the first term left out is r¹¹/11! < 2⁻⁴¹, which leaves
/// room for those who take 1 away.
#[inline(always)]
pub(super) fn exp<L: Level>(x: f64) -> f64 {
    const LIMIT: f64 = 700.0;
    let x = if x > LIMIT { LIMIT } else { x };
    let x = if x < -LIMIT { -LIMIT } else { x };
    let shifted = L::fma(x, std::f64::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = L::fma(n, -std::f64::consts::LN_2, x);
    let power = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1.0f64.to_bits()));
    polynomial::<L, 11>(r, EXP) * power
}

/// 1/n!
const EXP: [f64; 11] = {
    let mut terms = [1.0; 11];
    let mut n = 1;
    while n < terms.len() {
        terms[n] = terms[n - 1] / n as f64;
        n += 1;
    }
    terms
};

/// e^x − 1. Near 0 by its series, where the difference has no digits.
#[inline(always)]
pub(super) fn expm1<L: Level>(x: f64) -> f64 {
    let near = x * polynomial::<L, 4>(x, [1.0, 1.0 / 2.0, 1.0 / 6.0, 1.0 / 24.0]);
    let far = exp::<L>(x) - 1.0;
    if x.abs() < 1e-3 { near } else { far }
}

/// ln x of an `f32`, subnormal ones too.
///
/// x = 2ᵉ·m, m from √½ to √2, and ln m = 2·artanh s, s = (m − 1)/(m + 1), |s| < 0.172: the first term left
/// out is s¹⁸/19 of the first, < 2⁻⁵⁰, since powers multiply the error.
#[inline(always)]
pub(super) fn log<L: Level>(x: f64) -> f64 {
    let from_root = x
        .to_bits()
        .wrapping_sub(std::f64::consts::FRAC_1_SQRT_2.to_bits());
    let exponent = ((from_root as i64) >> 52) as u64;
    let m = f64::from_bits(x.to_bits().wrapping_sub(exponent << 52));
    let e = f64::from_bits(exponent.wrapping_add(ROUND.to_bits())) - ROUND;
    let s = (m - 1.0) / (m + 1.0);
    let series = polynomial::<L, 9>(s * s, ARTANH);
    let log = L::fma(e, std::f64::consts::LN_2, s * series);
    let log = if x == f64::INFINITY { x } else { log };
    let log = if x > 0.0 { log } else { f64::NAN };
    if x == 0.0 { f64::NEG_INFINITY } else { log }
}

/// 2/(2n + 1)
const ARTANH: [f64; 9] = {
    let mut terms = [2.0; 9];
    let mut n = 1;
    while n < terms.len() {
        terms[n] = 2.0 / (2 * n + 1) as f64;
        n += 1;
    }
    terms
};

/// ln(1 + x). Near 0 by its series, where 1 + x has lost digits of x.
#[inline(always)]
pub(super) fn log1p<L: Level>(x: f64) -> f64 {
    let near = x * polynomial::<L, 4>(x, [1.0, -1.0 / 2.0, 1.0 / 3.0, -1.0 / 4.0]);
    let far = log::<L>(1.0 + x);
    if x.abs() < 1e-3 { near } else { far }
}

/// 1/(1 + e^−x).
#[inline(always)]
pub(super) fn sigmoid<L: Level>(x: f64) -> f64 {
    1.0 / (1.0 + exp::<L>(-x))
}

/// (e^2x − 1)/(e^2x + 1). Near 0 by its series, where the difference has no digits.
#[inline(always)]
pub(super) fn tanh<L: Level>(x: f64) -> f64 {
    let near = x * L::fma(x * x, -1.0 / 3.0, 1.0);
    let power = exp::<L>(2.0 * x);
    let far = (power - 1.0) / (power + 1.0);
    if x.abs() < 1e-3 { near } else { far }
}

/// (e^x − e^−x)/2. Near 0 by its series, where the difference has no digits.
#[inline(always)]
pub(super) fn sinh<L: Level>(x: f64) -> f64 {
    let near = x * L::fma(x * x, 1.0 / 6.0, 1.0);
    let power = exp::<L>(x);
    let far = (power - 1.0 / power) * 0.5;
    if x.abs() < 1e-3 { near } else { far }
}

/// (e^x + e^−x)/2.
#[inline(always)]
pub(super) fn cosh<L: Level>(x: f64) -> f64 {
    let power = exp::<L>(x);
    (power + 1.0 / power) * 0.5
}

/// Up to 4, where an `f32` is 1, by a quotient of polynomials in x²: fitted to erf(x)/x at 6,000 Chebyshev
/// nodes by least squares whose weights were raised where it was off most, until it was off by 9.4e-10 at
/// most, a 64th of half a unit.
#[inline(always)]
pub(super) fn erf<L: Level>(x: f64) -> f64 {
    let x = if x > 4.0 { 4.0 } else { x };
    let x = if x < -4.0 { -4.0 } else { x };
    let square = x * x;
    x * polynomial::<L, 7>(square, ERF_ABOVE) / polynomial::<L, 7>(square, ERF_BELOW)
}

const ERF_ABOVE: [f64; 7] = [
    1.128379168144974,
    0.16690522230086452,
    0.050938838021895194,
    0.002956106482562015,
    0.0003057669294609128,
    -2.88153698021885e-07,
    -4.4836431296699555e-08,
];

const ERF_BELOW: [f64; 7] = [
    1.0,
    0.4812492741213372,
    0.10555952890206033,
    0.013491603819360256,
    0.0010398922843660396,
    4.100238011518437e-05,
    -6.200204462883913e-07,
];

/// The least magnitude of which [`sin_cos`] is not the sine and the cosine.
pub(super) const TURNS: f32 = 1e6;

/// Sine and cosine of an angle below [`TURNS`].
///
/// x = n·π/2 + r, |r| ≤ π/4, with π/2 in two parts, the first of 33 bits, so that its product with n, below
/// 2²⁰, is exact. The first terms left out are r¹⁵/15! and r¹⁴/14!, < 2⁻⁴⁰.
#[inline(always)]
pub(super) fn sin_cos<L: Level>(x: f64) -> (f64, f64) {
    let shifted = L::fma(x, std::f64::consts::FRAC_2_PI, ROUND);
    let n = shifted - ROUND;
    let r = L::fma(
        n,
        -6.077_100_506_506_192e-11,
        L::fma(n, -1.570_796_326_734_125_6, x),
    );
    let square = r * r;
    let sine = r * polynomial::<L, 7>(square, SINE);
    let cosine = polynomial::<L, 7>(square, COSINE);
    let quarter = shifted.to_bits();
    let (sine, cosine) = match quarter & 1 == 0 {
        true => (sine, cosine),
        false => (cosine, sine),
    };
    let sine = f64::from_bits(sine.to_bits() ^ (quarter & 2) << 62);
    let cosine = f64::from_bits(cosine.to_bits() ^ (quarter.wrapping_add(1) & 2) << 62);
    (sine, cosine)
}

/// (−1)ⁿ/(2n + 1)!
const SINE: [f64; 7] = alternating(1);

/// (−1)ⁿ/(2n)!
const COSINE: [f64; 7] = alternating(0);

const fn alternating(first: usize) -> [f64; 7] {
    let mut terms = [1.0; 7];
    let mut n = 1;
    while n < terms.len() {
        let last = 2 * n + first;
        terms[n] = -terms[n - 1] / (last * (last - 1)) as f64;
        n += 1;
    }
    terms
}

/// |x|^y with the sign that IEEE 754 gives it, of `f32`.
#[inline(always)]
pub(super) fn pow<L: Level>(x: f64, y: f64) -> f64 {
    let magnitude = exp::<L>(y * log::<L>(x.abs()));
    let half = y * 0.5;
    let whole = y.trunc() == y;
    let odd = whole && half.trunc() != half;
    let signed = if odd {
        magnitude.copysign(x)
    } else {
        magnitude
    };
    let no_number = x < 0.0 && x > f64::NEG_INFINITY && !whole;
    let power = if no_number { f64::NAN } else { signed };
    let power = if x == -1.0 && y.abs() == f64::INFINITY {
        1.0
    } else {
        power
    };
    if x == 1.0 || y == 0.0 { 1.0 } else { power }
}

/// What functions of this kind are judged by.
#[cfg(test)]
pub(super) mod judge {
    use super::Level;

    /// Both ways of multiplying and adding: calls do what instructions would.
    pub(crate) struct Fused;
    pub(crate) struct Apart;

    impl Level for Fused {
        const FUSED: bool = true;
    }

    impl Level for Apart {
        const FUSED: bool = false;
    }

    /// Some `f32` of each exponent and both signs.
    pub(crate) fn samples() -> impl Iterator<Item = f64> {
        let step = if cfg!(miri) { 1 << 24 } else { 65_521 };
        let all = (0..u32::MAX).step_by(step).map(f32::from_bits);
        all.filter(|x| x.is_finite()).map(f64::from)
    }

    /// Holds results against the right one, where that is a normal `f32`.
    pub(crate) fn near(at: impl Fn() -> String, ours: [f64; 2], want: f64, share: f64) {
        let size = want.abs();
        if size > f32::MIN_POSITIVE.into() && size < f32::MAX.into() {
            for got in ours {
                let off = (got - want).abs();
                assert!(off <= size * share, "{}: {off:e} of {want:e}", at());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::judge::{Apart, Fused, near, samples};
    use super::*;

    /// What the series promise of a result that is a normal `f32`.
    const SERIES: f64 = 1.0 / (1u64 << 35) as f64;

    fn check(ours: [fn(f64) -> f64; 2], theirs: fn(f64) -> f64, within: std::ops::Range<f64>) {
        for x in samples().filter(|x| within.contains(x)) {
            let ours = ours.map(|ours| ours(x));
            near(|| format!("{x:e}"), ours, theirs(x), SERIES);
        }
    }

    #[test]
    fn functions_are_off_by_less_than_a_thousandth_of_half_a_unit() {
        let all = f64::NEG_INFINITY..f64::INFINITY;
        let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
        let turns = -f64::from(TURNS)..f64::from(TURNS);
        check([exp::<Fused>, exp::<Apart>], f64::exp, all.clone());
        check([expm1::<Fused>, expm1::<Apart>], f64::exp_m1, all.clone());
        check([log::<Fused>, log::<Apart>], f64::ln, 0.0..f64::INFINITY);
        check(
            [log1p::<Fused>, log1p::<Apart>],
            f64::ln_1p,
            -1.0..f64::INFINITY,
        );
        check([sigmoid::<Fused>, sigmoid::<Apart>], logistic, all.clone());
        check([tanh::<Fused>, tanh::<Apart>], f64::tanh, all.clone());
        check([sinh::<Fused>, sinh::<Apart>], f64::sinh, all.clone());
        check([cosh::<Fused>, cosh::<Apart>], f64::cosh, all);
        let sin = [|x| sin_cos::<Fused>(x).0, |x| sin_cos::<Apart>(x).0];
        check(sin, f64::sin, turns.clone());
        let cos = [|x| sin_cos::<Fused>(x).1, |x| sin_cos::<Apart>(x).1];
        check(cos, f64::cos, turns);
    }

    /// The fit's own bound, and no more once it is an `f32`.
    #[test]
    fn erf_is_off_by_a_64th_of_half_a_unit() {
        for x in samples() {
            let (ours, want) = ([erf::<Fused>(x), erf::<Apart>(x)], libm::erf(x));
            match x.abs() < 4.0 {
                true => near(|| format!("{x:e}"), ours, want, 9.4e-10),
                false => assert_eq!(ours.map(|x| x as f32), [want as f32; 2], "{x:e}"),
            }
        }
    }

    #[test]
    fn powers_are_off_by_less_than_a_thousandth_of_half_a_unit() {
        for x in samples().step_by(16) {
            // Exponents that leave a normal number, and whole ones, of which negative numbers have powers.
            let inside = (-120..=120)
                .step_by(8)
                .map(|e| f64::from(e) / x.abs().log2());
            for y in inside.chain((-6..=6).map(f64::from)) {
                let y = f64::from(y as f32);
                let ours = [pow::<Fused>(x, y), pow::<Apart>(x, y)];
                near(|| format!("{x:e}^{y:e}"), ours, x.powf(y), SERIES);
            }
        }
    }

    #[test]
    fn powers_are_of_every_sign_and_end() {
        let ends = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            2.0,
            -2.0,
            0.5,
            -0.5,
            3.0,
            -3.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
        ];
        for x in ends {
            for y in ends {
                let want = x.powf(y) as f32;
                for got in [pow::<Fused>(x, y), pow::<Apart>(x, y)] {
                    let got = got as f32;
                    let same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
                    assert!(same, "{x}^{y} is {want}, not {got}");
                }
            }
        }
    }
}
