//! Gradients against finite differences.

use emily_spec::{Tensor, TensorType};

use super::{APART, Allowed, Comparison, Miss};
use crate::number::{self, Format};

/// Compares a gradient with the slopes that finite differences give, element by element, in units of
/// f32's eps times the largest of them; a gradient is as large as the operand `of`.
///
/// Differences cannot tell a slope below 10⁻³ to f32's digits from their own rounding, so none counts
/// as smaller.
pub fn gradient(of: &TensorType, slopes: &[f64], actual: &Tensor, eps: f64) -> Comparison {
    let allowed = Allowed {
        text: format!("eps({eps})"),
        distance: eps,
        unit: "eps",
    };
    let mut comparison = Comparison::new(allowed);
    let Some(format) = Format::of(actual.dtype()).filter(|_| of == actual.ty()) else {
        return comparison.breaking(format!("the gradient is {}, expected {of}", actual.ty()));
    };
    let largest = slopes
        .iter()
        .fold(1e-3, |max: f64, slope| max.max(slope.abs()));
    let unit = f64::from(f32::EPSILON) * largest;
    for (index, (&want, got)) in slopes.iter().zip(number::elements(actual)).enumerate() {
        let distance = match (format.value(got) - want).abs() / unit {
            distance if distance.is_nan() => APART,
            distance => distance,
        };
        comparison.count(Miss {
            index,
            expected: format.nearest(want),
            actual: got,
            distance,
            difference: None,
        });
    }
    comparison
}

#[cfg(test)]
mod tests {
    use emily_spec::DType;

    use super::super::tensor;
    use super::*;

    #[test]
    fn gradients_are_judged_by_the_largest_slope() {
        let judged = |slopes: &[f64], got: &str| {
            let got = tensor(got);
            gradient(got.ty(), slopes, &got, 2.0)
        };
        assert_eq!(judged(&[1.0, 4.0], "f32[2] 0x1.000008p0 4").worst, 1.0);
        assert!(!judged(&[1.0, 1.0], "f32[2] 0x1.000008p0 1").agrees());
        assert!(judged(&[1e-13], "f32[1] 0").agrees());
        assert!(!judged(&[0.0], "f32[1] nan").agrees());
        let narrow = tensor("f16[1] 1");
        let f32 = TensorType::new(DType::F32, [1]);
        assert!(gradient(&f32, &[1.0], &narrow, 2.0).broken.is_some());
    }
}
