//! Element-wise operations on one operand.

use crate::{DType, Result, Row, TensorType};

/// A function whose result is floating: integers give `f32`.
pub(super) fn floating(row: &Row, input: &TensorType) -> Result<Vec<TensorType>> {
    row.check_dtype(input.dtype)?;
    Ok(vec![TensorType::new(
        input.dtype.to_floating(),
        input.shape.clone(),
    )])
}

pub(super) fn cast(input: &TensorType, dtype: DType) -> Vec<TensorType> {
    vec![TensorType::new(dtype, input.shape.clone())]
}
