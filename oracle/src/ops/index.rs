//! Reading parts of a tensor.

use emily_spec::{DynamicSlice, Error, ErrorKind, Gather, Result, Slice};
use ndarray::{ArrayViewD, Axis};

use crate::array::{self, WideArray};
use crate::eval::Target;
use crate::value::Wide;

pub(crate) fn slice(op: &Slice, input: &WideArray) -> WideArray {
    let starts: Vec<i128> = op.starts.iter().map(|&start| start.into()).collect();
    window(input, &starts, &op.lengths, &op.strides)
}

/// The starts are the further operands.
pub(crate) fn dynamic_slice(op: &DynamicSlice, inputs: &[WideArray]) -> WideArray {
    let starts = inputs[1..].iter().map(|start| start[[].as_slice()].int());
    let starts: Vec<i128> = starts.collect();
    window(&inputs[0], &starts, &op.lengths, &op.strides)
}

/// Starts are clamped to where the window fits.
fn window(input: &WideArray, starts: &[i128], lengths: &[usize], strides: &[usize]) -> WideArray {
    input
        .slice_each_axis(|axis| {
            let i = axis.axis.index();
            let last = input.len_of(axis.axis) - lengths[i];
            let start = starts[i].clamp(0, last as i128) as usize;
            ndarray::Slice::from(start..start + lengths[i]).step_by(strides[i] as isize)
        })
        .to_owned()
}

/// The last axis of `indices` holds one index per axis in the attribute, which ascend.
pub(crate) fn gather(op: &Gather, inputs: &[WideArray], target: Target) -> Result<WideArray> {
    let (input, indices) = (&inputs[0], &inputs[1]);
    let tuples = array::rows(indices, &[indices.ndim() - 1])?;
    let mut values = Vec::new();
    for tuple in tuples.rows() {
        let mut part = input.view();
        // From the last axis down, so that taking one leaves the numbers of those before it.
        for (&axis, &index) in op.axes.iter().zip(tuple).rev() {
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
