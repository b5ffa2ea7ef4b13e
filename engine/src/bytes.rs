//! The bytes of a computed tensor.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;

use emily_spec::{Error, ErrorKind, Result};
use mlx_rs::Array;

use crate::planted::{Fault, strikes};
use crate::{mlx, reaper};

/// The bytes of a computed tensor, row-major; they alias MLX's buffer and keep it alive.
pub struct Bytes {
    /// Evaluated and row-contiguous, so that it has no graph and its data never changes.
    array: ManuallyDrop<Array>,
    /// Where its data is.
    start: NonNull<u8>,
    len: usize,
}

impl Bytes {
    /// Takes an evaluated, row-contiguous array. On CUDA this may move it: it is nobody else's, and this is the
    /// thread of its stream.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] for any other; [`ErrorKind::Memory`] where it could not be moved.
    pub(crate) fn new(array: Array) -> Result<Bytes> {
        if !mlx::is_row_contiguous(&array) {
            return Err(Error::new(
                ErrorKind::Internal,
                "a tensor was read before it lay in memory row by row; please report it",
            ));
        }
        let len = array.nbytes();
        let start = match len {
            // Its buffer may be none.
            0 => NonNull::dangling(),
            _ => address(mlx::data_ptr(&array), len)?,
        };
        Ok(Bytes {
            array: ManuallyDrop::new(array),
            start,
            len,
        })
    }
}

/// Where so many bytes begin.
///
/// # Errors
/// [`ErrorKind::Memory`] where they are nowhere.
fn address(data: *const u8, len: usize) -> Result<NonNull<u8>> {
    NonNull::new(data.cast_mut()).ok_or_else(|| {
        Error::new(
            ErrorKind::Memory,
            format!("no room for the {len} bytes of a tensor where the CPU can read them"),
        )
    })
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if strikes(Fault::Leak) {
            return;
        }
        // SAFETY: nobody uses the array after this.
        reaper::discard(unsafe { ManuallyDrop::take(&mut self.array) }, self.len);
    }
}

// SAFETY: the array is evaluated (`Bytes::new`), so it is only ever read: MLX changes neither its
// descriptor nor its data after evaluation, and its reference count is atomic. `start` is a place in it.
unsafe impl Send for Bytes {}

// SAFETY: as above.
unsafe impl Sync for Bytes {}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the array is evaluated and row-contiguous (`Bytes::new`), so its `len` bytes
        // stand at this address for as long as it lives, and nobody writes them.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.len)
    }
}

#[cfg(test)]
mod tests {
    use emily_spec::{DType, TensorType};

    use super::*;

    #[test]
    fn bytes_that_are_nowhere_are_an_error() {
        let error = address(std::ptr::null(), 8).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Memory);
        assert!(error.message.contains("8 bytes"), "{error}");
    }

    #[test]
    fn only_what_lies_in_memory_row_by_row_has_bytes() {
        let ty = TensorType::new(DType::U8, [2, 2]);
        let matrix = mlx::upload(&ty, &[1, 2, 3, 4]).unwrap();
        let transposed = matrix.transpose_axes(&[1, 0]).unwrap();
        assert_eq!(*Bytes::new(matrix).unwrap(), [1, 2, 3, 4]);
        let refused = |array| Bytes::new(array).unwrap_err().kind;
        assert_eq!(refused(mlx::clone_array(&transposed)), ErrorKind::Internal);
        transposed.eval().unwrap();
        assert_eq!(refused(transposed), ErrorKind::Internal);
    }
}
