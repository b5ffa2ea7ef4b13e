//! Moving elements without computing on them.

use emily_spec::{Broadcast, Concatenate, Error, ErrorKind, Result, Shape, Transpose};
use ndarray::{Axis, Zip};

use crate::array::{self, WideArray};
use crate::eval::Target;

pub(crate) fn transpose(op: &Transpose, input: &WideArray) -> WideArray {
    input.view().permuted_axes(&op.axes[..]).to_owned()
}

pub(crate) fn broadcast(op: &Broadcast, input: &WideArray, target: Target) -> Result<WideArray> {
    let shape = &target.ty.shape;
    let Some(axes) = &op.axes else {
        return Ok(array::broadcast(input, shape)?.to_owned());
    };
    // The operand with size 1 at every axis that it does not name.
    let mut dims = vec![1; shape.rank()];
    for (&axis, &size) in axes.iter().zip(input.shape()) {
        dims[axis] = size;
    }
    let aligned = array::from_vec(&Shape::new(dims), input.iter().copied().collect())?;
    Ok(array::broadcast(&aligned, shape)?.to_owned())
}

pub(crate) fn concatenate(
    op: &Concatenate,
    inputs: &[WideArray],
    target: Target,
) -> Result<WideArray> {
    let parts: Vec<_> = inputs
        .iter()
        .map(|part| part.mapv(|x| target.cast(x)))
        .collect();
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    let axis = op.axis;
    ndarray::concatenate(Axis(axis), &views)
        .map_err(|err| Error::new(ErrorKind::Internal, format!("joining along {axis}: {err}")))
}

/// Every predicate that is not zero takes from the second operand, NaN too.
pub(crate) fn select(inputs: &[WideArray], target: Target) -> Result<WideArray> {
    let shape = &target.ty.shape;
    let pred = array::broadcast(&inputs[0], shape)?;
    let on_true = array::broadcast(&inputs[1], shape)?;
    let on_false = array::broadcast(&inputs[2], shape)?;
    Ok(Zip::from(&pred)
        .and(&on_true)
        .and(&on_false)
        .map_collect(|pred, &on_true, &on_false| {
            target.cast(if pred.is_zero() { on_false } else { on_true })
        }))
}
