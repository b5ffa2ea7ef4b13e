//! Reading parts of a tensor.

use emily_spec::{Class, DType, ErrorKind, TensorType};
use mlx_rs::error::Result;
use mlx_rs::ops::{clip, stack, zeros_dtype};
use mlx_rs::{Array, Dtype};

use super::{Cx, axes as mlx_axes, dims};
use crate::mlx::{self, dtype_of, integer, to_mlx};

/// A view. Starts are clamped so that the window fits.
pub(super) fn slice(
    x: &Array,
    starts: &[i64],
    lengths: &[usize],
    strides: &[usize],
) -> Result<Array> {
    let starts: Vec<i32> = last_starts(x, lengths)
        .zip(starts)
        .map(|(last, &start)| start.clamp(0, last.into()) as i32)
        .collect();
    let stops: Vec<i32> = starts
        .iter()
        .zip(lengths)
        .map(|(&start, &length)| start + length as i32)
        .collect();
    mlx::slice(x, &starts, &stops, &steps(lengths, strides))
}

/// The same with starts that only the data knows; the window is copied.
pub(super) fn slice_dynamic(
    x: &Array,
    starts: &[Array],
    lengths: &[usize],
    strides: &[usize],
) -> Result<Array> {
    if starts.is_empty() {
        return Ok(mlx::clone_array(x));
    }
    let starts = last_starts(x, lengths)
        .zip(starts)
        .map(|(last, start)| clamp(start, last))
        .collect::<Result<Vec<_>>>()?;
    let window = mlx::slice_dynamic(x, &stack(&starts, 0)?, &mlx_axes(lengths))?;
    mlx::slice(
        &window,
        &vec![0; starts.len()],
        &mlx_axes(lengths),
        &steps(lengths, strides),
    )
}

/// Per axis, the last start from which the window fits.
fn last_starts(x: &Array, lengths: &[usize]) -> impl Iterator<Item = i32> {
    x.shape()
        .iter()
        .zip(lengths)
        .map(|(&size, &length)| size - length as i32)
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
pub(super) fn gather(
    x: &Array,
    indices: &Array,
    axes: &[usize],
    ty: &TensorType,
    cx: &mut Cx,
) -> Result<Array> {
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
    let last = tuples.ndim() - 1;
    let mut starts = vec![0; tuples.ndim()];
    let mut stops = tuples.shape().to_vec();
    (starts[last], stops[last]) = (i, i + 1);
    mlx::slice(tuples, &starts, &stops, &vec![1; tuples.ndim()])?.squeeze_axes(&[-1])
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

#[cfg(test)]
mod tests {
    use emily_spec::Op;

    use super::super::testing::{Host, fails, gives, scalar, tensor, vector};
    use super::*;

    fn slice(starts: Option<&[i64]>, lengths: &[usize], strides: &[usize]) -> Op {
        Op::Slice {
            starts: starts.map(<[i64]>::to_vec),
            lengths: lengths.to_vec(),
            strides: strides.to_vec(),
        }
    }

    fn five() -> Host {
        vector(&[0u8, 1, 2, 3, 4])
    }

    fn table() -> Host {
        tensor([2, 3], &[0i16, 1, 2, 10, 11, 12])
    }

    #[test]
    fn a_window_is_taken_and_stepped_through() {
        gives(
            &slice(Some(&[1]), &[3], &[1]),
            &[five()],
            &vector(&[1u8, 2, 3]),
        );
        gives(
            &slice(Some(&[0]), &[4], &[3]),
            &[five()],
            &vector(&[0u8, 3]),
        );
        gives(&slice(Some(&[0]), &[5], &[9]), &[five()], &vector(&[0u8]));
        gives(
            &slice(Some(&[0]), &[5], &[usize::MAX]),
            &[five()],
            &vector(&[0u8]),
        );
        gives(
            &slice(Some(&[0, 1]), &[2, 2], &[1, 1]),
            &[table()],
            &tensor([2, 2], &[1i16, 2, 11, 12]),
        );
        gives(
            &slice(Some(&[]), &[], &[]),
            &[scalar(1.5f32)],
            &scalar(1.5f32),
        );
        gives(&slice(None, &[], &[]), &[scalar(1.5f32)], &scalar(1.5f32));
    }

    #[test]
    fn starts_are_clamped_so_that_the_window_fits() {
        gives(
            &slice(Some(&[4]), &[3], &[1]),
            &[five()],
            &vector(&[2u8, 3, 4]),
        );
        gives(
            &slice(Some(&[i64::MAX]), &[3], &[1]),
            &[five()],
            &vector(&[2u8, 3, 4]),
        );
        gives(
            &slice(Some(&[i64::MIN]), &[3], &[1]),
            &[five()],
            &vector(&[0u8, 1, 2]),
        );
        // The window is clamped, not the last element that its stride reaches.
        gives(
            &slice(Some(&[9]), &[4], &[3]),
            &[five()],
            &vector(&[1u8, 4]),
        );
    }

    #[test]
    fn starts_may_be_operands_of_any_integer() {
        let op = slice(None, &[1, 2], &[1, 1]);
        let takes = |row: Host, column: Host, want: &[i16]| {
            gives(&op, &[table(), row, column], &tensor([1, 2], want));
        };
        takes(scalar(1u8), scalar(1i64), &[11, 12]);
        takes(scalar(u64::MAX), scalar(-128i8), &[10, 11]);
        takes(scalar(i64::MIN), scalar(u64::MAX), &[1, 2]);
        takes(scalar(1u64 << 32), scalar(i64::MAX), &[11, 12]);
        let op = slice(None, &[4], &[3]);
        gives(&op, &[five(), scalar(9u16)], &vector(&[1u8, 4]));
    }

    fn gather(axes: &[usize]) -> Op {
        Op::Gather {
            axes: axes.to_vec(),
        }
    }

    #[test]
    fn parts_are_gathered() {
        gives(
            &gather(&[0]),
            &[table(), tensor([3, 1], &[1u8, 0, 1])],
            &tensor([3, 3], &[10i16, 11, 12, 0, 1, 2, 10, 11, 12]),
        );
        gives(
            &gather(&[1]),
            &[table(), tensor([2, 1], &[2i32, 0])],
            &tensor([2, 2], &[2i16, 12, 0, 10]),
        );
        gives(
            &gather(&[0, 1]),
            &[table(), tensor([2, 2], &[1i64, 2, 0, 1])],
            &vector(&[12i16, 1]),
        );
        gives(
            &gather(&[0]),
            &[table(), vector(&[1u8])],
            &vector(&[10i16, 11, 12]),
        );
        gives(
            &gather(&[0, 2]),
            &[
                tensor([2, 2, 2], &[0u8, 1, 2, 3, 4, 5, 6, 7]),
                tensor([1, 2, 2], &[1u64, 0, 0, 1]),
            ],
            &tensor([1, 2, 2], &[4u8, 6, 1, 3]),
        );
    }

    #[test]
    fn nothing_is_gathered_from_nothing() {
        gives(
            &gather(&[0, 1]),
            &[table(), tensor::<u8>([0, 2], &[])],
            &vector::<i16>(&[]),
        );
        gives(
            &gather(&[0]),
            &[vector::<f32>(&[]), tensor::<i32>([0, 1], &[])],
            &vector::<f32>(&[]),
        );
        gives(
            &gather(&[0]),
            &[tensor::<f32>([2, 0], &[]), tensor([1, 1], &[1u8])],
            &tensor::<f32>([1, 0], &[]),
        );
    }

    #[test]
    fn an_index_out_of_range_is_an_error_that_names_the_axis() {
        let outside = |axes: &[usize], x: Host, indices: Host, text: &str| {
            fails(&gather(axes), &[x, indices], ErrorKind::Index, text);
        };
        outside(
            &[0, 1],
            table(),
            tensor([1, 2], &[1i8, 3]),
            "axis 1 of size 3",
        );
        outside(&[0], table(), vector(&[-1i8]), "axis 0 of size 2");
        outside(
            &[0],
            table(),
            tensor([2, 1], &[0i64, i64::MIN]),
            "axis 0 of size 2",
        );
        outside(&[0], table(), vector(&[u64::MAX]), "axis 0 of size 2");
        outside(&[0], table(), vector(&[1u64 << 32]), "axis 0 of size 2");
        outside(
            &[0],
            vector::<f32>(&[]),
            tensor([1, 1], &[0u8]),
            "axis 0 of size 0",
        );
        outside(
            &[0],
            tensor::<f32>([2, 0], &[]),
            tensor([1, 1], &[2u8]),
            "axis 0 of size 2",
        );
    }
}
