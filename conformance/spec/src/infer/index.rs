//! Reading parts of a tensor.

use super::{check_integer, check_per_axis};
use crate::{Error, ErrorKind, Result, TensorType};

pub(super) fn slice(
    inputs: &[TensorType],
    starts: Option<&[i64]>,
    lengths: &[usize],
    strides: &[usize],
) -> Result<Vec<TensorType>> {
    let shape = &inputs[0].shape;
    let operands = &inputs[1..];
    check_per_axis("lengths", lengths, shape)?;
    check_per_axis("strides", strides, shape)?;
    match starts {
        Some(starts) => {
            check_per_axis("starts", starts, shape)?;
            if !operands.is_empty() {
                return Err(Error::new(
                    ErrorKind::Argument,
                    "starts are given twice, as an attribute and as operands",
                ));
            }
        }
        None => check_per_axis("starts (as operands)", operands, shape)?,
    }
    for start in operands {
        check_integer(start.dtype, "a start")?;
        if start.shape.rank() != 0 {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("a start must be a scalar, got {start}"),
            ));
        }
    }
    let mut dims = Vec::with_capacity(shape.rank());
    for (axis, (&length, &stride)) in lengths.iter().zip(strides).enumerate() {
        if length == 0 || stride == 0 {
            return Err(Error::new(
                ErrorKind::Argument,
                format!("length and stride at axis {axis} must be at least 1"),
            ));
        }
        if length > shape[axis] {
            return Err(Error::new(
                ErrorKind::Argument,
                format!(
                    "length {length} at axis {axis} is over its size {}",
                    shape[axis]
                ),
            ));
        }
        dims.push(length.div_ceil(stride));
    }
    Ok(vec![TensorType::new(inputs[0].dtype, dims)])
}

pub(super) fn gather(inputs: &[TensorType], axes: &[usize]) -> Result<Vec<TensorType>> {
    let (tensor, indices) = (&inputs[0], &inputs[1]);
    check_integer(indices.dtype, "an index")?;
    tensor.shape.check_axes(axes)?;
    if axes.is_empty() || !axes.is_sorted() {
        return Err(Error::new(
            ErrorKind::Argument,
            format!("gather needs one or more ascending axes, got {axes:?}"),
        ));
    }
    let Some((&depth, batch)) = indices.shape.split_last() else {
        return Err(Error::new(
            ErrorKind::Shape,
            "indices need a last axis that holds one index per gathered axis, got a scalar",
        ));
    };
    if depth != axes.len() {
        return Err(Error::new(
            ErrorKind::Shape,
            format!(
                "the last axis of indices {} must be {}, one per axis in {axes:?}",
                indices.shape,
                axes.len()
            ),
        ));
    }
    let rest = tensor.shape.reduce(axes, false);
    Ok(vec![TensorType::new(
        tensor.dtype,
        [batch, rest.dims()].concat(),
    )])
}
