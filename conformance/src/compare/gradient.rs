//! Gradients against finite differences.

use emily_oracle::grad::Slope;
use emily_spec::{DType, Tensor, TensorType};

use super::{APART, Allowed, Comparison, Miss};
use crate::number::{self, Format};

/// Compares a gradient with the slopes that finite differences give, element by element; a gradient has
/// the shape of the operand `of`, and its dtype or one that it passes `through`: Nx leaves that of a
/// cast in the dtype cast to.
///
/// What the differences themselves may be off by is allowed. What is beyond counts in eps of the
/// narrowest dtype that the gradient passes `through`, times the largest magnitude of a slope.
pub fn gradient(
    of: &TensorType,
    through: &[DType],
    slopes: &[Slope],
    actual: &Tensor,
    eps: f64,
) -> Comparison {
    let allowed = Allowed {
        text: format!("eps({eps})"),
        distance: eps,
        unit: "eps",
    };
    let mut comparison = Comparison::new(allowed);
    let fits = of.dtype == actual.dtype() || through.contains(&actual.dtype());
    let fits = fits && of.shape == *actual.shape();
    let Some(format) = Format::of(actual.dtype()).filter(|_| fits) else {
        return comparison.breaking(format!("the gradient is {}, expected {of}", actual.ty()));
    };
    let coarsest = through
        .iter()
        .filter_map(|&dtype| Format::of(dtype))
        .map(|format| format.value(format.eps()))
        .fold(format.value(format.eps()), f64::max);
    let largest = slopes
        .iter()
        .fold(0.0, |max: f64, slope| max.max(slope.magnitude));
    for (index, (slope, got)) in slopes.iter().zip(number::elements(actual)).enumerate() {
        let beyond = (format.value(got) - slope.value).abs() - slope.error;
        let distance = match beyond {
            beyond if beyond <= 0.0 => 0.0,
            beyond => (beyond / (coarsest * largest)).min(APART),
        };
        comparison.count(Miss {
            index,
            expected: format.nearest(slope.value),
            actual: got,
            distance: if distance.is_nan() { APART } else { distance },
            difference: None,
        });
    }
    comparison
}

#[cfg(test)]
mod tests {
    use super::super::tensor;
    use super::*;

    fn slope(value: f64) -> Slope {
        Slope {
            value,
            magnitude: value.abs(),
            error: 1e-12,
        }
    }

    fn judged(slopes: &[Slope], got: &str, through: &[DType]) -> Comparison {
        let got = tensor(got);
        gradient(got.ty(), through, slopes, &got, 2.0)
    }

    #[test]
    fn gradients_are_judged_by_the_largest_magnitude() {
        let four = [slope(1.0), slope(4.0)];
        let worst = judged(&four, "f32[2] 0x1.000008p0 4", &[]).worst;
        assert!((0.99..1.01).contains(&worst), "{worst}");
        let one = [slope(1.0), slope(1.0)];
        assert!(!judged(&one, "f32[2] 0x1.000008p0 1", &[]).agrees());
        // Terms of that size cancelled.
        let cancelled = Slope {
            magnitude: 4.0,
            ..slope(1.0)
        };
        assert!(judged(&[cancelled], "f32[1] 0x1.000008p0", &[]).agrees());
        assert!(judged(&[slope(1e-13)], "f32[1] 0", &[]).agrees());
        assert!(!judged(&[slope(0.0)], "f32[1] 1e-11", &[]).agrees());
        assert!(!judged(&[slope(0.0)], "f32[1] nan", &[]).agrees());
    }

    #[test]
    fn f64_is_judged_to_what_differences_are_worth() {
        assert!(judged(&[slope(1.0)], "f64[1] 1.000000000001", &[]).agrees());
        assert!(!judged(&[slope(1.0)], "f64[1] 1.00000000001", &[]).agrees());
        assert!(judged(&[slope(1.0)], "f64[1] 1.0000001", &[DType::F32]).agrees());
    }

    #[test]
    fn a_gradient_is_of_its_operands_type_or_of_one_on_its_way() {
        let f32 = TensorType::new(DType::F32, [1]);
        let judged = |got: &str| gradient(&f32, &[DType::F64], &[slope(1.0)], &tensor(got), 2.0);
        assert!(judged("f16[1] 1").broken.is_some());
        assert!(judged("f32[1,1] 1").broken.is_some());
        assert!(judged("f64[1] 1").agrees());
    }
}
