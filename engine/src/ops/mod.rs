//! Every op's exact Nx meaning, out of MLX primitives.
//!
//! One file per family, named as in the oracle, so that the two open side by side. An op builds
//! graph and evaluates nothing: what depends on values is checked by a condition
//! ([`Cx::fail_where`]), and the computation is made safe on the values it refuses. Operands were
//! checked by `Op::infer`, so shapes, dtypes and attributes fit.
//!
//! **Architecture invariant:** no `_` arm over `Op`: an op that the contract gains does not compile
//! until it is here.
#![deny(clippy::wildcard_enum_match_arm)]

mod binary;
mod cast;
mod complex;
mod creation;
mod cx;
mod equal;
mod erfc;
mod float;
mod index;
mod integer;
mod linalg;
mod reduce;
mod shape;
mod sort;
#[cfg(test)]
mod testing;
mod unary;

use emily_spec::{Error, ErrorKind, Op, Result, Shape, TensorType};
use mlx_rs::Array;
use mlx_rs::error::Exception;

pub(crate) use cx::Cx;

use crate::mlx::{dtype_of, from_mlx, shape_of, to_mlx};

/// The op's results, not evaluated, of exactly the types `results`, which `Op::infer` gave.
///
/// Runs on the worker's thread within its stream's scope.
pub(crate) fn run(
    op: &Op,
    inputs: &[Array],
    results: &[TensorType],
    cx: &mut Cx,
) -> Result<Vec<Array>> {
    let arrays = build(op, inputs, results, cx).map_err(from_mlx)?;
    check(&arrays, results)?;
    Ok(arrays)
}

fn build(
    op: &Op,
    inputs: &[Array],
    results: &[TensorType],
    cx: &mut Cx,
) -> mlx_rs::error::Result<Vec<Array>> {
    let ty = &results[0];
    let array = match op {
        Op::Add { dtype: _ } => binary::add(&inputs[0], &inputs[1], ty)?,
        Op::Divide { dtype: _ } => binary::divide(&inputs[0], &inputs[1], ty, cx)?,
        Op::Remainder { dtype: _ } => binary::remainder(&inputs[0], &inputs[1], ty, cx)?,
        Op::Pow { dtype: _ } => binary::pow(&inputs[0], &inputs[1], ty, cx)?,
        Op::Equal => equal::equal(&inputs[0], &inputs[1])?,
        Op::Round => unary::round(&inputs[0])?,
        Op::Exp => unary::exp(&inputs[0], ty, cx)?,
        Op::Erfc => unary::erfc(&inputs[0], ty, cx)?,
        Op::AsType { dtype } => cast::cast(&inputs[0], *dtype)?,
        Op::Iota {
            dtype: _,
            shape: _,
            axis,
        } => creation::iota(ty, *axis)?,
        Op::Transpose { axes } => shape::transpose(&inputs[0], axes)?,
        Op::Broadcast { shape: _, axes } => shape::broadcast(&inputs[0], axes.as_deref(), ty)?,
        Op::Concatenate { axis, dtype: _ } => shape::concatenate(inputs, *axis, ty)?,
        Op::Select { dtype: _ } => shape::select(&inputs[0], &inputs[1], &inputs[2], ty)?,
        Op::Slice {
            starts,
            lengths,
            strides,
        } => match starts {
            Some(starts) => index::slice(&inputs[0], starts, lengths, strides)?,
            None => index::slice_dynamic(&inputs[0], &inputs[1..], lengths, strides)?,
        },
        Op::Gather { axes } => index::gather(&inputs[0], &inputs[1], axes, ty, cx)?,
        Op::Sum {
            axes,
            keep_axes,
            dtype: _,
        } => reduce::sum(&inputs[0], axes.as_deref(), *keep_axes, ty)?,
        Op::Argmax {
            axis,
            tie_break,
            keep_axis: _,
            dtype: _,
        } => reduce::argmax(&inputs[0], *axis, *tie_break, ty)?,
        Op::Argsort {
            axis,
            direction,
            dtype: _,
        } => sort::argsort(&inputs[0], *axis, *direction, ty, cx)?,
        Op::Dot {
            contract_left,
            batch_left,
            contract_right,
            batch_right,
            dtype: _,
        } => {
            let left = linalg::Side::new(&inputs[0], batch_left, contract_left);
            let right = linalg::Side::new(&inputs[1], batch_right, contract_right);
            linalg::dot(&left, &right, ty, cx)?
        }
        Op::Qr { mode: _ } => return linalg::qr(&inputs[0], results, cx),
    };
    Ok(vec![array])
}

/// Readers trust the inferred type for the number of bytes, so a result of another one is a fault
/// that must stop here.
fn check(arrays: &[Array], results: &[TensorType]) -> Result<()> {
    let fits = |array: &Array, ty: &TensorType| {
        let dims = ty.shape.iter().map(|&dim| dim as i32);
        array.dtype() == to_mlx(ty.dtype) && dims.eq(array.shape().iter().copied())
    };
    if arrays.len() == results.len() && arrays.iter().zip(results).all(|(a, ty)| fits(a, ty)) {
        return Ok(());
    }
    let types = arrays
        .iter()
        .map(|array| TensorType::new(dtype_of(array), shape_of(array)).to_string());
    Err(Error::new(
        ErrorKind::Internal,
        format!("the op gave {:?}", types.collect::<Vec<_>>()),
    ))
}

/// The shape as MLX takes it; inference has checked that each dimension fits.
fn dims(shape: &Shape) -> Vec<i32> {
    shape.iter().map(|&dim| dim as i32).collect()
}

/// Axes as MLX takes them.
fn axes(axes: &[usize]) -> Vec<i32> {
    axes.iter().map(|&axis| axis as i32).collect()
}

/// A number of elements as the size of one axis.
///
/// # Errors
/// One that counts as [`ErrorKind::Memory`] where MLX cannot hold an axis of that size.
fn length(count: usize) -> mlx_rs::error::Result<i32> {
    i32::try_from(count).map_err(|_| {
        Exception::custom(format!(
            "out of memory: {count} elements along one axis are over MLX's limit of {}",
            Shape::MAX_DIM
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_that_mlx_cannot_count_is_out_of_memory() {
        assert_eq!(length(Shape::MAX_DIM).unwrap(), i32::MAX);
        let error = from_mlx(length(Shape::MAX_DIM + 1).unwrap_err());
        assert_eq!(error.kind, ErrorKind::Memory);
    }
}
