//! Reading parts of a tensor.

use emily_spec::{Error, ErrorKind, Result};
use ndarray::{ArrayViewD, Axis, Slice};

use crate::array::{self, WideArray};
use crate::eval::Target;
use crate::value::Wide;

/// Starts are clamped to where the window fits. Without `starts` they are the further operands.
pub(crate) fn slice(
    inputs: &[WideArray],
    starts: Option<&[i64]>,
    lengths: &[usize],
    strides: &[usize],
) -> WideArray {
    let (input, operands) = (&inputs[0], &inputs[1..]);
    let starts: Vec<i128> = match starts {
        Some(starts) => starts.iter().map(|&start| start.into()).collect(),
        None => operands
            .iter()
            .map(|start| start[[].as_slice()].int())
            .collect(),
    };
    input
        .slice_each_axis(|axis| {
            let i = axis.axis.index();
            let last = input.len_of(axis.axis) - lengths[i];
            let start = starts[i].clamp(0, last as i128) as usize;
            Slice::from(start..start + lengths[i]).step_by(strides[i] as isize)
        })
        .to_owned()
}

/// The last axis of `indices` holds one index per axis in `axes`, which ascend.
pub(crate) fn gather(
    input: &WideArray,
    indices: &WideArray,
    axes: &[usize],
    target: Target,
) -> Result<WideArray> {
    let tuples = array::rows(indices, &[indices.ndim() - 1])?;
    let mut values = Vec::new();
    for tuple in tuples.rows() {
        let mut part = input.view();
        // From the last axis down, so that taking one leaves the numbers of those before it.
        for (&axis, &index) in axes.iter().zip(tuple).rev() {
            part = at(part, axis, index)?;
        }
        values.extend(part);
    }
    array::from_vec(&target.ty.shape, values)
}

/// The part at this index of the axis, without the axis.
fn at(part: ArrayViewD<Wide>, axis: usize, index: Wide) -> Result<ArrayViewD<Wide>> {
    let size = part.len_of(Axis(axis));
    match usize::try_from(index.int()) {
        Ok(index) if index < size => Ok(part.index_axis_move(Axis(axis), index)),
        _ => Err(Error::new(
            ErrorKind::Index,
            format!(
                "index {} is out of range for axis {axis} of size {size}",
                index.int()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use emily_spec::Op;

    use super::*;
    use crate::testing::{fails, gives};

    fn slice(starts: Option<&[i64]>, lengths: &[usize], strides: &[usize]) -> Op {
        Op::Slice {
            starts: starts.map(<[i64]>::to_vec),
            lengths: lengths.to_vec(),
            strides: strides.to_vec(),
        }
    }

    fn gather(axes: &[usize]) -> Op {
        Op::Gather {
            axes: axes.to_vec(),
        }
    }

    const FIVE: &str = "u8[5] 0 1 2 3 4";
    const TABLE: &str = "s16[2,3] 0 1 2 10 11 12";

    #[test]
    fn a_window_is_taken_and_stepped_through() {
        gives(&slice(Some(&[1]), &[3], &[1]), &[FIVE], "u8[3] 1 2 3");
        gives(&slice(Some(&[0]), &[4], &[3]), &[FIVE], "u8[2] 0 3");
        gives(&slice(Some(&[0]), &[5], &[9]), &[FIVE], "u8[1] 0");
        gives(
            &slice(Some(&[0, 1]), &[2, 2], &[1, 1]),
            &[TABLE],
            "s16[2,2] 1 2 11 12",
        );
        gives(&slice(Some(&[]), &[], &[]), &["f32[] 1.5"], "f32[] 1.5");
    }

    #[test]
    fn starts_are_clamped_so_that_the_window_fits() {
        gives(&slice(Some(&[4]), &[3], &[1]), &[FIVE], "u8[3] 2 3 4");
        gives(&slice(Some(&[-7]), &[3], &[1]), &[FIVE], "u8[3] 0 1 2");
        // The window is clamped, not the last element that its stride reaches.
        gives(&slice(Some(&[9]), &[4], &[3]), &[FIVE], "u8[2] 1 4");
    }

    #[test]
    fn starts_may_be_operands_of_any_integer() {
        let op = slice(None, &[1, 2], &[1, 1]);
        gives(&op, &[TABLE, "u8[] 1", "s64[] 1"], "s16[1,2] 11 12");
        gives(
            &op,
            &[TABLE, "u64[] 18446744073709551615", "s8[] -128"],
            "s16[1,2] 10 11",
        );
    }

    #[test]
    fn strides_of_zero_are_refused() {
        fails(
            &slice(Some(&[0]), &[2], &[0]),
            &[FIVE],
            ErrorKind::Argument,
            "stride",
        );
    }

    #[test]
    fn whole_slices_are_gathered() {
        gives(
            &gather(&[0]),
            &[TABLE, "u8[3,1] 1 0 1"],
            "s16[3,3] 10 11 12 0 1 2 10 11 12",
        );
        gives(
            &gather(&[1]),
            &[TABLE, "s32[2,1] 2 0"],
            "s16[2,2] 2 12 0 10",
        );
        gives(
            &gather(&[0, 1]),
            &[TABLE, "s64[2,2] 1 2 0 1"],
            "s16[2] 12 1",
        );
        gives(&gather(&[0]), &[TABLE, "u8[1] 1"], "s16[3] 10 11 12");
        gives(&gather(&[0, 1]), &[TABLE, "u8[0,2]"], "s16[0]");
    }

    #[test]
    fn an_index_out_of_range_is_an_error_that_names_it() {
        fails(
            &gather(&[0, 1]),
            &[TABLE, "s8[1,2] 1 3"],
            ErrorKind::Index,
            "index 3 is out of range for axis 1 of size 3",
        );
        fails(
            &gather(&[0]),
            &[TABLE, "s8[1] -1"],
            ErrorKind::Index,
            "index -1",
        );
        fails(
            &gather(&[0]),
            &["f32[0]", "u8[1,1] 0"],
            ErrorKind::Index,
            "size 0",
        );
        fails(
            &gather(&[0]),
            &["f32[2,0]", "u8[1,1] 2"],
            ErrorKind::Index,
            "index 2",
        );
        let huge = "u64[1] 18446744073709551615";
        fails(
            &gather(&[0]),
            &[TABLE, huge],
            ErrorKind::Index,
            "index 18446744073709551615",
        );
    }
}
