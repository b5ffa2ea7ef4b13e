//! Reading and writing parts of a tensor.

use emily_spec::{
    Class, DType, DynamicSlice, Gather, Indexed, IndexedAxes, PutSlice, Slice, Take, TakeAlongAxis,
    TensorType,
};
use mlx_rs::error::Result;
use mlx_rs::ops::{clip, stack, zeros_dtype};
use mlx_rs::{Array, Dtype};

use super::cast::{cast, operand};
use super::float::widened;
use super::{Cx, axes as mlx_axes, dims, length};
use crate::mlx::{self, clone_array, dtype_of, integer, shape_of, to_mlx};
use crate::{Device, host};

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
    let (x, axes) = (&inputs[0], &op.axes[..]);
    let parts = components(x, &inputs[1], axes, cx)?;
    let shape = dims(&ty.shape);
    if x.size() == 0 || ty.shape.contains(&0) {
        // Nothing to read, or nothing to write; what indices there are have been refused.
        return zeros_dtype(&shape, to_mlx(ty.dtype));
    }
    if cx.has_host() {
        return host::gather(x, &parts, axes, 0, ty);
    }
    let mut size = x.shape().to_vec();
    axes.iter().for_each(|&axis| size[axis] = 1);
    let read = |x: &Array| mlx::gather(x, &parts, &mlx_axes(axes), &size);
    as_bits(x, cx, read)?.reshape(&shape)
}

/// Moves elements as the bits that they are: a GPU compiles a kernel for each dtype when it first meets
/// it, which takes seconds.
fn as_bits(x: &Array, cx: &Cx, moved: impl FnOnce(&Array) -> Result<Array>) -> Result<Array> {
    match cx.device {
        Device::Cpu => moved(x),
        Device::Gpu => moved(&bits(x)?)?.view_dtype(x.dtype()),
    }
}

fn bits(x: &Array) -> Result<Array> {
    x.view_dtype(match dtype_of(x).size() {
        1 => Dtype::Uint8,
        2 => Dtype::Uint16,
        4 => Dtype::Uint32,
        _ => Dtype::Uint64,
    })
}

/// As [`gather`], along one axis.
pub(super) fn take(op: &Take, inputs: &[Array], ty: &TensorType, cx: &mut Cx) -> Result<Array> {
    let index = inside(&inputs[0], &inputs[1], op.axis, cx)?;
    if inputs[0].size() == 0 || ty.shape.contains(&0) {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    if cx.has_host() {
        let indices = std::slice::from_ref(&index);
        return host::gather(&inputs[0], indices, &[op.axis], op.axis, ty);
    }
    as_bits(&inputs[0], cx, |x| x.take_axis(index, op.axis as i32))
}

/// As [`take`], each index in its own place along the other axes.
pub(super) fn take_along_axis(
    op: &TakeAlongAxis,
    inputs: &[Array],
    ty: &TensorType,
    cx: &mut Cx,
) -> Result<Array> {
    let index = inside(&inputs[0], &inputs[1], op.axis, cx)?;
    if inputs[0].size() == 0 || ty.shape.contains(&0) {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    if cx.has_host() {
        return host::along(&inputs[0], &index, op.axis, ty);
    }
    as_bits(&inputs[0], cx, |x| {
        x.take_along_axis(index, Some(op.axis as i32))
    })
}

/// Updates written at indices. An index out of range is an error, and writes to the nearest element
/// meanwhile.
pub(super) fn indexed(
    op: Indexed,
    attrs: &IndexedAxes,
    inputs: &[Array],
    ty: &TensorType,
    cx: &mut Cx,
) -> Result<Array> {
    let axes = &attrs.axes[..];
    let (x, updates) = (
        operand(&inputs[0], ty.dtype)?,
        operand(&inputs[2], ty.dtype)?,
    );
    let parts = components(&x, &inputs[1], axes, cx)?;
    if x.size() == 0 || updates.size() == 0 {
        return Ok(x.into_owned());
    }
    // An update as a window of the tensor, one element long along each indexed axis.
    let mut window = updates.shape().to_vec();
    axes.iter().for_each(|&axis| window.insert(axis + 1, 1));
    let updates = updates.reshape(&window)?;
    let axes = mlx_axes(axes);
    match op {
        // The small floats are added in f32, and rounded once.
        Indexed::IndexedAdd => {
            let sums = added(&widened(&x)?, &parts, &widened(&updates)?, &axes, cx)?;
            cast(&sums, ty.dtype)
        }
        // MLX writes in any order, so that each index gets its last update as often as it is there.
        Indexed::IndexedPut => {
            let updates = updates.take_axis(last_of_each(&x, &parts, &axes)?, 0)?;
            let write = |x: &Array, updates: &Array| mlx::scatter(x, &parts, updates, &axes);
            match cx.device {
                Device::Cpu => write(&x, &updates),
                Device::Gpu => {
                    scatter(&bits(&x)?, &bits(&updates)?, write, cx)?.view_dtype(x.dtype())
                }
            }
        }
    }
}

/// For each index the number of the last one that is equal to it.
fn last_of_each(x: &Array, parts: &[Array], axes: &[i32]) -> Result<Array> {
    let count = parts[0].shape()[0];
    let places: Vec<i32> = axes.iter().map(|&axis| x.shape()[axis as usize]).collect();
    let ones = vec![1; places.len()];
    let axes: Vec<i32> = (0..places.len() as i32).collect();
    let numbers = mlx::arange(count, Dtype::Int32)?.reshape(&[&[count], &ones[..]].concat())?;
    let last = zeros_dtype(&places, Dtype::Int32)?;
    let last = mlx::scatter_max(&last, parts, &numbers, &axes)?;
    mlx::gather(&last, parts, &axes, &ones)?.reshape(&[count])
}

/// `x` with updates added at the positions that `parts` give along `axes`, as [`mlx::scatter_add`] takes them.
pub(super) fn added(
    x: &Array,
    parts: &[Array],
    updates: &Array,
    axes: &[i32],
    cx: &Cx,
) -> Result<Array> {
    if cx.device == Device::Gpu && cfg!(target_os = "linux") && x.dtype() == Dtype::Float32 {
        return added_on_cuda(x, parts, updates, axes);
    }
    let add = |x: &Array, updates: &Array| mlx::scatter_add(x, parts, updates, axes);
    scatter(x, updates, add, cx)
}

/// The same of `f32` by a kernel of our own: MLX's adds in place by an instruction that takes subnormal numbers for
/// zero.
fn added_on_cuda(x: &Array, parts: &[Array], updates: &Array, axes: &[i32]) -> Result<Array> {
    let most = x.size().max(updates.size());
    let dtype = i32::try_from(most).map_or(DType::S64, |_| DType::S32);
    let rows = parts.iter().zip(axes);
    let rows = rows.map(|(part, &axis)| Ok((clone_array(part), axis as usize)));
    // Each update is a window, one element long along an indexed axis.
    let window = &updates.shape()[1..];
    let long = window.iter().enumerate().filter(|&(_, &len)| len > 1);
    let columns = long.map(|(axis, &len)| {
        let mut along = vec![1; window.len()];
        along[axis] = len;
        Ok((mlx::arange(len, to_mlx(dtype))?.reshape(&along)?, axis))
    });
    let width = length(window.iter().map(|&len| len as usize).product())?;
    let rows = places(x.shape(), rows, dtype)?;
    let columns = places(x.shape(), columns, dtype)?.reshape(&[width])?;
    let updates = updates.reshape(&[updates.shape()[0], width])?;
    x.add(mlx::indexed_add(&updates, [&rows, &columns], x.shape())?)
}

/// Where indices along some axes lead to in a tensor of this shape, row by row; to its begin where there are none.
fn places(
    shape: &[i32],
    indices: impl Iterator<Item = Result<(Array, usize)>>,
    dtype: DType,
) -> Result<Array> {
    let mut sum: Option<Array> = None;
    for index in indices {
        let (index, axis) = index?;
        let index = index.as_dtype(to_mlx(dtype))?;
        let stride: i128 = shape[axis + 1..]
            .iter()
            .map(|&dim| i128::from(dim))
            .product();
        let place = match stride {
            1 => index,
            _ => index.multiply(integer(dtype, stride))?,
        };
        sum = Some(match sum {
            Some(sum) => sum.add(place)?,
            None => place,
        });
    }
    Ok(sum.unwrap_or_else(|| integer(dtype, 0)))
}

/// Writes where the device can: Metal's kernels scatter no elements of eight bytes.
fn scatter(
    x: &Array,
    updates: &Array,
    write: impl Fn(&Array, &Array) -> Result<Array>,
    cx: &Cx,
) -> Result<Array> {
    match cx.device {
        Device::Gpu if dtype_of(x).size() == 8 => {
            cx.on_cpu([x, updates], |[x, updates]| write(x, updates))
        }
        Device::Cpu | Device::Gpu => write(x, updates),
    }
}

/// The entries of the tuples along the last axis of `indices`, one array for each of these axes of `x`.
/// What is out of range is refused, and the nearest index stands there.
fn components(x: &Array, indices: &Array, axes: &[usize], cx: &mut Cx) -> Result<Vec<Array>> {
    refuse_outside(x, indices, axes, cx)?;
    let component = |(i, &axis): (usize, &usize)| {
        let i = i as i32;
        let index = mlx::slice_axis(indices, indices.ndim() - 1, i..i + 1)?.squeeze_axes(&[-1])?;
        nearest(x, &index, axis, cx)
    };
    axes.iter().enumerate().map(component).collect()
}

/// Indices along an axis of `x`, each as an `s32` that it has. What is out of range is refused, and the
/// nearest index stands there.
pub(super) fn inside(x: &Array, index: &Array, axis: usize, cx: &mut Cx) -> Result<Array> {
    refuse_outside(x, index, &[axis], cx)?;
    nearest(x, index, axis, cx)
}

fn nearest(x: &Array, index: &Array, axis: usize, cx: &Cx) -> Result<Array> {
    let size = x.shape()[axis];
    if cx.has_host() {
        return host::nearest(index, size);
    }
    clamp(index, (size - 1).max(0))
}

/// Makes an index that `x` does not have an error. Along their last axis the indices are of these axes
/// of `x`, over and over.
fn refuse_outside(x: &Array, indices: &Array, axes: &[usize], cx: &mut Cx) -> Result<()> {
    let sizes: Vec<i32> = axes.iter().map(|&axis| x.shape()[axis]).collect();
    if cx.has_host() {
        let outside = host::outside(indices, &sizes)?;
        cx.fail_outside(outside, indices, axes, shape_of(x));
        return Ok(());
    }
    let wide = comparable(indices)?;
    let number = |value: i32| integer(dtype_of(&wide), value.into());
    let sizes: Vec<Array> = sizes.into_iter().map(number).collect();
    let sizes = match &sizes[..] {
        [size] => clone_array(size),
        sizes => stack(sizes, 0)?,
    };
    let outside = wide.lt(number(0))?.logical_or(wide.ge(sizes)?)?;
    cx.fail_outside(outside, indices, axes, shape_of(x));
    Ok(())
}
