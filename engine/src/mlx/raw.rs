//! MLX operations that mlx-rs has no safe wrapper for.
//!
//! Like mlx-rs's own, they run on the thread's scoped stream.

use std::ffi::c_int;
use std::ops::Range;

use mlx_rs::error::{Exception, Result};
use mlx_rs::{Array, Dtype, Stream};
use mlx_sys::{mlx_array, mlx_stream, mlx_vector_array};

use super::initialize;

/// Bits that both have; the operands are integers of one dtype.
pub(crate) fn bitwise_and(a: &Array, b: &Array) -> Result<Array> {
    binary("bitwise_and", mlx_sys::mlx_bitwise_and, a, b)
}

/// Bits that either has; the operands are integers of one dtype.
pub(crate) fn bitwise_or(a: &Array, b: &Array) -> Result<Array> {
    binary("bitwise_or", mlx_sys::mlx_bitwise_or, a, b)
}

/// Bits that just one has; the operands are integers of one dtype.
pub(crate) fn bitwise_xor(a: &Array, b: &Array) -> Result<Array> {
    binary("bitwise_xor", mlx_sys::mlx_bitwise_xor, a, b)
}

/// `a · 2^b` modulo 2^bits, for `b` below the width.
pub(crate) fn left_shift(a: &Array, b: &Array) -> Result<Array> {
    binary("left_shift", mlx_sys::mlx_left_shift, a, b)
}

/// `a / 2^b` rounded down, for `b` below the width.
pub(crate) fn right_shift(a: &Array, b: &Array) -> Result<Array> {
    binary("right_shift", mlx_sys::mlx_right_shift, a, b)
}

/// The complex conjugate of complex numbers.
pub(crate) fn conjugate(a: &Array) -> Result<Array> {
    call("conjugate", |result, stream| {
        // SAFETY: the handle is live, and `call` passes a valid place and a live stream.
        unsafe { mlx_sys::mlx_conjugate(result, a.as_ptr(), stream) }
    })
}

/// `0, 1, … len − 1`, counted in the dtype, so integers wrap.
pub(crate) fn arange(len: i32, dtype: Dtype) -> Result<Array> {
    call("arange", |result, stream| {
        // SAFETY: `call` passes a valid place and a live stream.
        unsafe { mlx_sys::mlx_arange(result, 0.0, len.into(), 1.0, dtype.into(), stream) }
    })
}

/// Every `strides`-th element from `starts` up to before `stops`, one entry per axis.
pub(crate) fn slice(a: &Array, starts: &[i32], stops: &[i32], strides: &[i32]) -> Result<Array> {
    call("slice", |result, stream| {
        // SAFETY: the handle is live, the lists outlive the call, and each goes with its length.
        unsafe {
            mlx_sys::mlx_slice(
                result,
                a.as_ptr(),
                starts.as_ptr(),
                starts.len(),
                stops.as_ptr(),
                stops.len(),
                strides.as_ptr(),
                strides.len(),
                stream,
            )
        }
    })
}

/// `a` with `update` in place of every `strides`-th element from `starts` up to before `stops`.
pub(crate) fn slice_update(
    a: &Array,
    update: &Array,
    starts: &[i32],
    stops: &[i32],
    strides: &[i32],
) -> Result<Array> {
    call("slice_update", |result, stream| {
        // SAFETY: both handles are live, the lists outlive the call, and each goes with its length.
        unsafe {
            mlx_sys::mlx_slice_update(
                result,
                a.as_ptr(),
                update.as_ptr(),
                starts.as_ptr(),
                starts.len(),
                stops.as_ptr(),
                stops.len(),
                strides.as_ptr(),
                strides.len(),
                stream,
            )
        }
    })
}

/// The elements whose index along one axis is in the range.
pub(crate) fn slice_axis(a: &Array, axis: usize, range: Range<i32>) -> Result<Array> {
    let (mut starts, mut stops) = (vec![0; a.ndim()], a.shape().to_vec());
    (starts[axis], stops[axis]) = (range.start, range.end);
    slice(a, &starts, &stops, &vec![1; a.ndim()])
}

/// The window of `size` of `a` that begins at `starts`, an integer vector with one entry per axis.
///
/// The starts are read when the array is evaluated; a window that does not fit inside `a` reads
/// beyond it, so the caller clamps them.
pub(crate) fn slice_dynamic(a: &Array, starts: &Array, size: &[i32]) -> Result<Array> {
    let axes: Vec<c_int> = (0..size.len() as c_int).collect();
    call("slice_dynamic", |result, stream| {
        // SAFETY: both handles are live, the lists outlive the call, and each goes with its length.
        unsafe {
            mlx_sys::mlx_slice_dynamic(
                result,
                a.as_ptr(),
                starts.as_ptr(),
                axes.as_ptr(),
                axes.len(),
                size.as_ptr(),
                size.len(),
                stream,
            )
        }
    })
}

/// `a` with `update` in place of the window of its shape that begins at `starts`, an integer vector with
/// one entry per axis.
///
/// The starts are read when the array is evaluated; a window that does not fit inside `a` is written
/// beyond it, so the caller clamps them.
pub(crate) fn slice_update_dynamic(a: &Array, update: &Array, starts: &Array) -> Result<Array> {
    let axes: Vec<c_int> = (0..a.ndim() as c_int).collect();
    call("slice_update_dynamic", |result, stream| {
        // SAFETY: the handles are live, the list outlives the call, and goes with its length.
        unsafe {
            mlx_sys::mlx_slice_update_dynamic(
                result,
                a.as_ptr(),
                update.as_ptr(),
                starts.as_ptr(),
                axes.as_ptr(),
                axes.len(),
                stream,
            )
        }
    })
}

/// The parts of `size` of `a` at the positions that `indices` give along `axes`, one array each,
/// all of one integer dtype and shape. The result's axes are the indices', then `a`'s.
///
/// The indices are read when the array is evaluated; one out of range reads beyond `a`, so the
/// caller clamps them.
pub(crate) fn gather(a: &Array, indices: &[Array], axes: &[i32], size: &[i32]) -> Result<Array> {
    let handles: Vec<mlx_array> = indices.iter().map(Array::as_ptr).collect();
    call("gather", |result, stream| {
        // SAFETY: every handle is live, the lists outlive the calls, and each goes with its length.
        // The vector holds references of its own, and is freed here once.
        unsafe {
            let vector = mlx_sys::mlx_vector_array_new_data(handles.as_ptr(), handles.len());
            let status = mlx_sys::mlx_gather(
                result,
                a.as_ptr(),
                vector,
                axes.as_ptr(),
                axes.len(),
                size.as_ptr(),
                size.len(),
                stream,
            );
            mlx_sys::mlx_vector_array_free(vector);
            status
        }
    })
}

/// `a` with `updates` in place of its parts at the positions that `indices` give along `axes`, one array
/// each, all of one integer dtype and shape. The updates' axes are the indices', then `a`'s. Of several
/// for one place any may stay.
///
/// The indices are read when the array is evaluated; one out of range writes beyond `a`, so the caller
/// clamps them.
pub(crate) fn scatter(
    a: &Array,
    indices: &[Array],
    updates: &Array,
    axes: &[i32],
) -> Result<Array> {
    scattered("scatter", mlx_sys::mlx_scatter, a, indices, updates, axes)
}

/// As [`scatter`], the updates added to what is there.
pub(crate) fn scatter_add(
    a: &Array,
    indices: &[Array],
    updates: &Array,
    axes: &[i32],
) -> Result<Array> {
    scattered(
        "scatter_add",
        mlx_sys::mlx_scatter_add,
        a,
        indices,
        updates,
        axes,
    )
}

/// As [`scatter`], where an update is more than what is there.
pub(crate) fn scatter_max(
    a: &Array,
    indices: &[Array],
    updates: &Array,
    axes: &[i32],
) -> Result<Array> {
    scattered(
        "scatter_max",
        mlx_sys::mlx_scatter_max,
        a,
        indices,
        updates,
        axes,
    )
}

type Scatter = unsafe extern "C" fn(
    *mut mlx_array,
    mlx_array,
    mlx_vector_array,
    mlx_array,
    *const c_int,
    usize,
    mlx_stream,
) -> c_int;

fn scattered(
    name: &str,
    op: Scatter,
    a: &Array,
    indices: &[Array],
    updates: &Array,
    axes: &[i32],
) -> Result<Array> {
    let handles: Vec<mlx_array> = indices.iter().map(Array::as_ptr).collect();
    call(name, |result, stream| {
        // SAFETY: every handle is live, the lists outlive the calls, and each goes with its length.
        // The vector holds references of its own, and is freed here once.
        unsafe {
            let vector = mlx_sys::mlx_vector_array_new_data(handles.as_ptr(), handles.len());
            let (axes, count) = (axes.as_ptr(), axes.len());
            let status = op(
                result,
                a.as_ptr(),
                vector,
                updates.as_ptr(),
                axes,
                count,
                stream,
            );
            mlx_sys::mlx_vector_array_free(vector);
            status
        }
    })
}

/// Sums of products of windows of `input` with `kernel`, whose channels are last.
///
/// The lists have one entry per spatial axis: strides, zeros before and after, dilation of the kernel
/// and of the input. `groups` is 1 or more.
pub(crate) fn conv_general(
    input: &Array,
    kernel: &Array,
    lists: [&[c_int]; 5],
    groups: c_int,
) -> Result<Array> {
    let [strides, low, high, kernel_dilation, input_dilation] = lists;
    call("conv_general", |result, stream| {
        // SAFETY: both handles are live, the lists outlive the call, and each goes with its length.
        unsafe {
            mlx_sys::mlx_conv_general(
                result,
                input.as_ptr(),
                kernel.as_ptr(),
                strides.as_ptr(),
                strides.len(),
                low.as_ptr(),
                low.len(),
                high.as_ptr(),
                high.len(),
                kernel_dilation.as_ptr(),
                kernel_dilation.len(),
                input_dilation.as_ptr(),
                input_dilation.len(),
                groups,
                false,
                stream,
            )
        }
    })
}

/// For each pair of indices, which are broadcast, that matrix of `a` times that one of `b`: floats of one
/// dtype, on the CPU `f32`. Indices are `u32`.
///
/// They are read when the array is evaluated; one out of range reads beyond the matrices, so the caller
/// clamps them.
pub(crate) fn gather_mm(a: &Array, b: &Array, lhs: &Array, rhs: &Array) -> Result<Array> {
    call("gather_mm", |result, stream| {
        // SAFETY: the handles are live, and `call` passes a valid place and a live stream.
        unsafe {
            mlx_sys::mlx_gather_mm(
                result,
                a.as_ptr(),
                b.as_ptr(),
                lhs.as_ptr(),
                rhs.as_ptr(),
                false,
                stream,
            )
        }
    })
}

type Binary = unsafe extern "C" fn(*mut mlx_array, mlx_array, mlx_array, mlx_stream) -> c_int;

fn binary(name: &str, op: Binary, a: &Array, b: &Array) -> Result<Array> {
    call(name, |result, stream| {
        // SAFETY: both handles are live, and `call` passes a valid place and a live stream.
        unsafe { op(result, a.as_ptr(), b.as_ptr(), stream) }
    })
}

/// Runs one operation with a place for its result and the thread's stream.
///
/// What MLX threw is kept by mlx-rs, which gives it to its own callers only; the name has to do.
pub(super) fn call(
    name: &str,
    op: impl FnOnce(*mut mlx_array, mlx_stream) -> c_int,
) -> Result<Array> {
    initialize();
    let stream = Stream::thread_local_or_default();
    // SAFETY: takes nothing; the empty handle is owned here.
    let mut handle = unsafe { mlx_sys::mlx_array_new() };
    let status = op(&raw mut handle, stream.as_ptr());
    if status == 0 && !handle.ctx.is_null() {
        // SAFETY: a valid handle that nobody else owns.
        return Ok(unsafe { Array::from_ptr(handle) });
    }
    // SAFETY: as above; freeing an empty handle is allowed.
    unsafe { mlx_sys::mlx_array_free(handle) };
    Err(Exception::custom(format!("{name} was refused")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mlx_refuses_is_an_error_and_the_process_goes_on() {
        let of = |elements: &[i32]| Array::from_slice(elements, &[elements.len() as i32]);
        let error = bitwise_and(&of(&[1, 2]), &of(&[1, 2, 3])).expect_err("shapes differ");
        assert!(error.what().contains("bitwise_and"), "{}", error.what());
        let sum = bitwise_or(&of(&[1, 2]), &of(&[4, 4])).expect("shapes fit");
        assert_eq!(sum.as_slice::<i32>(), [5, 6]);
    }
}
