//! The bytes of a computed tensor.

use std::fmt;
use std::ops::Deref;

use mlx_rs::Array;

use crate::mlx;

/// The bytes of a computed tensor, row-major; they alias MLX's buffer and keep it alive.
pub struct Bytes {
    /// Evaluated and row-contiguous, so that it has no graph and its data never changes.
    array: Array,
    len: usize,
}

impl Bytes {
    /// Takes an evaluated, row-contiguous array.
    pub(crate) fn new(array: Array) -> Bytes {
        let len = array.nbytes();
        Bytes { array, len }
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
