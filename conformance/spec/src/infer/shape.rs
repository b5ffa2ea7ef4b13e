//! Moving elements without computing on them.

use super::{check_per_axis, merged};
use crate::{DType, Error, ErrorKind, Result, Shape, TensorType};

pub(super) fn transpose(input: &TensorType, axes: &[usize]) -> Result<Vec<TensorType>> {
    check_per_axis("axes", axes, &input.shape)?;
    input.shape.check_axes(axes)?;
    let dims: Vec<_> = axes.iter().map(|&axis| input.shape[axis]).collect();
    Ok(vec![TensorType::new(input.dtype, dims)])
}

pub(super) fn broadcast(
    input: &TensorType,
    shape: &Shape,
    axes: Option<&[usize]>,
) -> Result<Vec<TensorType>> {
    match axes {
        None => input.shape.check_broadcasts_to(shape)?,
        Some(axes) => {
            check_per_axis("axes", axes, &input.shape)?;
            shape.check_axes(axes)?;
            if !axes.is_sorted() {
                return Err(Error::new(
                    ErrorKind::Argument,
                    format!("broadcast axes {axes:?} must ascend; transpose first"),
                ));
            }
            for (&from, &axis) in input.shape.iter().zip(axes) {
                if from != 1 && from != shape[axis] {
                    return Err(Error::new(
                        ErrorKind::Shape,
                        format!("axis of size {from} does not broadcast to axis {axis} of {shape}"),
                    ));
                }
            }
        }
    }
    Ok(vec![TensorType::new(input.dtype, shape.clone())])
}

pub(super) fn concatenate(
    inputs: &[TensorType],
    axis: usize,
    dtype: Option<DType>,
) -> Result<Vec<TensorType>> {
    let first = &inputs[0].shape;
    first.check_axis(axis)?;
    let mut dims = first.to_vec();
    for input in &inputs[1..] {
        let fits = input.shape.rank() == first.rank()
            && (0..first.rank()).all(|i| i == axis || input.shape[i] == first[i]);
        if !fits {
            return Err(Error::new(
                ErrorKind::Shape,
                format!(
                    "{} does not join {first} along axis {axis}: the other axes must be equal",
                    input.shape
                ),
            ));
        }
        dims[axis] += input.shape[axis];
    }
    Ok(vec![TensorType::new(merged(inputs, dtype)?, dims)])
}

pub(super) fn select(inputs: &[TensorType], dtype: Option<DType>) -> Result<Vec<TensorType>> {
    let [pred, on_true, on_false] = [&inputs[0].shape, &inputs[1].shape, &inputs[2].shape];
    let shape = if pred.rank() == 0 {
        on_true.broadcast(on_false)?
    } else {
        on_true.check_broadcasts_to(pred)?;
        on_false.check_broadcasts_to(pred)?;
        pred.clone()
    };
    Ok(vec![TensorType::new(merged(&inputs[1..], dtype)?, shape)])
}
