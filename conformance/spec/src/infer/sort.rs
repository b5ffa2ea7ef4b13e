//! Orders.

use super::index_dtype;
use crate::{DType, Result, Row, TensorType};

pub(super) fn argsort(
    row: &Row,
    input: &TensorType,
    axis: usize,
    dtype: Option<DType>,
) -> Result<Vec<TensorType>> {
    row.check_dtype(input.dtype)?;
    // Nx sorts a scalar along axis 0 into itself.
    if input.shape.rank() > 0 || axis > 0 {
        input.shape.check_axis(axis)?;
    }
    Ok(vec![TensorType::new(
        index_dtype(dtype)?,
        input.shape.clone(),
    )])
}
