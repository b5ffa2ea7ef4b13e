//! Element-wise operations on two operands.

use super::merged;
use crate::{Class, DType, Error, ErrorKind, Result, Row, Shape, TensorType};

pub(super) fn arithmetic(
    row: &Row,
    inputs: &[TensorType],
    dtype: Option<DType>,
) -> Result<Vec<TensorType>> {
    check_operands(row, inputs)?;
    let dtype = merged(inputs, dtype)?;
    row.check_dtype(dtype)?;
    Ok(vec![TensorType::new(dtype, broadcast(inputs)?)])
}

pub(super) fn divide(
    row: &Row,
    inputs: &[TensorType],
    dtype: Option<DType>,
) -> Result<Vec<TensorType>> {
    check_operands(row, inputs)?;
    let dtype = match dtype {
        Some(dtype) => dtype,
        None => merged(inputs, None)?.to_floating(),
    };
    match dtype.class() {
        Class::Float | Class::Complex => {}
        Class::Unsigned | Class::Signed => {
            return Err(Error::new(
                ErrorKind::Dtype,
                format!("the result of divide is floating, {dtype} was asked for; use quotient"),
            ));
        }
    }
    Ok(vec![TensorType::new(dtype, broadcast(inputs)?)])
}

pub(super) fn predicate(row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
    check_operands(row, inputs)?;
    Ok(vec![TensorType::new(DType::U8, broadcast(inputs)?)])
}

fn check_operands(row: &Row, inputs: &[TensorType]) -> Result<()> {
    inputs.iter().try_for_each(|ty| row.check_dtype(ty.dtype))
}

fn broadcast(inputs: &[TensorType]) -> Result<Shape> {
    inputs[0].shape.broadcast(&inputs[1].shape)
}
