//! Moving elements without computing on them.

use emily_spec::{
    Broadcast, Concatenate, Error, ErrorKind, Pad, Result, Reverse, Shape, Stack, Transpose,
};
use ndarray::{ArrayD, Axis, IxDyn, Zip};

use super::sort::order;
use crate::array::{self, WideArray};
use crate::eval::Target;
use crate::value::Wide;

pub(crate) fn transpose(op: &Transpose, input: &WideArray) -> WideArray {
    input.view().permuted_axes(&op.axes[..]).to_owned()
}

/// The elements in row-major order, in the result's shape.
pub(crate) fn reshape(input: &WideArray, target: Target) -> Result<WideArray> {
    array::from_vec(&target.ty.shape, input.iter().copied().collect())
}

pub(crate) fn reverse(op: &Reverse, input: &WideArray) -> WideArray {
    let mut turned = input.view();
    for &axis in op.axes.iter() {
        turned.invert_axis(Axis(axis));
    }
    turned.to_owned()
}

/// Each element goes where the contract places it, if that is inside the result.
pub(crate) fn pad(op: &Pad, inputs: &[WideArray], target: Target) -> WideArray {
    let (input, value) = (&inputs[0], inputs[1][[].as_slice()]);
    let mut padded = ArrayD::from_elem(IxDyn(&target.ty.shape), target.cast(value));
    for (index, &x) in input.indexed_iter() {
        let places = (0..input.ndim()).map(|axis| op.place(axis, index[axis]));
        let places: Option<Vec<usize>> = places.map(|place| usize::try_from(place).ok()).collect();
        if let Some(kept) = places.and_then(|places| padded.get_mut(IxDyn(&places))) {
            *kept = target.cast(x);
        }
    }
    padded
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
    let parts = cast_all(inputs, target);
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    let axis = op.axis;
    ndarray::concatenate(Axis(axis), &views)
        .map_err(|err| Error::new(ErrorKind::Internal, format!("joining along {axis}: {err}")))
}

pub(crate) fn stack(op: &Stack, inputs: &[WideArray], target: Target) -> Result<WideArray> {
    let parts = cast_all(inputs, target);
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    let axis = op.axis;
    ndarray::stack(Axis(axis), &views)
        .map_err(|err| Error::new(ErrorKind::Internal, format!("stacking along {axis}: {err}")))
}

fn cast_all(inputs: &[WideArray], target: Target) -> Vec<WideArray> {
    let cast = |input: &WideArray| input.mapv(|x| target.cast(x));
    inputs.iter().map(cast).collect()
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

/// Equal to a limit is that limit, also of zeros; above both limits is the upper one.
pub(crate) fn clip(inputs: &[WideArray], target: Target) -> WideArray {
    let limit = |operand: &WideArray| operand.iter().map(|&x| target.cast(x)).next();
    let limits = (limit(&inputs[1]), limit(&inputs[2]));
    inputs[0].mapv(|x| {
        let x = target.cast(x);
        match limits {
            (Some(min), Some(max)) => within(x, min, max),
            _ => x,
        }
    })
}

fn within(x: Wide, min: Wide, max: Wide) -> Wide {
    let is_nan = |x: Wide| matches!(x, Wide::Float(x) if x.is_nan());
    let nan = [x, min, max].into_iter().find(|&x| is_nan(x));
    let raised = if order(x, min).is_gt() { x } else { min };
    let lowered = if order(raised, max).is_lt() {
        raised
    } else {
        max
    };
    nan.unwrap_or(lowered)
}
