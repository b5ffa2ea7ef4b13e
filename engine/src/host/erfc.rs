//! The complementary error function of an `f32`, in `f64`, as [`math`](super::math)'s functions are.

use super::elementwise::Function;
use super::fit::fit;
use super::level::Level;
use super::math::exp;

/// 1 − erf(x), with all its digits.
pub(super) struct Erfc;

impl Function for Erfc {
    #[inline(always)]
    fn at<L: Level>(x: f32) -> f32 {
        erfc::<L>(f64::from(x)) as f32
    }
}

/// After Shepherd and Laframboise, "Chebyshev approximation of (1 + 2x)exp(x²)erfc x in 0 ≤ x < ∞", Mathematics of
/// Computation 36 (1981), which is smooth in t = (x − K)/(x + K). Below 0, erfc(x) is 2 − erfc(−x).
#[inline(always)]
pub(super) fn erfc<L: Level>(x: f64) -> f64 {
    let size = x.abs();
    let size = if size > BEYOND { BEYOND } else { size };
    let t = (size - K) / (size + K);
    let scaled = fit::<L, 15>(t, -1.0, LAST, ERFC);
    let upper = scaled / L::fma(2.0, size, 1.0) * exp::<L>(-size * size);
    if x < 0.0 { 2.0 - upper } else { upper }
}

const K: f64 = 3.75;

/// From here on it is 0 as an `f32`.
const BEYOND: f64 = 10.25;

/// The t of [`BEYOND`].
const LAST: f64 = (BEYOND - K) / (BEYOND + K);

/// (1 + 2x)·e^(x²)·erfc(x), within 2.2e-12.
const ERFC: [f64; 15] = [
    1.273041004951639,
    -0.0828384017079714,
    -0.07106042573508257,
    0.11520457190283866,
    -0.09150187782981985,
    0.050664898869928233,
    -0.020603411205602756,
    0.005928475787781279,
    -0.0009931973341189065,
    -1.7349277793596048e-05,
    5.399319438252365e-05,
    -8.444686840954685e-06,
    -1.8251902371400215e-06,
    5.588585176098416e-07,
    4.889319601147293e-08,
];

#[cfg(test)]
mod tests {
    use super::super::math::judge::{Apart, Fused, near, samples};
    use super::*;

    #[test]
    fn it_is_off_by_less_than_a_thousandth_of_half_a_unit() {
        for x in samples() {
            let ours = [erfc::<Fused>(x), erfc::<Apart>(x)];
            near(|| format!("{x:e}"), ours, libm::erfc(x), 3e-11);
        }
    }

    #[test]
    fn its_ends_are_there() {
        for (x, want) in [(f64::INFINITY, 0.0), (f64::NEG_INFINITY, 2.0), (0.0, 1.0)] {
            let ours = [erfc::<Fused>(x), erfc::<Apart>(x)];
            assert_eq!(ours.map(|y| y as f32), [want; 2], "{x}");
        }
        assert!(erfc::<Fused>(f64::NAN).is_nan());
    }
}
