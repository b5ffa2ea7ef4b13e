//! Reading and writing parts of a tensor.

use emily_spec::{Class, DType, DynamicSlice, ErrorKind, Gather, PutSlice, Slice, TensorType};
use mlx_rs::error::Result;
use mlx_rs::ops::{clip, stack, zeros_dtype};
use mlx_rs::{Array, Dtype};

use super::cast::{cast, operand};
use super::{Cx, axes as mlx_axes, dims};
use crate::mlx::{self, dtype_of, integer, to_mlx};

/// A view. Starts are clamped so that the window fits.
pub(super) fn slice(op: &Slice, x: &Array) -> Result<Array> {
    let lengths = mlx_axes(&op.lengths);
    let (starts, stops) = clamped(x, &op.starts, &lengths);
    mlx::slice(x, &starts, &stops, &steps(&op.lengths, &op.strides))
}

/// The same with starts that only the data knows; the window is copied.
pub(super) fn dynamic_slice(op: &DynamicSlice, inputs: &[Array]) -> Result<Array> {
    let (x, starts) = (&inputs[0], &inputs[1..]);
    if starts.is_empty() {
        return Ok(mlx::clone_array(x));
    }
    let lengths = mlx_axes(&op.lengths);
    let window = mlx::slice_dynamic(x, &clamped_dynamic(x, starts, &lengths)?, &lengths)?;
    mlx::slice(
        &window,
        &vec![0; lengths.len()],
        &lengths,
        &steps(&op.lengths, &op.strides),
    )
}

/// The slice written over a window. Starts are clamped so that it fits.
pub(super) fn put_slice(op: &PutSlice, inputs: &[Array], ty: &TensorType) -> Result<Array> {
    let (x, slice) = (
        operand(&inputs[0], ty.dtype)?,
        operand(&inputs[1], ty.dtype)?,
    );
    let (starts, stops) = clamped(&x, &op.starts, slice.shape());
    mlx::slice_update(&x, &slice, &starts, &stops, &vec![1; starts.len()])
}

/// The same with starts that only the data knows.
pub(super) fn dynamic_put_slice(inputs: &[Array], ty: &TensorType) -> Result<Array> {
    let starts = &inputs[2..];
    if starts.is_empty() {
        return cast(&inputs[1], ty.dtype);
    }
    let (x, slice) = (
        operand(&inputs[0], ty.dtype)?,
        operand(&inputs[1], ty.dtype)?,
    );
    let starts = clamped_dynamic(&x, starts, slice.shape())?;
    mlx::slice_update_dynamic(&x, &slice, &starts)
}

/// Where a window starts and stops, moved so that it fits.
fn clamped(x: &Array, starts: &[i64], lengths: &[i32]) -> (Vec<i32>, Vec<i32>) {
    let starts = last_starts(x, lengths).zip(starts);
    let starts: Vec<i32> = starts
        .map(|(last, &start)| start.clamp(0, last.into()) as i32)
        .collect();
    let stops = starts
        .iter()
        .zip(lengths)
        .map(|(start, length)| start + length);
    let stops = stops.collect();
    (starts, stops)
}

/// The same of starts that only the data knows, as one vector.
fn clamped_dynamic(x: &Array, starts: &[Array], lengths: &[i32]) -> Result<Array> {
    let starts = last_starts(x, lengths).zip(starts);
    let starts = starts.map(|(last, start)| clamp(start, last));
    stack(&starts.collect::<Result<Vec<_>>>()?, 0)
}

/// Per axis, the last start from which the window fits.
fn last_starts(x: &Array, lengths: &[i32]) -> impl Iterator<Item = i32> {
    x.shape()
        .iter()
        .zip(lengths)
        .map(|(size, length)| size - length)
}

/// Strides as MLX takes them. One beyond the window takes the first element only, as one of the
/// window's length does, which MLX can count with.
fn steps(lengths: &[usize], strides: &[usize]) -> Vec<i32> {
    lengths
        .iter()
        .zip(strides)
        .map(|(&length, &stride)| stride.min(length) as i32)
        .collect()
}

/// An integer of any dtype as an `s32` between 0 and `last`.
fn clamp(x: &Array, last: i32) -> Result<Array> {
    let wide = comparable(x)?;
    let bound = |value: i32| integer(dtype_of(&wide), value.into());
    clip(&wide, (&bound(0), &bound(last)))?.as_dtype(Dtype::Int32)
}

/// The integer at the 64-bit dtype of its class, which holds both it and any size.
fn comparable(x: &Array) -> Result<Array> {
    let wide = if dtype_of(x).class() == Class::Unsigned {
        DType::U64
    } else {
        DType::S64
    };
    x.as_dtype(to_mlx(wide))
}

/// An index out of range is an error, and reads the nearest element meanwhile.
pub(super) fn gather(op: &Gather, inputs: &[Array], ty: &TensorType, cx: &mut Cx) -> Result<Array> {
    let (x, indices, axes) = (&inputs[0], &inputs[1], &op.axes[..]);
    let mut parts = Vec::with_capacity(axes.len());
    for (i, &axis) in axes.iter().enumerate() {
        let index = component(indices, i as i32)?;
        let size = x.shape()[axis];
        refuse_outside(&index, axis, size, cx)?;
        parts.push(clamp(&index, (size - 1).max(0))?);
    }
    let shape = dims(&ty.shape);
    if x.size() == 0 || ty.shape.contains(&0) {
        // Nothing to read, or nothing to write; what indices there are have been refused.
        return zeros_dtype(&shape, to_mlx(ty.dtype));
    }
    let mut size = x.shape().to_vec();
    axes.iter().for_each(|&axis| size[axis] = 1);
    mlx::gather(x, &parts, &mlx_axes(axes), &size)?.reshape(&shape)
}

/// The i-th entry of every tuple along the last axis.
fn component(tuples: &Array, i: i32) -> Result<Array> {
    mlx::slice_axis(tuples, tuples.ndim() - 1, i..i + 1)?.squeeze_axes(&[-1])
}

fn refuse_outside(index: &Array, axis: usize, size: i32, cx: &mut Cx) -> Result<()> {
    let index = comparable(index)?;
    let dtype = dtype_of(&index);
    let outside = index
        .lt(integer(dtype, 0))?
        .logical_or(index.ge(integer(dtype, size.into()))?)?;
    let message = format!("an index is out of range for axis {axis} of size {size}");
    cx.fail_where(outside, ErrorKind::Index, message);
    Ok(())
}
