//! Orders.

use emily_spec::{Argsort, Direction, TensorType};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::{argsort_axis, zeros_dtype};

use super::cast::cast;
use super::float::order_keys;
use super::{Cx, dims};
use crate::Device;
use crate::mlx::{dtype_of, integer, to_mlx};

/// Stable in both directions.
///
/// MLX sorts stably and only upwards. Reversing its answer would reverse ties too, and negating
/// breaks unsigned integers and the least signed one; −1 − k turns the order of integer keys
/// around, modulo 2^bits for unsigned ones, and keeps ties in place. MLX's CUDA kernel mixes up the
/// axes of keys that lie in memory in another order, so there they are laid out first.
pub(super) fn argsort(op: &Argsort, x: &Array, ty: &TensorType, cx: &Cx) -> Result<Array> {
    if x.ndim() == 0 || x.size() == 0 {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    let keys = order_keys(x)?;
    let keys = match op.direction {
        Direction::Asc => keys,
        Direction::Desc => integer(dtype_of(&keys), -1).subtract(keys)?,
    };
    let keys = match cx.device {
        Device::Cpu => keys,
        Device::Gpu => keys.contiguous()?,
    };
    cast(&argsort_axis(keys, op.axis as i32)?, ty.dtype)
}
