//! Functions by polynomials that were fitted to them: through Chebyshev nodes of the function, which was computed
//! with 40 digits, in a variable that goes from −1 to 1. What a fit is off by at most, relative to the function, is said
//! beside it.

use super::level::Level;
use super::math::polynomial;

/// What was fitted for x between these.
#[inline(always)]
pub(super) fn fit<L: Level, const N: usize>(x: f64, from: f64, to: f64, terms: [f64; N]) -> f64 {
    let scaled = (x - (from + to) / 2.0) * (2.0 / (to - from));
    polynomial::<L, N>(scaled, terms)
}
