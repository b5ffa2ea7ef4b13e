//! Reductions.

use std::cmp::Ordering;

use emily_spec::{Result, TieBreak};
use ndarray::ArrayView1;

use super::accumulate;
use super::sort::order;
use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};
use crate::value::Wide;

/// The terms are cast to the result's dtype before they are added.
pub(crate) fn sum(input: &WideArray, axes: Option<&[usize]>, target: Target) -> Result<WideAnswer> {
    let all: Vec<_> = (0..input.ndim()).collect();
    let rows = array::rows(input, axes.unwrap_or(&all))?;
    let (values, magnitude) = rows
        .rows()
        .into_iter()
        .map(|row| accumulate::sum(target.class(), row.iter().map(|&x| target.cast(x))))
        .map(|total| (total.value, total.magnitude))
        .unzip();
    Ok(WideAnswer {
        values: array::from_vec(&target.ty.shape, values)?,
        magnitude: (!target.dtype().is_integer()).then_some(magnitude),
    })
}

/// Along the axis, or over the flattened tensor. NaN is the largest; zeros are equal.
pub(crate) fn argmax(
    input: &WideArray,
    axis: Option<usize>,
    tie_break: TieBreak,
    target: Target,
) -> Result<WideArray> {
    let axes = axis.map_or_else(|| (0..input.ndim()).collect(), |axis| vec![axis]);
    let rows = array::rows(input, &axes)?;
    let best = rows
        .rows()
        .into_iter()
        .map(|row| Wide::Int(largest(row, tie_break) as i128))
        .collect();
    array::from_vec(&target.ty.shape, best)
}

/// The index of the largest element of a row that has one.
fn largest(row: ArrayView1<Wide>, tie_break: TieBreak) -> usize {
    let mut best = 0;
    for (i, &x) in row.iter().enumerate() {
        let wins = match (order(x, row[best]), tie_break) {
            (Ordering::Greater, _) | (Ordering::Equal, TieBreak::High) => true,
            (Ordering::Equal, TieBreak::Low) | (Ordering::Less, _) => false,
        };
        if wins {
            best = i;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use emily_spec::{DType, Op};

    use super::*;
    use crate::testing::{answers, gives};

    fn sum(axes: Option<&[usize]>, keep_axes: bool) -> Op {
        Op::Sum {
            axes: axes.map(<[usize]>::to_vec),
            keep_axes,
            dtype: None,
        }
    }

    fn sum_as(dtype: DType) -> Op {
        Op::Sum {
            axes: None,
            keep_axes: false,
            dtype: Some(dtype),
        }
    }

    fn argmax(axis: Option<usize>, tie_break: TieBreak, keep_axis: bool) -> Op {
        Op::Argmax {
            axis,
            tie_break,
            keep_axis,
            dtype: None,
        }
    }

    const TABLE: &str = "s32[2,3] 1 2 3 10 20 30";

    #[test]
    fn axes_are_summed_over_and_kept_on_request() {
        gives(&sum(None, false), &[TABLE], "s32[] 66");
        gives(&sum(Some(&[0]), false), &[TABLE], "s32[3] 11 22 33");
        gives(&sum(Some(&[1]), true), &[TABLE], "s32[2,1] 6 60");
        gives(&sum(Some(&[1, 0]), true), &[TABLE], "s32[1,1] 66");
        gives(&sum(Some(&[]), false), &[TABLE], TABLE);
        gives(
            &sum(Some(&[0, 2]), false),
            &["u64[2,2,2] 1 2 3 4 5 6 7 8"],
            "s64[2] 14 22",
        );
    }

    #[test]
    fn nothing_sums_to_zero() {
        gives(&sum(None, false), &["f32[0]"], "f32[] 0");
        gives(&sum(Some(&[0]), false), &["c64[0,2]"], "c64[2] 0+0i 0+0i");
        gives(&sum(Some(&[1]), false), &["u8[0,2]"], "u32[0]");
        gives(&sum(None, false), &["f16[] 7"], "f16[] 7");
    }

    #[test]
    fn integer_sums_wrap_in_the_result() {
        gives(&sum(None, false), &["u8[2] 255 255"], "u32[] 510");
        gives(&sum_as(DType::U8), &["u8[2] 255 255"], "u8[] 254");
        gives(
            &sum(None, false),
            &["u64[2] 18446744073709551615 1"],
            "s64[] 0",
        );
        gives(
            &sum(None, false),
            &["s32[2] 2147483647 1"],
            "s32[] -2147483648",
        );
    }

    #[test]
    fn small_floats_accumulate_wide_and_round_once() {
        let ones = format!("bf16[1000]{}", " 1".repeat(1000));
        gives(&sum(None, false), &[&ones], "bf16[] 1000");
        gives(
            &sum(None, false),
            &["f16[3] 65504 65504 -65504"],
            "f16[] 65504",
        );
        gives(&sum(None, false), &["f32[3] 1e30 1 -1e30"], "f32[] 1");
        gives(&sum(None, false), &["f32[3] inf 1 -inf"], "f32[] nan");
    }

    #[test]
    fn terms_are_cast_before_they_are_added() {
        gives(&sum_as(DType::S32), &["f32[2] 0.75 0.75"], "s32[] 0");
    }

    #[test]
    fn the_magnitude_sums_moduli() {
        let [answer] = answers(&sum(Some(&[1]), false), &["f32[2,2] 1 -2 3 4"])
            .try_into()
            .unwrap();
        assert_eq!(answer.magnitude, Some(vec![3.0, 7.0]));
        let [answer] = answers(&sum(None, false), &["c64[2] 3+4i -3-4i"])
            .try_into()
            .unwrap();
        assert_eq!(answer.magnitude, Some(vec![10.0]));
        let [answer] = answers(&sum(None, false), &[TABLE]).try_into().unwrap();
        assert_eq!(answer.magnitude, None);
    }

    #[test]
    fn ties_break_low_or_high() {
        let input = ["u8[5] 1 3 2 3 0"];
        gives(&argmax(None, TieBreak::Low, false), &input, "s32[] 1");
        gives(&argmax(None, TieBreak::High, false), &input, "s32[] 3");
        let zeros = ["f32[2] 0.0 -0.0"];
        gives(&argmax(None, TieBreak::Low, false), &zeros, "s32[] 0");
        gives(&argmax(None, TieBreak::High, false), &zeros, "s32[] 1");
    }

    #[test]
    fn nan_is_the_largest() {
        let input = ["f16[5] inf nan 1 nan 2"];
        gives(&argmax(None, TieBreak::Low, false), &input, "s32[] 1");
        gives(&argmax(None, TieBreak::High, false), &input, "s32[] 3");
        gives(
            &argmax(None, TieBreak::Low, false),
            &["f32[2] -inf nan"],
            "s32[] 1",
        );
    }

    #[test]
    fn the_axis_is_reduced_and_kept_on_request() {
        let input = ["s8[2,3] 1 5 2 9 -1 9"];
        gives(&argmax(Some(1), TieBreak::Low, false), &input, "s32[2] 1 0");
        gives(
            &argmax(Some(0), TieBreak::Low, true),
            &input,
            "s32[1,3] 1 0 1",
        );
        gives(&argmax(None, TieBreak::Low, true), &input, "s32[1,1] 3");
        gives(&argmax(None, TieBreak::Low, false), &["u8[] 7"], "s32[] 0");
        gives(
            &argmax(Some(1), TieBreak::Low, false),
            &["u8[0,2]"],
            "s32[0]",
        );
    }

    #[test]
    fn large_integers_are_told_apart() {
        let input = ["u64[2] 18446744073709551614 18446744073709551615"];
        gives(&argmax(None, TieBreak::Low, false), &input, "s32[] 1");
    }
}
