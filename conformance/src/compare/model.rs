//! The outputs of a whole model, whose rounding errors no op's tolerance tells.
//!
//! How far rounding moves an output depends on the model: its depth, its scale, and what cancels in it.
//! Another implementation's answer in the same dtype, held against the answer in f64, has measured that
//! ([`spread`]); the errors of one more implementation are errors of the same kind.

use emily_spec::{DType, Tensor};

use super::{APART, Allowed, Comparison, Difference, Miss};
use crate::number::{self, Format, as_f64};

/// The largest error of an answer relative to the largest element of what is right, and one rounding of
/// that element.
pub fn spread(right: &Tensor, rounded: &Tensor) -> f64 {
    let (right, dtype) = (as_f64(right), rounded.dtype());
    let errors = right
        .iter()
        .zip(as_f64(rounded))
        .map(|(a, b)| (a - b).abs());
    errors.fold(0.0, f64::max) / largest(&right).max(f64::MIN_POSITIVE) + rounding(dtype)
}

/// The distance allowed, in spreads.
///
/// The largest of some hundred errors of one distribution varies by less than a third of itself: twice leaves
/// room for sums in another order. But Bumblebee composes norms, softmax and activations of up to nine ops that
/// round each (a layer norm: mean, difference, square, mean, ε, root, product, scale, shift). Transformers'
/// kernels for them compute wide and round once in f16 and bf16, and in f32 twice, with the scale and the
/// shift. Errors that are independent add up to √9 and √(9/2) times as large a one.
fn allowed(dtype: DType) -> f64 {
    if dtype.is_small_float() { 6.0 } else { 4.0 }
}

/// Compares a model's output with what is right, in f64, by the `spread` of its dtype.
pub fn output(right: &Tensor, spread: f64, actual: &Tensor) -> Comparison {
    let distance = allowed(actual.dtype());
    let mut comparison = Comparison::new(Allowed {
        text: format!("spread({distance})"),
        distance,
        unit: "spread",
    });
    if right.shape() != actual.shape() || Format::of(actual.dtype()).is_none() {
        let message = format!("the result is {}, expected {}", actual.ty(), right.ty());
        return comparison.breaking(message);
    }
    let values = as_f64(right);
    let unit = spread * largest(&values);
    let bits = number::elements(right).zip(number::elements(actual));
    let pairs = values.iter().zip(as_f64(actual)).zip(bits);
    for (index, ((want, got), (expected, actual))) in pairs.enumerate() {
        let (distance, difference) = match (want - got).abs() {
            0.0 => (0.0, None),
            by if by.is_finite() => ((by / unit).min(APART), None),
            _ => (APART, Some(Difference::Infinite)),
        };
        comparison.count(Miss {
            index,
            expected,
            actual,
            distance,
            difference,
        });
    }
    comparison
}

/// Half of the distance between neighbours, relative to a number.
fn rounding(dtype: DType) -> f64 {
    Format::of(dtype).map_or(0.0, |format| format.value(format.eps()) / 2.0)
}

fn largest(values: &[f64]) -> f64 {
    values
        .iter()
        .fold(0.0, |most: f64, value| most.max(value.abs()))
}

#[cfg(test)]
mod tests {
    use super::super::tensor;
    use super::*;

    #[test]
    fn errors_count_in_those_that_another_implementation_makes() {
        let right = tensor("f64[3] 4 -1 0.5");
        let rounded = tensor("f32[3] 4 -1 0.5625");
        let unit = spread(&right, &rounded);
        assert!((unit - 0.0625 / 4.0).abs() < 1e-6, "{unit}");
        let near = output(&right, unit, &tensor("f32[3] 4.125 -1 0.5"));
        assert!(near.agrees(), "{near:?}");
        assert!(near.worst > 1.99 && near.worst < 2.0, "{near:?}");
        let far = output(&right, unit, &tensor("f32[3] 4.5 -1 0.5"));
        assert_eq!((far.outside, far.misses[0].index), (1, 0));
    }

    #[test]
    fn what_is_no_number_is_no_answer() {
        let right = tensor("f64[2] 1 2");
        let found = output(&right, 0.1, &tensor("f32[2] nan 2"));
        assert_eq!(found.outside, 1);
        assert!(!output(&right, 0.1, &tensor("f32[1] 1")).agrees());
    }
}
