//! Reading and writing parts of a tensor.

use emily_spec::{DynamicSlice, Error, ErrorKind, Gather, PutSlice, Result, Slice};
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
    window(&inputs[0], &scalars(&inputs[1..]), &op.lengths, &op.strides)
}

/// The integers in 0-d operands.
fn scalars(operands: &[WideArray]) -> Vec<i128> {
    let scalar = |operand: &WideArray| operand[[].as_slice()].int();
    operands.iter().map(scalar).collect()
}

/// The start at which a window fits into an axis.
fn clamped(start: i128, size: usize, length: usize) -> usize {
    start.clamp(0, (size - length) as i128) as usize
}

/// Starts are clamped to where the window fits.
fn window(input: &WideArray, starts: &[i128], lengths: &[usize], strides: &[usize]) -> WideArray {
    input
        .slice_each_axis(|axis| {
            let i = axis.axis.index();
            let start = clamped(starts[i], input.len_of(axis.axis), lengths[i]);
            ndarray::Slice::from(start..start + lengths[i]).step_by(strides[i] as isize)
        })
        .to_owned()
}

pub(crate) fn put_slice(op: &PutSlice, inputs: &[WideArray], target: Target) -> WideArray {
    let starts: Vec<i128> = op.starts.iter().map(|&start| start.into()).collect();
    put(&inputs[0], &inputs[1], &starts, target)
}

/// The starts are the further operands.
pub(crate) fn dynamic_put_slice(inputs: &[WideArray], target: Target) -> WideArray {
    put(&inputs[0], &inputs[1], &scalars(&inputs[2..]), target)
}

/// Starts are clamped to where the slice fits.
fn put(tensor: &WideArray, slice: &WideArray, starts: &[i128], target: Target) -> WideArray {
    let mut result = tensor.mapv(|x| target.cast(x));
    for (index, &x) in slice.indexed_iter() {
        let place = (0..slice.ndim()).map(|axis| {
            let (size, length) = (tensor.shape()[axis], slice.shape()[axis]);
            clamped(starts[axis], size, length) + index[axis]
        });
        result[&place.collect::<Vec<_>>()[..]] = target.cast(x);
    }
    result
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
