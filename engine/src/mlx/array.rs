//! Handles to arrays, and their bytes.

use std::ffi::{c_char, c_int, c_void};

use emily_spec::{Error, ErrorKind, Result, Shape, TensorType};
use mlx_rs::error::Exception;
use mlx_rs::{Array, Dtype};

use super::error::answered;
use super::{bitwise_and, from_mlx, initialize, to_mlx};
use crate::{Device, memory};

/// Another handle to the same array: a reference count, no copy.
pub(crate) fn clone_array(array: &Array) -> Array {
    // SAFETY: `mlx_array_new` gives an empty handle that nobody else has, and `mlx_array_set` fills
    // it with a reference of its own, so the new `Array` is the handle's only owner.
    let handle = unsafe {
        let mut handle = mlx_sys::mlx_array_new();
        mlx_sys::mlx_array_set(&raw mut handle, array.as_ptr());
        handle
    };
    assert!(!handle.ctx.is_null(), "MLX could not allocate a handle");
    // SAFETY: as above: valid, and owned by nobody else.
    unsafe { Array::from_ptr(handle) }
}

/// A new evaluated array of this type with a copy of `bytes`: row-major, in the machine's order.
///
/// # Errors
/// [`ErrorKind::Argument`] where the byte count is not the type's, [`ErrorKind::Memory`] where MLX
/// cannot hold it, or there is none for a copy of bytes that lie askew.
pub(crate) fn upload(ty: &TensorType, bytes: &[u8]) -> Result<Array> {
    ty.check_byte_count(bytes.len())?;
    let shape = dims(&ty.shape);
    initialize();
    let mut room = Vec::new();
    let data = aligned(bytes, &mut room)?.as_ptr();
    // SAFETY: `data` holds the type's bytes, as checked above, and is aligned for every element type. MLX
    // copies them before it returns. For an empty tensor none are read.
    let array = unsafe { Array::from_raw_data(data.cast(), &shape, to_mlx(ty.dtype)) };
    if array.as_ptr().ctx.is_null() {
        return Err(Error::new(
            ErrorKind::Memory,
            format!("MLX could not allocate {ty}"),
        ));
    }
    Ok(array)
}

/// The same bytes, in `room` where they lie askew: MLX reads them as elements, of eight bytes at most.
fn aligned<'a>(bytes: &'a [u8], room: &'a mut Vec<u8>) -> Result<&'a [u8]> {
    const WIDEST: usize = align_of::<u64>();
    if bytes.as_ptr().addr().is_multiple_of(WIDEST) {
        return Ok(bytes);
    }
    let reserved = room.try_reserve_exact(bytes.len().saturating_add(WIDEST));
    reserved.map_err(memory::none_for(bytes.len()))?;
    room.resize(room.as_ptr().addr().wrapping_neg() % WIDEST, 0);
    let start = room.len();
    room.extend_from_slice(bytes);
    Ok(&room[start..])
}

/// The shape as MLX takes it. Who knew its size has checked that each dimension fits.
pub(crate) fn dims(shape: &Shape) -> Vec<i32> {
    shape.iter().map(|&dim| dim as i32).collect()
}

/// The array's shape.
pub(crate) fn shape_of(array: &Array) -> Shape {
    let dims = array.shape().iter();
    Shape::new(dims.map(|&dim| dim as usize).collect::<Vec<_>>())
}

/// True once the array's value is in memory, so that any thread may read it.
pub(crate) fn is_available(array: &Array) -> bool {
    flag(array, mlx_sys::_mlx_array_is_available)
}

/// Whether the array's value is in memory, and any thread may read it from now on. Its own thread asks, as MLX notes
/// the answer down.
///
/// # Errors
/// That of a kernel which failed on the array's stream, not necessarily on the way to this array. MLX tells it once.
pub(crate) fn is_there(array: &Array) -> Result<bool> {
    initialize();
    answered(|text, room| {
        // SAFETY: the handle is an mlx-c one, which points to what MLX calls an array, and is live. The text is of so
        // much room, of which the call writes no more, with a zero at the end.
        unsafe { emily_is_there(array.as_ptr().ctx, text, room) }
    })
    .map(|answer| answer > 0)
}

unsafe extern "C" {
    fn emily_is_there(array: *const c_void, text: *mut c_char, room: usize) -> c_int;
}

/// True when an evaluated array's elements lie in memory in row-major order, without gaps.
pub(crate) fn is_row_contiguous(array: &Array) -> bool {
    is_available(array) && flag(array, mlx_sys::_mlx_array_is_row_contiguous)
}

/// Where an evaluated array's first element is; null when it is not evaluated.
///
/// The address is valid for as long as a handle to the array lives. Reading `nbytes` from it in
/// row-major order needs [`is_row_contiguous`].
pub(crate) fn data_ptr(array: &Array) -> *const u8 {
    if !is_available(array) {
        return std::ptr::null();
    }
    // SAFETY: the handle is live and its array evaluated, so it has a buffer. The function only
    // computes an address, of which the element type in its name is no part.
    unsafe { mlx_sys::mlx_array_data_uint8(array.as_ptr()) }
}

/// The same values in row-major order without gaps; no copy where they already lie so.
pub(crate) fn contiguous(array: &Array) -> Result<Array> {
    array.contiguous().map_err(from_mlx)
}

/// Whether the CPU's reading an array moves it. MLX moves a CUDA buffer to where the CPU can read it, and
/// frees it where it was, whichever kernels of other streams are still to read it there. Without elements
/// there is nothing to move, and a copy of it crashes.
pub(crate) fn moves_when_read(array: &Array, device: Device) -> bool {
    device == Device::Gpu && cfg!(not(target_os = "macos")) && array.size() > 0
}

/// The same values for the CPU to read: in a buffer that nobody else has where reading moves it, elsewhere
/// another handle.
pub(crate) fn private(array: &Array, device: Device) -> std::result::Result<Array, Exception> {
    if !moves_when_read(array, device) {
        return Ok(clone_array(array));
    }
    let bits = array.view_dtype(match array.item_size() {
        1 => Dtype::Uint8,
        2 => Dtype::Uint16,
        4 => Dtype::Uint32,
        _ => Dtype::Uint64,
    })?;
    // Any kernel writes to a new buffer, or to that of an operand that nobody else has.
    bitwise_and(&bits, &bits)?.view_dtype(array.dtype())
}

/// Asks one of MLX's questions about an array; no answer counts as no.
fn flag(
    array: &Array,
    question: unsafe extern "C" fn(*mut bool, mlx_sys::mlx_array) -> c_int,
) -> bool {
    initialize();
    let mut answer = false;
    // SAFETY: the handle is live, and `answer` outlives the call that writes it.
    let status = unsafe { question(&raw mut answer, array.as_ptr()) };
    status == 0 && answer
}

#[cfg(test)]
mod tests {
    use emily_spec::DType;

    use super::*;

    fn bytes_of(array: &Array) -> Vec<u8> {
        array.eval().unwrap();
        assert!(is_row_contiguous(array));
        let start = data_ptr(array);
        // SAFETY: evaluated and row-contiguous, so `nbytes` bytes stand there.
        unsafe { std::slice::from_raw_parts(start, array.nbytes()) }.to_vec()
    }

    #[test]
    fn uploaded_bytes_come_back_at_every_dtype_and_alignment() {
        let bytes: Vec<u8> = (0..200).map(|i| (i * 37 % 251) as u8).collect();
        for dtype in DType::ALL {
            let ty = TensorType::new(dtype, [2, 3]);
            let count = ty.byte_size().unwrap();
            for offset in 0..9 {
                let part = &bytes[offset..offset + count];
                let array = upload(&ty, part).unwrap();
                assert_eq!(array.shape(), [2, 3]);
                assert_eq!(bytes_of(&array), part, "{ty} at {offset}");
            }
        }
    }

    #[test]
    fn empty_tensors_and_scalars_upload() {
        for dtype in DType::ALL {
            let empty = upload(&TensorType::new(dtype, [2, 0]), &[]).unwrap();
            assert_eq!(shape_of(&empty), Shape::from([2, 0]));
            let scalar = TensorType::new(dtype, Shape::scalar());
            let array = upload(&scalar, &vec![1; dtype.size()]).unwrap();
            assert_eq!(bytes_of(&array), vec![1; dtype.size()]);
        }
    }

    #[test]
    fn a_wrong_byte_count_is_an_error() {
        let ty = TensorType::new(DType::F32, [2]);
        assert_eq!(upload(&ty, &[0; 7]).unwrap_err().kind, ErrorKind::Argument);
    }

    #[test]
    fn a_clone_is_the_same_array() {
        let array = upload(&TensorType::new(DType::S32, [1]), &7i32.to_ne_bytes()).unwrap();
        let clone = clone_array(&array);
        assert_eq!(data_ptr(&array), data_ptr(&clone));
        drop(array);
        assert_eq!(bytes_of(&clone), 7i32.to_ne_bytes());
    }

    #[test]
    fn an_array_that_is_not_evaluated_has_no_address() {
        let one = upload(&TensorType::new(DType::S32, [1]), &[0; 4]).unwrap();
        let sum = one.add(&one).unwrap();
        assert!(!is_available(&sum));
        assert!(!is_row_contiguous(&sum));
        assert!(data_ptr(&sum).is_null());
    }
}
