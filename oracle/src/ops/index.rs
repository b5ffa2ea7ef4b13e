//! Reading and writing parts of a tensor.

use emily_spec::{
    DynamicSlice, Error, Gather, Indexed, IndexedAxes, PutSlice, Result, Shape, Slice, Take,
    TakeAlongAxis,
};
use ndarray::{Axis, Dimension};

use super::accumulate;
use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};
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

/// The indices' axes stand where the indexed one was.
pub(crate) fn take(op: &Take, inputs: &[WideArray], target: Target) -> Result<WideArray> {
    let (input, indices) = (&inputs[0], &inputs[1]);
    let indices: Vec<usize> = indices
        .iter()
        .map(|&index| inside(index, op.axis, input.shape()))
        .collect::<Result<_>>()?;
    let taken = input.select(Axis(op.axis), &indices);
    array::from_vec(&target.ty.shape, taken.iter().copied().collect())
}

/// Each index is replaced by the element that it names, in its own place along the other axes.
pub(crate) fn take_along_axis(op: &TakeAlongAxis, inputs: &[WideArray]) -> Result<WideArray> {
    let (input, indices) = (&inputs[0], &inputs[1]);
    let mut result = indices.clone();
    for (place, element) in result.indexed_iter_mut() {
        let mut place = place.slice().to_vec();
        place[op.axis] = inside(*element, op.axis, input.shape())?;
        *element = input[&place[..]];
    }
    Ok(result)
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
        let places = op.axes.iter().zip(tuple);
        let places: Vec<(usize, usize)> = places
            .map(|(&axis, &index)| Ok((axis, inside(index, axis, input.shape())?)))
            .collect::<Result<_>>()?;
        let mut part = input.view();
        // From the last axis down, so that taking one leaves the numbers of those before it.
        for (axis, index) in places.into_iter().rev() {
            part = part.index_axis_move(Axis(axis), index);
        }
        values.extend(part);
    }
    array::from_vec(&target.ty.shape, values)
}

/// Each row of the indices says where its update goes: an index per axis in the attribute, and from 0
/// along the others.
pub(crate) fn indexed(
    op: Indexed,
    attrs: &IndexedAxes,
    inputs: &[WideArray],
    target: Target,
) -> Result<WideAnswer> {
    let [tensor, indices, updates] = [&inputs[0], &inputs[1], &inputs[2]];
    let mut written = tensor.mapv(|x| vec![target.cast(x)]);
    let rows = array::rows(indices, &[1])?;
    for (row, update) in rows.rows().into_iter().zip(updates.outer_iter()) {
        let indexed = attrs.axes.iter().zip(row);
        let indexed: Vec<(usize, usize)> = indexed
            .map(|(&axis, &index)| Ok((axis, inside(index, axis, tensor.shape())?)))
            .collect::<Result<_>>()?;
        for (place, &x) in update.indexed_iter() {
            let mut place: Vec<usize> = place.slice().to_vec();
            indexed
                .iter()
                .for_each(|&(axis, index)| place.insert(axis, index));
            written[&place[..]].push(target.cast(x));
        }
    }
    Ok(match op {
        Indexed::IndexedAdd => accumulate::sums(&written, target, accumulate::sum_from_first),
        Indexed::IndexedPut => written.map(|written| written[written.len() - 1]).into(),
    })
}

/// The index, where the axis has one like it.
pub(super) fn inside(index: Wide, axis: usize, shape: &[usize]) -> Result<usize> {
    match usize::try_from(index.int()) {
        Ok(index) if index < shape[axis] => Ok(index),
        _ => Err(Error::out_of_bounds(index.int(), axis, &Shape::new(shape))),
    }
}
