//! What the engine needs of MLX below mlx-rs, and how MLX's words map to ours.
//!
//! **Architecture invariant:** the only place with raw `mlx_sys` calls. Everything here is safe to
//! call: an `unsafe` block's conditions hold by what stands next to it.

mod array;
mod cuda;
mod device;
mod dtype;
mod error;
mod kernel;
mod raw;
mod scalar;
mod stream;

pub(crate) use array::{
    clone_array, contiguous, data_ptr, dims, is_available, is_row_contiguous, is_there,
    moves_when_read, private, shape_of, upload,
};
pub(crate) use cuda::indexed_add;
pub use device::version;
pub(crate) use device::{gpu_available, initialize};
pub(crate) use dtype::{dtype_of, to_mlx};
pub(crate) use error::{from_mlx, refusal};
#[cfg(test)]
pub(crate) use kernel::marks;
pub(crate) use kernel::{Element, Kernel, Operand, Place, Viewed, computed, lazy, lie_of, view};
pub(crate) use raw::{
    arange, bitwise_and, bitwise_or, bitwise_xor, conjugate, conv_general, gather, gather_mm,
    left_shift, right_shift, scatter, scatter_add, scatter_max, slice, slice_axis, slice_dynamic,
    slice_update, slice_update_dynamic,
};
pub(crate) use scalar::{complex, integer, real};
pub(crate) use stream::{Told, new_stream, synchronize, tell};
