//! Functions of `f32` and `f64` that MLX lacks, or has for a few digits only.
//!
//! On the CPU MLX's sine, cosine, exponential and error functions are polynomials in `f32`, also for
//! `f64`; its tangent, logarithms and powers are the C library's.

use std::f64::consts::{FRAC_2_SQRT_PI, PI};

use emily_spec::DType;
use mlx_rs::error::Result;
use mlx_rs::ops::{clip, minimum, select, tan};
use mlx_rs::{Array, Dtype};

use super::super::float::{exp, with_sign_of};
use super::super::{Cx, erfc};
use crate::Device;
use crate::mlx::{dtype_of, real};

/// The dtype's constants.
fn constants(x: &Array) -> impl Fn(f64) -> Array {
    let dtype = dtype_of(x);
    move |value| real(dtype, value)
}

/// In `f64` where the device has it.
fn wide(x: &Array, cx: &Cx, f: impl Fn(&Array) -> Result<Array>) -> Result<Array> {
    match cx.device {
        Device::Gpu => f(x),
        Device::Cpu => f(&x.as_dtype(Dtype::Float64)?)?.as_dtype(x.dtype()),
    }
}

/// |x|^(1/3) with x's sign. The exponent is the float T next to 1/3, and the factor
/// 1 + (1/3 − T) · ln |x| makes up for it.
pub(super) fn cbrt(x: &Array, cx: &Cx) -> Result<Array> {
    wide(x, cx, |x| {
        let constant = constants(x);
        // 1/3 − T
        let (rest, largest) = match dtype_of(x) == DType::F64 {
            true => (1.850_371_707_708_594e-17, f64::MAX),
            false => (-9.934_107_462_565_104e-9, f64::from(f32::MAX)),
        };
        let magnitude = x.abs()?;
        let root = magnitude.power(constant(1.0 / 3.0))?;
        // Beyond these bounds the root is 0 or infinite, which the correction must not make NaN.
        let log = clip(magnitude.log()?, (&constant(-800.0), &constant(800.0)))?;
        // A finite factor, lest an infinite root less an infinite correction be NaN.
        let finite = minimum(&root, constant(largest))?;
        let root = root.add(finite.multiply(log.multiply(constant(rest))?)?)?;
        with_sign_of(&root, x)
    })
}

/// With e = e^−|x|, which does not overflow, 1 / (1 + e) for x ≥ 0 and e / (1 + e) below.
pub(super) fn sigmoid(x: &Array, cx: &Cx) -> Result<Array> {
    let constant = constants(x);
    let e = exp(&x.abs()?.negative()?, cx)?;
    let above = select(x.lt(constant(0.0))?, &e, constant(1.0))?;
    above.divide(e.add(constant(1.0))?)
}

/// With t = tan(x / 2) it is 2t / (1 + t²); near 0 it is x, of which subnormal halves lose digits.
pub(crate) fn sin(x: &Array, cx: &Cx) -> Result<Array> {
    if cx.device == Device::Gpu {
        return x.sin();
    }
    wide(x, cx, |x| {
        let constant = constants(x);
        let t = tan(x.multiply(constant(0.5))?)?;
        let sine = t.add(&t)?.divide(t.multiply(&t)?.add(constant(1.0))?)?;
        select(x.abs()?.lt(constant(1e-9))?, x, sine)
    })
}

/// 1 / √(1 + tan² x), which has all its digits also where it is small, with the sign of
/// sin x / tan x: the sine has that of tan(x / 2).
pub(crate) fn cos(x: &Array, cx: &Cx) -> Result<Array> {
    if cx.device == Device::Gpu {
        return x.cos();
    }
    wide(x, cx, |x| {
        let constant = constants(x);
        let t = tan(x)?;
        let half = tan(x.multiply(constant(0.5))?)?;
        let squared = t.multiply(&t)?.add(constant(1.0))?;
        let magnitude = constant(1.0).divide(squared.sqrt()?)?;
        with_sign_of(&with_sign_of(&magnitude, &t)?, &half)
    })
}

/// Up to 1 by its series, above as 1 − erfc.
pub(super) fn erf(x: &Array, cx: &Cx) -> Result<Array> {
    let constant = constants(x);
    let magnitude = x.abs()?;
    let near = magnitude.lt(constant(1.0))?;
    let far = constant(1.0).subtract(erfc::erfc(&magnitude, cx)?)?;
    let inside = select(&near, &magnitude, constant(0.0))?;
    with_sign_of(&select(near, series(&inside)?, far)?, x)
}

/// 2/√π · Σ (−1)ⁿ x^(2n+1) / (n! (2n + 1)): for |x| ≤ 1 the terms left out are below 1e-17.
fn series(x: &Array) -> Result<Array> {
    let constant = constants(x);
    let terms = (0..TERMS).scan(FRAC_2_SQRT_PI, |power, n| {
        let term = *power / f64::from(2 * n + 1);
        *power /= -f64::from(n + 1);
        Some(term)
    });
    let terms: Vec<f64> = terms.collect();
    let square = x.multiply(x)?;
    let mut sum = constant(0.0);
    for term in terms.into_iter().rev() {
        sum = sum.multiply(&square)?.add(constant(term))?;
    }
    sum.multiply(x)
}

const TERMS: u32 = 18;

/// A guess, of which two of Halley's steps leave an error below the dtype's digits; the first need
/// not be in `f64`, since the second cubes what it leaves.
pub(super) fn erf_inv(x: &Array, cx: &Cx) -> Result<Array> {
    if cx.device == Device::Gpu {
        return mlx_rs::ops::erfinv(x);
    }
    let magnitude = x.abs()?;
    let near = halley(&guess(&magnitude)?, &magnitude, cx)?;
    let [y, wide] = [&near, &magnitude].map(|x| x.as_dtype(Dtype::Float64));
    let y = halley(&y?, &wide?, cx)?.as_dtype(x.dtype())?;
    let constant = constants(x);
    let one = constant(1.0);
    let y = select(magnitude.eq(&one)?, constant(f64::INFINITY), y)?;
    let y = select(magnitude.gt(&one)?, constant(f64::NAN), y)?;
    with_sign_of(&y, x)
}

/// Below ½ two terms of the series, within 1 %; above it after Winitzki, "A handy approximation for
/// the error function and its inverse" (2008), within 0.2 %.
fn guess(x: &Array) -> Result<Array> {
    let constant = constants(x);
    let cubic = x
        .multiply(x)?
        .multiply(constant(PI / 12.0))?
        .add(constant(1.0))?;
    let near = x
        .multiply(cubic)?
        .multiply(constant(1.0 / FRAC_2_SQRT_PI))?;
    let one = constant(1.0);
    let log = one.subtract(x)?.multiply(one.add(x)?)?.log()?;
    let a = log
        .multiply(constant(0.5))?
        .add(constant(2.0 / (PI * WINITZKI)))?;
    let inner = a
        .multiply(&a)?
        .subtract(log.divide(constant(WINITZKI))?)?
        .sqrt()?;
    let far = inner.subtract(a)?.sqrt()?;
    select(x.lt(constant(0.5))?, near, far)
}

const WINITZKI: f64 = 0.147;

/// y − f / (f' − f·f''/(2f')) for f = erf(y) − x. Above ½ f is (1 − x) − erfc(y), whose terms keep
/// their digits.
fn halley(y: &Array, x: &Array, cx: &Cx) -> Result<Array> {
    let constant = constants(y);
    let is_near = x.lt(constant(0.5))?;
    let inside = select(&is_near, y, constant(0.0))?;
    let near = series(&inside)?.subtract(x)?;
    let far = constant(1.0).subtract(x)?.subtract(erfc::erfc(y, cx)?)?;
    let f = select(is_near, near, far)?;
    // 1/f' is √π/2 · e^(y²), and f''/f' is −2y.
    let step = f
        .multiply(exp(&y.multiply(y)?, cx)?)?
        .multiply(constant(1.0 / FRAC_2_SQRT_PI))?;
    y.subtract(step.divide(y.multiply(&step)?.add(constant(1.0))?)?)
}
