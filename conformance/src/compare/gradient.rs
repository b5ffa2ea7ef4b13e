//! Gradients against finite differences.

use emily_oracle::grad::Slope;
use emily_spec::{DType, Grad, Shape, Tensor, TensorType};

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
    grad: Grad,
) -> Comparison {
    let allowed = Allowed {
        text: format!("eps({})", grad.eps),
        distance: grad.eps,
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
    let mut want: Vec<f64> = slopes.iter().map(|slope| slope.value).collect();
    let mut got: Vec<f64> = number::elements(actual)
        .map(|element| format.value(real_part(element, actual.dtype())))
        .collect();
    if grad.symmetric {
        symmetrize(&of.shape, &mut want);
        symmetrize(&of.shape, &mut got);
    }
    for (index, ((slope, want), got)) in slopes.iter().zip(want).zip(got).enumerate() {
        let beyond = (got - want).abs() - slope.error;
        let distance = match beyond {
            beyond if beyond <= 0.0 => 0.0,
            beyond => (beyond / (coarsest * largest)).min(APART),
        };
        comparison.count(Miss {
            index,
            expected: format.nearest(want),
            actual: format.nearest(got),
            distance: if distance.is_nan() { APART } else { distance },
            difference: None,
        });
    }
    comparison
}

/// What a gradient by a real operand is of one that Nx leaves complex.
fn real_part(element: u64, dtype: DType) -> u64 {
    match dtype.is_complex() {
        true => number::parts(element)[0],
        false => element,
    }
}

/// Makes of each matrix its symmetric part.
fn symmetrize(shape: &Shape, values: &mut [f64]) {
    let n = shape.last().copied().unwrap_or(1);
    for matrix in values.chunks_mut((n * n).max(1)) {
        for (i, j) in (0..n).flat_map(|i| (0..i).map(move |j| (i, j))) {
            let mean = (matrix[i * n + j] + matrix[j * n + i]) / 2.0;
            (matrix[i * n + j], matrix[j * n + i]) = (mean, mean);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tensor;
    use super::*;

    const TWO: Grad = Grad {
        domain: &[],
        eps: 2.0,
        symmetric: false,
    };

    fn slope(value: f64) -> Slope {
        Slope {
            value,
            magnitude: value.abs(),
            error: 1e-12,
        }
    }

    fn judged(slopes: &[Slope], got: &str, through: &[DType]) -> Comparison {
        let got = tensor(got);
        gradient(got.ty(), through, slopes, &got, TWO)
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
    fn the_real_part_of_a_complex_gradient_counts() {
        let f32 = TensorType::new(DType::F32, [1]);
        let judged = |got: &str| gradient(&f32, &[DType::C64], &[slope(1.0)], &tensor(got), TWO);
        assert!(judged("c64[1] (1,2)").agrees());
        assert!(!judged("c64[1] (2,1)").agrees());
    }

    #[test]
    fn only_the_symmetric_part_counts_where_the_op_reads_a_triangle() {
        let slopes = [1.0, 0.0, 6.0, 1.0].map(slope);
        let judged = |got: &str, symmetric| {
            let got = tensor(got);
            let grad = Grad { symmetric, ..TWO };
            gradient(got.ty(), &[], &slopes, &got, grad).agrees()
        };
        assert!(judged("f32[2,2] 1 2 4 1", true));
        assert!(!judged("f32[2,2] 1 2 4 1", false));
        assert!(!judged("f32[2,2] 1 2 5 1", true));
    }

    #[test]
    fn a_gradient_is_of_its_operands_type_or_of_one_on_its_way() {
        let f32 = TensorType::new(DType::F32, [1]);
        let judged = |got: &str| gradient(&f32, &[DType::F64], &[slope(1.0)], &tensor(got), TWO);
        assert!(judged("f16[1] 1").broken.is_some());
        assert!(judged("f32[1,1] 1").broken.is_some());
        assert!(judged("f64[1] 1").agrees());
    }
}
