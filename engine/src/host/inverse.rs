//! Inverse functions of an `f32`, in `f64`, as [`math`](super::math)'s functions are: of trigonometric and hyperbolic
//! ones, of the cube and of the error function.

use std::f64::consts::{FRAC_PI_2, PI};

use super::elementwise::Function;
use super::fit::fit;
use super::level::Level;
use super::math::{exp, log, log1p};

macro_rules! functions {
    ($($name:ident: $function:ident;)*) => {
        $(
            pub(super) struct $name;

            impl Function for $name {
                #[inline(always)]
                fn at<L: Level>(x: f32) -> f32 {
                    $function::<L>(f64::from(x)) as f32
                }
            }
        )*
    };
}

functions! {
    Asin: asin;
    Acos: acos;
    Atan: atan;
    Asinh: asinh;
    Acosh: acosh;
    Atanh: atanh;
    Cbrt: cbrt;
    ErfInv: erf_inv;
}

/// Up to ½ by its fit, above from the angle that is left to a right one, of which it is twice the half.
#[inline(always)]
fn asin<L: Level>(x: f64) -> f64 {
    let size = x.abs();
    let [near, far] = [size, ((1.0 - size) * 0.5).sqrt()];
    let of_far = FRAC_PI_2 - 2.0 * arc::<L>(far);
    let y = if size < 0.5 { arc::<L>(near) } else { of_far };
    y.copysign(x)
}

/// As [`asin`], without a difference of what is nearly equal.
#[inline(always)]
fn acos<L: Level>(x: f64) -> f64 {
    let size = x.abs();
    let of_far = 2.0 * arc::<L>(((1.0 - size) * 0.5).sqrt());
    let of_near = FRAC_PI_2 - arc::<L>(size).copysign(x);
    let of_far = if x < 0.0 { PI - of_far } else { of_far };
    if size < 0.5 { of_near } else { of_far }
}

/// The angle of a sine from 0 to ½.
#[inline(always)]
fn arc<L: Level>(x: f64) -> f64 {
    x * fit::<L, 9>(x * x, 0.0, 0.25, ASIN)
}

/// Up to 1 by its fit, above from that of 1/x.
#[inline(always)]
fn atan<L: Level>(x: f64) -> f64 {
    let size = x.abs();
    let is_far = size > 1.0;
    let inside = if is_far { 1.0 / size } else { size };
    let angle = inside * fit::<L, 14>(inside * inside, 0.0, 1.0, ATAN);
    let y = if is_far { FRAC_PI_2 - angle } else { angle };
    y.copysign(x)
}

/// ln(|x| + √(x² + 1)).
#[inline(always)]
fn asinh<L: Level>(x: f64) -> f64 {
    let size = x.abs();
    let square = size * size;
    let above = size + square / (1.0 + (1.0 + square).sqrt());
    let y = if size < f64::INFINITY {
        log1p::<L>(above)
    } else {
        size
    };
    y.copysign(x)
}

/// ln(x + √(x² − 1)), by what is above 1.
#[inline(always)]
fn acosh<L: Level>(x: f64) -> f64 {
    let above = x - 1.0;
    let y = log1p::<L>(above + (above * (above + 2.0)).sqrt());
    if above < 0.0 { f64::NAN } else { y }
}

/// ½ · ln((1 + x)/(1 − x)).
#[inline(always)]
fn atanh<L: Level>(x: f64) -> f64 {
    let size = x.abs();
    let y = 0.5 * log1p::<L>(2.0 * size / (1.0 - size));
    y.copysign(x)
}

/// e^(⅓·ln |x|).
#[inline(always)]
fn cbrt<L: Level>(x: f64) -> f64 {
    exp::<L>(log::<L>(x.abs()) * (1.0 / 3.0)).copysign(x)
}

/// Of w = −ln(1 − x²), as Giles, "Approximating the erfinv function" (2010), has it: erf⁻¹(x)/x is smooth in w, and
/// where that is large in its root.
#[inline(always)]
fn erf_inv<L: Level>(x: f64) -> f64 {
    let w = -log::<L>((1.0 - x) * (1.0 + x));
    let near = fit::<L, 15>(w, 0.0, NEAR, ERF_INV_NEAR);
    let far = fit::<L, 14>(w.sqrt(), FAR, FARTHEST, ERF_INV_FAR);
    let y = x * if w < NEAR { near } else { far };
    if x.abs() == 1.0 { x * f64::INFINITY } else { y }
}

const NEAR: f64 = 5.0;

/// Below the root of [`NEAR`].
const FAR: f64 = 2.2;

/// Above the root of the w of the largest `f32` below 1.
const FARTHEST: f64 = 4.0;

/// asin(x)/x of x², within 1.1e-12.
const ASIN: [f64; 9] = [
    1.0221005752492498,
    0.023472196191888756,
    0.0014859415568391065,
    0.00012529324431496272,
    1.2116536703568876e-05,
    1.2695323141777255e-06,
    1.4029096518911255e-07,
    1.6628840467433605e-08,
    1.9644257247953897e-09,
];

/// atan(x)/x of x², within 1.9e-12.
const ATAN: [f64; 14] = [
    0.8704197513683412,
    -0.10187654235060571,
    0.020851851085907765,
    -0.005030863622312965,
    0.0013155878788647885,
    -0.00036098269093643576,
    0.000102265103907974,
    -2.9646454210375312e-05,
    8.777088975189637e-06,
    -2.6241387308929892e-06,
    7.442197829272477e-07,
    -2.2649986392338185e-07,
    1.0495157114357827e-07,
    -3.254418544832449e-08,
];

/// erf⁻¹(x)/x of w, within 1.6e-12.
const ERF_INV_NEAR: [f64; 15] = [
    1.501409351110792,
    0.6166006918263983,
    -0.026108235787447746,
    -0.019573559782441536,
    0.008525401325553985,
    -0.0004879123790397179,
    -0.0008341396736029983,
    0.000292258875282433,
    2.0491465976282284e-05,
    -4.160558984035741e-05,
    8.606797645482773e-06,
    3.0952563389233227e-06,
    -1.7954317344206318e-06,
    -5.0497316108145964e-08,
    1.6335380494319003e-07,
];

/// erf⁻¹(x)/x of √w, within 2.8e-11.
const ERF_INV_FAR: [f64; 14] = [
    2.933231672187153,
    0.9030205044584422,
    0.0060426753843721035,
    -0.0041528242586774955,
    0.002704018473273852,
    -0.0016020818420944387,
    0.0006997961379619891,
    -0.00014736908767880072,
    -5.293959322562687e-05,
    5.917240190417714e-05,
    -1.9957914025084016e-05,
    -1.5527005258570363e-06,
    3.576943987089087e-06,
    -8.931767942061624e-07,
];

#[cfg(test)]
mod tests {
    use super::super::math::judge::{Apart, Fused, near, samples};
    use super::*;

    /// A thousandth of half a unit of an `f32`, and what is left of it by two fits.
    const SHARE: f64 = 3.2e-11;

    fn check(ours: [fn(f64) -> f64; 2], theirs: fn(f64) -> f64) {
        // The last `f32`s before 1, where some of them end.
        let last = (1..=1 << 14).map(|n| f64::from(1.0 - n as f32 * f32::EPSILON / 2.0));
        for x in samples().chain(last) {
            let ours = ours.map(|ours| ours(x));
            let want = theirs(x);
            match want.is_nan() {
                true => assert!(ours.iter().all(|y| y.is_nan()), "{x:e}: {ours:?}"),
                false => near(|| format!("{x:e}"), ours, want, SHARE),
            }
        }
    }

    #[test]
    fn functions_are_off_by_less_than_a_thousandth_of_half_a_unit() {
        check([asin::<Fused>, asin::<Apart>], libm::asin);
        check([acos::<Fused>, acos::<Apart>], libm::acos);
        check([atan::<Fused>, atan::<Apart>], libm::atan);
        check([asinh::<Fused>, asinh::<Apart>], libm::asinh);
        // libm's has numbers below 1 too.
        check([acosh::<Fused>, acosh::<Apart>], |x| match x < 1.0 {
            true => f64::NAN,
            false => libm::acosh(x),
        });
        check([atanh::<Fused>, atanh::<Apart>], libm::atanh);
        check([cbrt::<Fused>, cbrt::<Apart>], libm::cbrt);
    }

    /// What a step of Newton's makes of the result is the right one.
    #[test]
    fn erf_inv_is_off_by_less_than_a_thousandth_of_half_a_unit() {
        check([erf_inv::<Fused>, erf_inv::<Apart>], |x| {
            let y = erf_inv::<Fused>(x);
            assert!(!y.is_nan() || x.abs() > 1.0, "{x:e}");
            let off = match y.abs() < 0.5 {
                true => libm::erf(y) - x,
                false => ((1.0 - x.abs()) - libm::erfc(y.abs())) * x.signum(),
            };
            y - off / (std::f64::consts::FRAC_2_SQRT_PI * (-y * y).exp())
        });
    }

    #[test]
    fn ends_and_zeros_are_theirs() {
        type Function = fn(f64) -> f64;
        let functions: [(Function, Function); 7] = [
            (asin::<Fused>, f64::asin),
            (acos::<Fused>, f64::acos),
            (atan::<Fused>, f64::atan),
            (asinh::<Fused>, f64::asinh),
            (acosh::<Fused>, f64::acosh),
            (atanh::<Fused>, f64::atanh),
            (cbrt::<Fused>, f64::cbrt),
        ];
        let ends = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
        ];
        for (at, (ours, theirs)) in functions.into_iter().enumerate() {
            for x in ends.into_iter().chain([2.0, -2.0]) {
                let (got, want) = (ours(x) as f32, theirs(x) as f32);
                let same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
                assert!(same, "{at} of {x}: {got}, not {want}");
            }
        }
        let inverse = |x| erf_inv::<Fused>(x) as f32;
        assert_eq!([1.0, -1.0].map(inverse), [f32::INFINITY, f32::NEG_INFINITY]);
        assert_eq!(
            [0.0, -0.0].map(|x| inverse(x).to_bits()),
            [0.0f32, -0.0].map(f32::to_bits)
        );
        for x in [1.5, -1.5, f64::INFINITY, f64::NAN] {
            assert!(inverse(x).is_nan(), "{x}");
        }
    }
}
