//! The bytes of a computed tensor.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;

use emily_spec::{Error, ErrorKind, Result};
use mlx_rs::Array;

use crate::planted::{Fault, strikes};
use crate::{mlx, reaper};

/// The bytes of a computed tensor, row-major; they alias MLX's buffer and keep it alive.
pub struct Bytes {
    /// Evaluated and row-contiguous, so that it has no graph and its data never changes.
    array: ManuallyDrop<Array>,
    len: usize,
}

impl Bytes {
    /// Takes an evaluated, row-contiguous array.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] for any other.
    pub(crate) fn new(array: Array) -> Result<Bytes> {
        if !mlx::is_row_contiguous(&array) {
            return Err(Error::new(
                ErrorKind::Internal,
                "a tensor was read before it lay in memory row by row; please report it",
            ));
        }
        let len = array.nbytes();
        Ok(Bytes {
            array: ManuallyDrop::new(array),
            len,
        })
    }
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
// descriptor nor its data after evaluation, and its reference count is atomic.
unsafe impl Sync for Bytes {}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: the array is evaluated and row-contiguous (`Bytes::new`), so its `len` bytes
        // stand at this address for as long as it lives, and nobody writes them.
        unsafe { std::slice::from_raw_parts(mlx::data_ptr(&self.array), self.len) }
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
