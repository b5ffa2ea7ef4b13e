//! Functions of complex numbers in `f64`, with C's Annex G for infinities, NaN and branch cuts.
//!
//! Operands are `f32` parts, whose squares neither overflow nor vanish here. The inverse functions
//! are Kahan's, "Branch cuts for complex elementary functions" (1987): out of roots of 1 ± z, which
//! keep both parts' digits and take a cut's side from the sign of a zero.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

use num_complex::Complex;

type C = Complex<f64>;

const NAN: C = C::new(f64::NAN, f64::NAN);

/// i·z.
fn times_i(z: C) -> C {
    C::new(-z.im, z.re)
}

/// z / i.
fn over_i(z: C) -> C {
    C::new(z.im, -z.re)
}

/// e^z. On the real line it stays there, also where e^re is infinite.
pub(super) fn exp(z: C) -> C {
    if z.im == 0.0 {
        return C::new(z.re.exp(), z.im);
    }
    z.exp()
}

/// e^z − 1, whose real part is (e^re − 1)·cos im − 2·sin²(im / 2).
pub(super) fn expm1(z: C) -> C {
    let power = exp(z);
    if !z.re.is_finite() || z.re > 700.0 {
        return power - 1.0;
    }
    let half = (z.im / 2.0).sin();
    let re = libm::expm1(z.re) * z.im.cos() - 2.0 * half * half;
    C::new(re, power.im)
}

/// ln |z| + i·arg z. Near the unit circle |z|² − 1 has the digits.
pub(super) fn ln(z: C) -> C {
    let modulus = z.re.hypot(z.im);
    let re = if (0.5..2.0).contains(&modulus) {
        let (larger, smaller) = (z.re.abs().max(z.im.abs()), z.re.abs().min(z.im.abs()));
        0.5 * libm::log1p((larger - 1.0) * (larger + 1.0) + smaller * smaller)
    } else {
        modulus.ln()
    };
    C::new(re, z.im.atan2(z.re))
}

/// ln(1 + z).
pub(super) fn log1p(z: C) -> C {
    if z.re.hypot(z.im) > 0.5 {
        return ln(C::new(1.0 + z.re, z.im));
    }
    let re = 0.5 * libm::log1p(z.re * (2.0 + z.re) + z.im * z.im);
    C::new(re, z.im.atan2(1.0 + z.re))
}

/// 1 / (1 + e^−z), of which e^z / (1 + e^z) is the same where e^−z overflows.
pub(super) fn sigmoid(z: C) -> C {
    if z.re < 0.0 {
        let power = exp(z);
        return power / (power + 1.0);
    }
    (exp(-z) + 1.0).inv()
}

/// The root in the right half plane, the imaginary part's sign kept.
pub(super) fn sqrt(z: C) -> C {
    let C { re, im } = z;
    if im.is_infinite() {
        return C::new(f64::INFINITY, im);
    }
    if re.is_infinite() {
        let (none, all) = (0f64.copysign(im), f64::INFINITY.copysign(im));
        return match (re > 0.0, im.is_nan()) {
            (true, false) => C::new(re, none),
            (false, false) => C::new(0.0, all),
            (true, true) => C::new(re, f64::NAN),
            (false, true) => C::new(f64::NAN, all),
        };
    }
    if re.is_nan() || im.is_nan() {
        return NAN;
    }
    let larger = ((re.abs() + re.hypot(im)) / 2.0).sqrt();
    if larger == 0.0 {
        return C::new(0.0, im);
    }
    if re >= 0.0 {
        C::new(larger, im / (2.0 * larger))
    } else {
        C::new(im.abs() / (2.0 * larger), larger.copysign(im))
    }
}

/// 1 / √z, which is 0 at every infinity.
pub(super) fn rsqrt(z: C) -> C {
    let root = sqrt(z);
    if root.re.is_infinite() || root.im.is_infinite() {
        return C::new(0.0, 0.0);
    }
    root.inv()
}

/// e^(ln z / 3); a zero is its own root.
pub(super) fn cbrt(z: C) -> C {
    if z == C::ZERO {
        return z;
    }
    let C { re, im } = ln(z);
    exp(C::new(re / 3.0, im / 3.0))
}

/// sinh re · cos im + i·cosh re · sin im, on either axis as real functions have it.
pub(super) fn sinh(z: C) -> C {
    let C { re, im } = z;
    if im == 0.0 {
        return C::new(re.sinh(), im);
    }
    if re == 0.0 {
        let re = if im.is_finite() { re * im.cos() } else { re };
        return C::new(re, im.sin());
    }
    if re.is_infinite() && !im.is_finite() {
        return C::new(re, f64::NAN);
    }
    C::new(re.sinh() * im.cos(), re.cosh() * im.sin())
}

/// cosh re · cos im + i·sinh re · sin im.
pub(super) fn cosh(z: C) -> C {
    let C { re, im } = z;
    if im == 0.0 {
        let sign = if re.is_nan() {
            im
        } else {
            im.copysign(re.signum() * im.signum())
        };
        return C::new(re.cosh(), sign);
    }
    if re == 0.0 {
        let other = if im.is_finite() { re * im.sin() } else { re };
        return C::new(im.cos(), other);
    }
    if re.is_infinite() && !im.is_finite() {
        return C::new(f64::INFINITY, f64::NAN);
    }
    C::new(re.cosh() * im.cos(), re.sinh() * im.sin())
}

/// Kahan's: with t = tan im and s = sinh re, (s·√(1 + s²)·(1 + t²) + i·t) / (1 + s²·(1 + t²)).
pub(super) fn tanh(z: C) -> C {
    let C { re, im } = z;
    if im == 0.0 {
        return C::new(re.tanh(), im);
    }
    if re.abs() > 40.0 {
        let sine = if im.is_finite() {
            (2.0 * im).sin()
        } else {
            0.0
        };
        let size = 2.0 * (-2.0 * re.abs()).exp();
        return C::new(1f64.copysign(re), size * sine);
    }
    if re == 0.0 {
        return C::new(re, im.tan());
    }
    let (t, s) = (im.tan(), re.sinh());
    let (beta, rho) = (1.0 + t * t, (1.0 + s * s).sqrt());
    C::new(beta * rho * s, t) / (1.0 + beta * s * s)
}

pub(super) fn sin(z: C) -> C {
    over_i(sinh(times_i(z)))
}

pub(super) fn cos(z: C) -> C {
    cosh(times_i(z))
}

pub(super) fn tan(z: C) -> C {
    over_i(tanh(times_i(z)))
}

pub(super) fn asin(z: C) -> C {
    over_i(asinh(times_i(z)))
}

pub(super) fn atan(z: C) -> C {
    over_i(atanh(times_i(z)))
}

/// asin(i·z) / i, out of the roots of 1 ± i·z.
pub(super) fn asinh(z: C) -> C {
    let C { re, im } = z;
    if !re.is_finite() || !im.is_finite() {
        return asinh_at_infinity(re, im);
    }
    let (low, high) = (sqrt(C::new(1.0 + im, -re)), sqrt(C::new(1.0 - im, re)));
    let real = (low.conj() * high).im.asinh();
    let imaginary = im.atan2((low * high).re);
    C::new(real.abs().copysign(re), imaginary)
}

/// The angle of (±∞, finite), (finite, ±∞) and (±∞, ±∞).
fn angle(re: f64, im: f64) -> f64 {
    let at = |x: f64| {
        if x.is_infinite() {
            1f64.copysign(x)
        } else {
            0f64.copysign(x)
        }
    };
    at(im).atan2(at(re))
}

fn asinh_at_infinity(re: f64, im: f64) -> C {
    let infinite = f64::INFINITY.copysign(re);
    if re.is_nan() || im.is_nan() {
        return match (re.is_infinite(), im.is_infinite(), im == 0.0) {
            (true, ..) => C::new(re, f64::NAN),
            (_, true, _) => C::new(f64::INFINITY, f64::NAN),
            (.., true) => C::new(f64::NAN, im),
            _ => NAN,
        };
    }
    C::new(infinite, angle(re.abs(), im))
}

/// π/2 − asin z, without the cancellation.
pub(super) fn acos(z: C) -> C {
    let C { re, im } = z;
    if re.is_finite() && im.is_finite() {
        let (low, high) = (sqrt(C::new(1.0 - re, -im)), sqrt(C::new(1.0 + re, im)));
        let imaginary = (high.conj() * low).im.asinh();
        return C::new(2.0 * low.re.atan2(high.re), imaginary.abs().copysign(-im));
    }
    let other = f64::INFINITY.copysign(-im);
    if re.is_nan() || im.is_nan() {
        return match (re.is_infinite(), im.is_infinite(), re == 0.0) {
            (true, ..) => C::new(f64::NAN, f64::INFINITY),
            (_, true, _) => C::new(f64::NAN, other),
            (.., true) => C::new(FRAC_PI_2, f64::NAN),
            _ => NAN,
        };
    }
    let angle = match (
        re == f64::INFINITY,
        re == f64::NEG_INFINITY,
        im.is_infinite(),
    ) {
        (true, _, true) => FRAC_PI_4,
        (_, true, true) => 3.0 * FRAC_PI_4,
        (true, ..) => 0.0,
        (_, true, _) => PI,
        _ => FRAC_PI_2,
    };
    C::new(angle, other)
}

/// ±i·acos z, with the real part that is not negative.
pub(super) fn acosh(z: C) -> C {
    let angle = acos(z);
    if angle.re.is_nan() && angle.im.is_nan() {
        return NAN;
    }
    if angle.im.is_nan() {
        return C::new(f64::NAN, angle.re);
    }
    C::new(angle.im.abs(), angle.re.copysign(z.im))
}

/// Kahan's, for re ≥ 0: ¼·ln(1 + 4·re / ((1 − re)² + im²)) and half the angle of
/// (1 − re)·(1 + re) − im² + 2i·im.
pub(super) fn atanh(z: C) -> C {
    let C { re, im } = z;
    let zero = 0f64.copysign(re);
    if re.is_infinite() || im.is_infinite() {
        let angle = if im.is_nan() {
            im
        } else {
            FRAC_PI_2.copysign(im)
        };
        return C::new(zero, angle);
    }
    if re.is_nan() || im.is_nan() {
        return if re == 0.0 { C::new(re, f64::NAN) } else { NAN };
    }
    let x = re.abs();
    let real = 0.25 * libm::log1p(4.0 * x / ((1.0 - x) * (1.0 - x) + im * im));
    let imaginary = 0.5 * (2.0 * im).atan2((1.0 - x) * (1.0 + x) - im * im);
    C::new(real.copysign(re), imaginary)
}
