//! Tensors from nothing.

use crate::{DType, Result, Shape, TensorType};

pub(super) fn iota(dtype: DType, shape: &Shape, axis: Option<usize>) -> Result<Vec<TensorType>> {
    if let Some(axis) = axis {
        shape.check_axis(axis)?;
    }
    Ok(vec![TensorType::new(dtype, shape.clone())])
}
