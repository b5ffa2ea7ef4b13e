//! The sign of a sum of products that comes out as a zero.
//!
//! Let d be the smallest number of a dtype. Sums of multiples of d are multiples, and stay multiples where
//! they are rounded. So where every product is one, a zero comes of zeros or of terms that cancel exactly,
//! and nothing but the definition decides its sign.
//!
//! What a product has below d is rounded away. Rounded by itself it leaves the others to cancel to +0.
//! Rounded once with its addition it may leave less than d/2 of what it is added to, which is a zero of the
//! sign that is left. Partial sums are added in any order, so that the sign is open; only where no term is
//! negative no partial sum is, and the zero is +0.
//!
//! The small floats are added in `f32` and rounded once, so that the sign is that of the exact sum, unless
//! that is within the errors on the way. Of n terms they are those of n − 2 additions, as the error of the
//! last one leaves its sign alone, each half of eps · Σ|aᵢ·bᵢ| to first order (Higham, *Accuracy and
//! Stability of Numerical Algorithms*, 4.2), for which a whole one stands here; and half of `f32`'s smallest
//! number for each product that is no multiple of that. In the other dtypes a sum that is a zero is no
//! larger than this half.

use emily_spec::DType;

use crate::format::Format;

/// Whether the sign of this sum Σaᵢ·bᵢ is open because it is a zero of this dtype. So many roundings more
/// than those of the sum reach each term.
pub(crate) fn is_open(
    dtype: DType,
    sum: f64,
    roundings: usize,
    terms: impl Iterator<Item = (f64, f64)>,
) -> bool {
    let Some(format) = Format::of(dtype) else {
        return false;
    };
    if format.widen(format.float_bits(sum)) != 0.0 {
        return false;
    }
    let computed = match dtype.is_small_float() {
        true => Format::F32,
        false => format,
    };
    let (mut count, mut size, mut lost) = (0, 0.0, 0.0);
    let (mut is_rounded, mut is_negative) = (false, false);
    for (a, b) in terms.filter(|(a, b)| *a != 0.0 && *b != 0.0) {
        // Odd numbers have odd products.
        let last_bit = Format::last_bit(a) + Format::last_bit(b);
        is_rounded |= last_bit < format.last_exponent();
        is_negative |= (a < 0.0) != (b < 0.0);
        count += 1;
        size += (a * b).abs();
        if last_bit < computed.last_exponent() {
            lost += computed.least() / 2.0;
        }
    }
    let additions = (count + roundings).saturating_sub(2) as f64;
    is_rounded && is_negative && sum.abs() <= additions * computed.eps() * size + lost
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_open(dtype: DType, terms: &[(f64, f64)]) -> bool {
        let sum = terms.iter().map(|(a, b)| a * b).sum();
        super::is_open(dtype, sum, 0, terms.iter().copied())
    }

    #[test]
    fn what_is_below_the_smallest_number_has_no_sign() {
        let d = Format::F32.least();
        // −0.3 of it, which is −2 + 2 of it where each is rounded by itself.
        assert!(is_open(DType::F32, &[(-2.4, d), (2.1, d)]));
        assert!(is_open(DType::C64, &[(-2.4, d), (2.1, d)]));
        // Rounded with its addition to 0, or to what it nearly cancels.
        assert!(is_open(DType::F32, &[(-0.3, d)]));
        assert!(is_open(DType::F32, &[(0.3, d), (-0.3, d)]));
        assert!(is_open(DType::F32, &[(1.0, 1.0), (-1.0, 1.0), (0.3, d)]));
        let d = Format::F64.least();
        assert!(is_open(DType::F64, &[(-0.3, d), (0.2, d)]));
    }

    #[test]
    fn what_is_not_rounded_cancels() {
        let d = Format::F32.least();
        for terms in [
            &[(-2.0, d), (2.0, d)][..],
            &[(-2.5, 2.0 * d), (1.0, d), (4.0, d)],
            &[(0.3, 0.7), (-0.3, 0.7)],
            &[(-0.0, 1.0)],
            &[],
        ] {
            assert!(!is_open(DType::F32, terms), "{terms:?}");
        }
    }

    #[test]
    fn no_negative_zero_comes_of_terms_that_are_not_negative() {
        let d = Format::F32.least();
        assert!(!is_open(DType::F32, &[(0.3, d)]));
        assert!(!is_open(DType::F32, &[(-0.1, -d), (0.3, d), (0.0, -1.0)]));
    }

    #[test]
    fn what_is_no_zero_is_not_asked() {
        let d = Format::F32.least();
        assert!(!is_open(DType::F32, &[(-0.3, d), (-0.3, d)]));
        assert!(!is_open(DType::S32, &[(0.0, 1.0)]));
    }

    #[test]
    fn a_small_float_has_the_sign_that_f32_gives_it() {
        let d = Format::F16.least();
        // f32 holds the exact sums.
        assert!(!is_open(DType::F16, &[(-0.3, d)]));
        assert!(!is_open(DType::F16, &[(-2.5, d), (2.25, d)]));
        assert!(!is_open(DType::F16, &[(0.75, 0.75), (-0.75, 0.75)]));
        // Here it may add 16 and −0.25 of the smallest number first.
        let terms = [(4.0, 4.0), (-4.0, 4.0), (-0.25, d)];
        assert!(is_open(DType::F16, &terms));
        let d = Format::BF16.least();
        assert!(!is_open(DType::Bf16, &[(-0.25, d), (0.125, d)]));
        // Below f32's smallest number as well.
        assert!(is_open(DType::Bf16, &[(-2f64.powi(-20), d)]));
    }
}
