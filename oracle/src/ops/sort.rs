//! Orders.

use std::cmp::Ordering;

use emily_spec::Direction;
use ndarray::{ArrayD, Axis, Zip};

use crate::array::WideArray;
use crate::value::Wide;

/// Stable in both directions: equal elements keep their order.
pub(crate) fn argsort(input: &WideArray, axis: usize, direction: Direction) -> WideArray {
    let mut result = ArrayD::from_elem(input.raw_dim(), Wide::Int(0));
    if input.ndim() == 0 {
        return result;
    }
    Zip::from(input.lanes(Axis(axis)))
        .and(result.lanes_mut(Axis(axis)))
        .for_each(|values, mut indices| {
            let mut sorted: Vec<_> = (0..values.len()).collect();
            sorted.sort_by(|&i, &j| match direction {
                Direction::Asc => order(values[i], values[j]),
                Direction::Desc => order(values[j], values[i]),
            });
            for (index, i) in indices.iter_mut().zip(sorted) {
                *index = Wide::Int(i as i128);
            }
        });
    result
}

/// The order of real elements of one dtype: the zeros are equal, NaNs too and above everything.
pub(super) fn order(a: Wide, b: Wide) -> Ordering {
    match (a, b) {
        (Wide::Int(a), Wide::Int(b)) => a.cmp(&b),
        // Inference refuses complex operands.
        _ => {
            let (a, b) = (a.float(), b.float());
            a.partial_cmp(&b)
                .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
        }
    }
}

#[cfg(test)]
mod tests {
    use emily_spec::{DType, Op};

    use super::*;
    use crate::testing::gives;

    fn argsort(axis: usize, direction: Direction) -> Op {
        Op::Argsort {
            axis,
            direction,
            dtype: None,
        }
    }

    #[test]
    fn equal_elements_keep_their_order_both_ways() {
        let input = ["u8[5] 2 1 2 1 2"];
        gives(&argsort(0, Direction::Asc), &input, "s32[5] 1 3 0 2 4");
        gives(&argsort(0, Direction::Desc), &input, "s32[5] 0 2 4 1 3");
    }

    #[test]
    fn nan_is_last_ascending_and_first_descending() {
        let input = ["f32[5] nan inf -inf nan 0"];
        gives(&argsort(0, Direction::Asc), &input, "s32[5] 2 4 1 0 3");
        gives(&argsort(0, Direction::Desc), &input, "s32[5] 0 3 1 4 2");
        // The sign of a NaN does not count.
        gives(
            &argsort(0, Direction::Asc),
            &["f32[2] -nan 1"],
            "s32[2] 1 0",
        );
    }

    #[test]
    fn zeros_are_equal() {
        gives(
            &argsort(0, Direction::Asc),
            &["f64[3] 0.0 -0.0 0.0"],
            "s32[3] 0 1 2",
        );
        gives(
            &argsort(0, Direction::Desc),
            &["f64[3] -0.0 0.0 -0.0"],
            "s32[3] 0 1 2",
        );
    }

    #[test]
    fn the_ends_of_integer_ranges_sort() {
        gives(
            &argsort(0, Direction::Desc),
            &["s8[3] -128 127 0"],
            "s32[3] 1 2 0",
        );
        gives(
            &argsort(0, Direction::Desc),
            &["u64[3] 0 9223372036854775808 18446744073709551615"],
            "s32[3] 2 1 0",
        );
    }

    #[test]
    fn each_lane_along_the_axis_is_sorted() {
        let input = ["s16[2,3] 3 1 2 0 5 2"];
        gives(&argsort(0, Direction::Asc), &input, "s32[2,3] 1 0 0 0 1 1");
        gives(&argsort(1, Direction::Asc), &input, "s32[2,3] 1 2 0 0 2 1");
    }

    #[test]
    fn scalars_and_empty_tensors_have_an_order() {
        gives(&argsort(0, Direction::Asc), &["f32[] 3"], "s32[] 0");
        gives(&argsort(1, Direction::Desc), &["f32[2,0]"], "s32[2,0]");
        let bytes = Op::Argsort {
            axis: 0,
            direction: Direction::Asc,
            dtype: Some(DType::U8),
        };
        gives(&bytes, &["f32[2] 2 1"], "u8[2] 1 0");
    }
}
