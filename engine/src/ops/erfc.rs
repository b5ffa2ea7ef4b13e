//! The complementary error function, which MLX does not have: 1 − erf(x) has no digits left at 4.
//!
//! After Shepherd and Laframboise, "Chebyshev approximation of (1 + 2x)exp(x²)erfc x in
//! 0 ≤ x < ∞", Mathematics of Computation 36 (1981): with t = (x − K)/(x + K), which takes the half
//! line to −1 ≤ t < 1, the function (1 + 2x)·e^(x²)·erfc(x) is smooth in t, lies between 1 and 1.2,
//! and one Chebyshev series serves all of x ≥ 0. Below 0, erfc(x) is 2 − erfc(−x).

use emily_spec::DType;
use mlx_rs::error::Result;
use mlx_rs::ops::{minimum, select};
use mlx_rs::{Array, Dtype};

use super::{Cx, float};
use crate::mlx::{dtype_of, real};

/// erfc of `f32` and `f64`.
pub(super) fn erfc(x: &Array, cx: &Cx) -> Result<Array> {
    let constant = |value: f64| real(dtype_of(x), value);
    let upper = of_magnitude(&x.abs()?, cx)?;
    select(x.lt(constant(0.0))?, constant(2.0).subtract(&upper)?, upper)
}

/// erfc(x) for x ≥ 0.
fn of_magnitude(x: &Array, cx: &Cx) -> Result<Array> {
    let constant = |value: f64| real(dtype_of(x), value);
    // From here on erfc is 0 in every dtype; infinity would be NaN below.
    let x = minimum(x, constant(28.0))?;
    let t = x.subtract(constant(K))?.divide(x.add(constant(K))?)?;
    let series = if dtype_of(&x) == DType::F64 {
        SERIES.as_slice()
    } else {
        &SERIES[..F32_TERMS]
    };
    let scaled = chebyshev(series, &t)?.divide(x.multiply(constant(2.0))?.add(constant(1.0))?)?;
    let [root, rest] = gaussian(&x, cx)?;
    // Only the last product may be subnormal, and rounds once.
    scaled.multiply(rest)?.multiply(&root)?.multiply(root)
}

/// e^(−x²) as the square of one factor, which is not subnormal where the whole is, and another. The
/// square of x rounded to half its digits is exact, and what is left of x² is so small that its rounding
/// error does not matter.
fn gaussian(x: &Array, cx: &Cx) -> Result<[Array; 2]> {
    let narrower = if dtype_of(x) == DType::F64 {
        Dtype::Float32
    } else {
        Dtype::Float16
    };
    let head = x.as_dtype(narrower)?.as_dtype(x.dtype())?;
    let square = head.multiply(&head)?;
    let constant = |value: f64| real(dtype_of(x), value);
    let rest = x.subtract(&head)?.multiply(x.add(&head)?)?;
    Ok([
        float::exp(&square.multiply(constant(-0.5))?, cx)?,
        float::exp(&rest.negative()?, cx)?,
    ])
}

/// Σ cₖ·Tₖ(t) by Clenshaw's recurrence.
fn chebyshev(series: &[f64], t: &Array) -> Result<Array> {
    let constant = |value: f64| real(dtype_of(t), value);
    let twice = t.multiply(constant(2.0))?;
    let (mut b1, mut b2) = (constant(0.0), constant(0.0));
    for &c in series[1..].iter().rev() {
        let b0 = twice.multiply(&b1)?.subtract(&b2)?.add(constant(c))?;
        (b1, b2) = (b0, b1);
    }
    t.multiply(b1)?.subtract(b2)?.add(constant(series[0]))
}

const K: f64 = 3.75;

/// The coefficients that matter to `f32`: those left out add up to less than 1e-9.
const F32_TERMS: usize = 14;

/// cₖ = 2/N · Σⱼ f(cos θⱼ)·cos(k·θⱼ), half of that for k = 0, with θⱼ = π(j + ½)/N and N = 64,
/// computed with 40 digits. Those left out add up to less than 3e-18.
const SERIES: [f64; 26] = [
    1.1775789345674017,
    -0.004590054580646478,
    -0.08424913336651792,
    0.05920993999819189,
    -0.026658668435305753,
    0.009074997670705265,
    -0.002413163540417608,
    0.0004907758365258086,
    -6.916973302501207e-05,
    4.13902798607301e-06,
    7.74038306619849e-07,
    -2.1886401049234397e-07,
    1.076499946567091e-08,
    4.521959811218287e-09,
    -7.754400208831351e-10,
    -6.318088340886684e-11,
    2.86879501093067e-11,
    1.9455868545777347e-13,
    -9.65469674843344e-13,
    3.25254814814874e-14,
    3.3478119482868056e-14,
    -1.864562880419313e-15,
    -1.2507950530688648e-15,
    7.418235256624044e-17,
    5.068148904796111e-17,
    -2.2370566594359995e-18,
];
