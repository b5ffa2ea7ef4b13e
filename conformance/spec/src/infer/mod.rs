//! Result types from operand types, or the error, before anything runs.
//!
//! One file per family, named as in the oracle and the engine.

mod binary;
mod creation;
mod index;
mod linalg;
mod reduce;
mod shape;
mod sort;
mod unary;

use crate::{Class, DType, Error, ErrorKind, Op, Result, Row, Shape, TensorType};

impl Op {
    /// The results' types for operands of these types.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for a wrong number of operands or a wrong attribute,
    /// [`ErrorKind::Dtype`] and [`ErrorKind::Shape`] for operands that do not fit, and
    /// [`ErrorKind::Memory`] for a result whose bytes cannot be counted.
    pub fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        self.infer_types(inputs).map_err(|err| err.at(self, inputs))
    }

    fn infer_types(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let row = Row::of(self);
        row.check(inputs)?;
        let results = match self {
            Op::Add { dtype } => binary::arithmetic(row, inputs, *dtype)?,
            Op::Divide { dtype } => binary::divide(row, inputs, *dtype)?,
            Op::Remainder { dtype } | Op::Pow { dtype } => binary::arithmetic(row, inputs, *dtype)?,
            Op::Equal => binary::predicate(row, inputs)?,
            Op::Round | Op::Exp | Op::Erfc => unary::floating(row, &inputs[0])?,
            Op::AsType { dtype } => unary::cast(&inputs[0], *dtype),
            Op::Iota { dtype, shape, axis } => creation::iota(*dtype, shape, *axis)?,
            Op::Transpose { axes } => shape::transpose(&inputs[0], axes)?,
            Op::Broadcast { shape, axes } => shape::broadcast(&inputs[0], shape, axes.as_deref())?,
            Op::Concatenate { axis, dtype } => shape::concatenate(inputs, *axis, *dtype)?,
            Op::Select { dtype } => shape::select(inputs, *dtype)?,
            Op::Slice {
                starts,
                lengths,
                strides,
            } => index::slice(inputs, starts.as_deref(), lengths, strides)?,
            Op::Gather { axes } => index::gather(inputs, axes)?,
            Op::Sum {
                axes,
                keep_axes,
                dtype,
            } => reduce::sum(&inputs[0], axes.as_deref(), *keep_axes, *dtype)?,
            Op::Argmax {
                axis,
                tie_break: _,
                keep_axis,
                dtype,
            } => reduce::argmax(row, &inputs[0], *axis, *keep_axis, *dtype)?,
            Op::Argsort {
                axis,
                direction: _,
                dtype,
            } => sort::argsort(row, &inputs[0], *axis, *dtype)?,
            Op::Dot {
                contract_left,
                batch_left,
                contract_right,
                batch_right,
                dtype,
            } => linalg::dot(
                inputs,
                [contract_left, contract_right],
                [batch_left, batch_right],
                *dtype,
            )?,
            Op::Qr { mode } => linalg::qr(row, &inputs[0], *mode)?,
        };
        for result in &results {
            result.byte_size()?;
        }
        Ok(results)
    }
}

/// The dtype asked for, or the operands' merged one.
fn merged(inputs: &[TensorType], dtype: Option<DType>) -> Result<DType> {
    if let Some(dtype) = dtype {
        return Ok(dtype);
    }
    let (first, rest) = inputs
        .split_first()
        .ok_or_else(|| Error::new(ErrorKind::Internal, "merging the dtypes of no operands"))?;
    rest.iter()
        .try_fold(first.dtype, |dtype, input| dtype.merge(input.dtype))
}

/// The integer dtype asked for an index, or Nx's default.
fn index_dtype(dtype: Option<DType>) -> Result<DType> {
    let dtype = dtype.unwrap_or(DType::S32);
    check_integer(dtype, "an index result")?;
    Ok(dtype)
}

fn check_integer(dtype: DType, what: &str) -> Result<()> {
    match dtype.class() {
        Class::Unsigned | Class::Signed => Ok(()),
        Class::Float | Class::Complex => Err(Error::new(
            ErrorKind::Dtype,
            format!("{what} must be an integer, got {dtype}"),
        )),
    }
}

/// An attribute list with one entry per axis.
fn check_per_axis<T>(name: &str, list: &[T], shape: &Shape) -> Result<()> {
    if list.len() == shape.rank() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Argument,
        format!(
            "{name} needs one entry per axis of {shape}, got {}",
            list.len()
        ),
    ))
}

#[cfg(test)]
mod tests;
