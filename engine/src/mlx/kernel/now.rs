//! Arrays that are computed when they are made, on whatever thread: src/mlx/now.cpp from the other side.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr;

use emily_spec::TensorType;
use mlx_rs::Array;
use mlx_rs::error::{Exception, Result};
use smallvec::SmallVec;

use super::{Operand, Place, Raw, index_of};
use crate::mlx::{dtype_of, initialize, is_available};

/// What the kernel makes of these operands, which are evaluated.
///
/// # Errors
/// One that counts as of memory, where there is none for the result.
///
/// # Panics
/// Where the kernel does, and for an operand that is not evaluated.
pub(crate) fn computed(
    inputs: &[Array],
    ty: &TensorType,
    kernel: &dyn Fn(&[Operand<'_>], Place<'_>),
) -> Result<Array> {
    initialize();
    let operands: SmallVec<[Operand<'_>; 3]> = inputs.iter().map(operand).collect();
    let shape: SmallVec<[i32; 6]> = ty.shape.iter().map(|&dim| dim as i32).collect();
    let mut data = ptr::null_mut();
    // SAFETY: the list outlives the call and goes with its length, and `data` is there to be written.
    let made = unsafe {
        emily_made(
            shape.as_ptr(),
            shape.len(),
            index_of(ty.dtype),
            &raw mut data,
        )
    };
    if made.is_null() {
        return Err(Exception::custom("out of memory: no buffer for a result"));
    }
    // SAFETY: a new array that nobody else owns, which is what an mlx-c handle holds.
    let array = unsafe { Array::from_ptr(mlx_sys::mlx_array { ctx: made }) };
    let place = Place {
        data,
        dtype: ty.dtype,
        elements: shape.iter().map(|&dim| dim as usize).product(),
        _buffer: PhantomData,
    };
    kernel(&operands, place);
    Ok(array)
}

/// An evaluated array as a kernel sees it.
fn operand(array: &Array) -> Operand<'_> {
    assert!(is_available(array), "an operand is not computed");
    let mut raw = Raw {
        data: ptr::null(),
        shape: ptr::null(),
        strides: ptr::null(),
        rank: 0,
    };
    // SAFETY: the handle is a live one, which points to what MLX calls an array, and that is evaluated; `raw` is
    // there to be written.
    unsafe { emily_operand(array.as_ptr().ctx, &raw mut raw) };
    // SAFETY: the lists are the array's own, which lives as long as the operand and never changes.
    let (shape, strides) = unsafe { raw.lists() };
    Operand {
        data: raw.data,
        dtype: dtype_of(array),
        shape,
        strides,
    }
}

/// What makes a view, as now.cpp numbers it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) enum Viewed {
    /// Of a dense array, by rows.
    Reshape = 0,
    Transpose = 1,
    Slice = 2,
    Broadcast = 3,
}

/// A view of an evaluated array, as MLX makes it: of this shape, with these strides, from this element on. All of
/// them are elements of the array.
///
/// # Errors
/// One that counts as of memory, where there is none for the view.
///
/// # Panics
/// For an array that is not evaluated, and where there are not as many strides as dimensions.
pub(crate) fn view(
    array: &Array,
    viewed: Viewed,
    shape: &[i32],
    strides: &[i64],
    offset: i64,
) -> Result<Array> {
    initialize();
    assert!(is_available(array), "an operand is not computed");
    assert_eq!(shape.len(), strides.len());
    // SAFETY: the handle is a live one, which points to what MLX calls an array; the lists outlive the call and go
    // with their length. The view shares the array's buffer, and whoever asks for it says that it is within.
    let view = unsafe {
        emily_view(
            array.as_ptr().ctx,
            viewed,
            shape.as_ptr(),
            strides.as_ptr(),
            shape.len(),
            offset,
        )
    };
    if view.is_null() {
        return Err(Exception::custom("out of memory: no room for a view"));
    }
    // SAFETY: a new array that nobody else owns, which is what an mlx-c handle holds.
    Ok(unsafe { Array::from_ptr(mlx_sys::mlx_array { ctx: view }) })
}

/// The shape and the strides of an evaluated array.
///
/// # Panics
/// For any other.
pub(crate) fn lie_of(array: &Array) -> (&[i32], &[i64]) {
    let operand = operand(array);
    (operand.shape, operand.strides)
}

unsafe extern "C" {
    fn emily_view(
        array: *const c_void,
        viewed: Viewed,
        shape: *const i32,
        strides: *const i64,
        rank: usize,
        offset: i64,
    ) -> *mut c_void;
    #[cfg(test)]
    fn emily_marks(array: *const c_void, marks: *mut usize);
    fn emily_operand(array: *const c_void, operand: *mut Raw);
    fn emily_made(
        shape: *const i32,
        rank: usize,
        dtype: usize,
        data: *mut *mut c_void,
    ) -> *mut c_void;
}

/// What MLX goes by when it reads an array: how now.cpp marks it, its strides, and where it begins.
#[cfg(test)]
pub(crate) fn marks(array: &Array) -> ([usize; 4], Vec<i64>, usize) {
    let mut marks = [0; 4];
    // SAFETY: the handle is live, and there is room for what is written.
    unsafe { emily_marks(array.as_ptr().ctx, marks.as_mut_ptr()) };
    let operand = operand(array);
    (marks, operand.strides.to_vec(), operand.data.addr())
}
