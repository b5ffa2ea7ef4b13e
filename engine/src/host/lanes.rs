//! Folds over a row in lanes, so that they become vector code: in an order that the length alone decides.

use super::float::Float;

const LANES: usize = 16;

/// Σ f(x), in `f64`.
#[inline(always)]
pub(super) fn sum<T: Copy>(row: &[T], f: impl Fn(T) -> f64) -> f64 {
    let mut sums = [0.0; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += f(*x);
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest) {
        *sum += f(*x);
    }
    pairwise(sums, |a, b| a + b)
}

/// The largest element; NaN where there is one, −∞ of none.
#[inline(always)]
pub(super) fn largest<T: Float>(row: &[T]) -> f32 {
    extreme(row, f32::NEG_INFINITY, larger)
}

/// The smallest element; NaN where there is one, ∞ of none.
#[inline(always)]
pub(super) fn smallest<T: Float>(row: &[T]) -> f32 {
    extreme(row, f32::INFINITY, smaller)
}

/// What is compared: `f32`, and `f64`.
pub(super) trait Compared: Copy + PartialOrd {
    fn is_nan(self) -> bool;
}

impl Compared for f32 {
    #[inline(always)]
    fn is_nan(self) -> bool {
        f32::is_nan(self)
    }
}

impl Compared for f64 {
    #[inline(always)]
    fn is_nan(self) -> bool {
        f64::is_nan(self)
    }
}

/// The larger of two, the first where they are equal, NaN where either is.
#[inline(always)]
pub(super) fn larger<T: Compared>(a: T, b: T) -> T {
    if a >= b || a.is_nan() { a } else { b }
}

/// The smaller of two, the first where they are equal, NaN where either is.
#[inline(always)]
pub(super) fn smaller<T: Compared>(a: T, b: T) -> T {
    if a <= b || a.is_nan() { a } else { b }
}

#[inline(always)]
fn extreme<T: Float>(row: &[T], of_none: f32, of: impl Fn(f32, f32) -> f32) -> f32 {
    let mut most = [of_none; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (most, x) in most.iter_mut().zip(chunk) {
            *most = of(*most, x.widen());
        }
    }
    for (most, x) in most.iter_mut().zip(rest) {
        *most = of(*most, x.widen());
    }
    pairwise(most, of)
}

#[inline(always)]
fn pairwise<T: Copy>(mut lanes: [T; LANES], of: impl Fn(T, T) -> T) -> T {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = of(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}
