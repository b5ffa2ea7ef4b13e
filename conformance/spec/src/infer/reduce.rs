//! Reductions.

use super::index_dtype;
use crate::{DType, Error, ErrorKind, Result, Row, Shape, TensorType};

pub(super) fn sum(
    input: &TensorType,
    axes: Option<&[usize]>,
    keep: bool,
    dtype: Option<DType>,
) -> Result<Vec<TensorType>> {
    let shape = reduced(&input.shape, axes, keep)?;
    let dtype = dtype.unwrap_or(input.dtype.to_aggregate());
    Ok(vec![TensorType::new(dtype, shape)])
}

pub(super) fn argmax(
    row: &Row,
    input: &TensorType,
    axis: Option<usize>,
    keep: bool,
    dtype: Option<DType>,
) -> Result<Vec<TensorType>> {
    row.check_dtype(input.dtype)?;
    let axes: Vec<usize> = axis.map_or_else(|| (0..input.shape.rank()).collect(), |a| vec![a]);
    let shape = reduced(&input.shape, Some(&axes), keep)?;
    if axes.iter().any(|&axis| input.shape[axis] == 0) && shape.size()? > 0 {
        return Err(Error::new(
            ErrorKind::Shape,
            format!(
                "no largest element among none: {} is empty there",
                input.shape
            ),
        ));
    }
    Ok(vec![TensorType::new(index_dtype(dtype)?, shape)])
}

fn reduced(shape: &Shape, axes: Option<&[usize]>, keep: bool) -> Result<Shape> {
    match axes {
        Some(axes) => {
            shape.check_axes(axes)?;
            Ok(shape.reduce(axes, keep))
        }
        None => Ok(shape.reduce(&(0..shape.rank()).collect::<Vec<_>>(), keep)),
    }
}
