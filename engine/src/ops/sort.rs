//! Orders.

use emily_spec::{Direction, TensorType};
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
pub(super) fn argsort(
    x: &Array,
    axis: usize,
    direction: Direction,
    ty: &TensorType,
    cx: &Cx,
) -> Result<Array> {
    if x.ndim() == 0 || x.size() == 0 {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    let keys = order_keys(x)?;
    let keys = match direction {
        Direction::Asc => keys,
        Direction::Desc => integer(dtype_of(&keys), -1).subtract(keys)?,
    };
    let keys = match cx.device {
        Device::Cpu => keys,
        Device::Gpu => keys.contiguous()?,
    };
    cast(&argsort_axis(keys, axis as i32)?, ty.dtype)
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use emily_spec::{DType, Op};
    use half::{bf16, f16};

    use super::super::testing::{Element, gives, scalar, tensor, vector};
    use super::*;

    fn argsort(axis: usize, direction: Direction, dtype: Option<DType>) -> Op {
        Op::Argsort {
            axis,
            direction,
            dtype,
        }
    }

    fn sorts<T: Element>(values: &[T], asc: &[i32], desc: &[i32]) {
        gives(
            &argsort(0, Direction::Asc, None),
            &[vector(values)],
            &vector(asc),
        );
        gives(
            &argsort(0, Direction::Desc, None),
            &[vector(values)],
            &vector(desc),
        );
    }

    #[test]
    fn ties_keep_their_order_both_ways() {
        sorts(&[2i32, 1, 2, 1], &[1, 3, 0, 2], &[0, 2, 1, 3]);
        sorts(&[0.0f32, -0.0, 0.0, -1.0], &[3, 0, 1, 2], &[0, 1, 2, 3]);
        let same: Vec<i32> = (0..1000).collect();
        sorts(&[7u8; 1000], &same, &same);
    }

    #[test]
    fn nan_is_above_everything() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        sorts(
            &[nan, 1.0, -nan, inf, -inf],
            &[4, 1, 3, 0, 2],
            &[0, 2, 3, 1, 4],
        );
        sorts(&[f16::NAN, f16::INFINITY, f16::NAN], &[1, 0, 2], &[0, 2, 1]);
        sorts(&[bf16::NAN, bf16::ZERO], &[1, 0], &[0, 1]);
        sorts(&[f64::NAN, -1.0, -2.0], &[2, 1, 0], &[0, 1, 2]);
    }

    #[test]
    fn every_integer_sorts_both_ways() {
        sorts(&[0u8, 255, 1], &[0, 2, 1], &[1, 2, 0]);
        sorts(&[i8::MIN, 127, 0], &[0, 2, 1], &[1, 2, 0]);
        sorts(&[1u64 << 63, 0, u64::MAX], &[1, 0, 2], &[2, 0, 1]);
        sorts(
            &[(1i64 << 60) + 1, 1 << 60, i64::MIN],
            &[2, 1, 0],
            &[0, 1, 2],
        );
    }

    #[test]
    fn negative_floats_ascend() {
        sorts(&[-1.0f32, -2.0, -1.5, 3.0], &[1, 2, 0, 3], &[3, 0, 2, 1]);
        let tiny = f32::from_bits(1);
        sorts(&[tiny, 0.0, -tiny], &[2, 1, 0], &[0, 1, 2]);
    }

    #[test]
    fn any_axis_sorts_at_any_dtype() {
        let x = tensor([2, 3], &[3u8, 1, 2, 0, 5, 4]);
        gives(
            &argsort(0, Direction::Asc, None),
            from_ref(&x),
            &tensor([2, 3], &[1i32, 0, 0, 0, 1, 1]),
        );
        let op = argsort(1, Direction::Desc, Some(DType::U64));
        gives(&op, &[x], &tensor([2, 3], &[0u64, 2, 1, 1, 2, 0]));
    }

    #[test]
    fn scalars_and_empty_tensors_sort() {
        gives(
            &argsort(0, Direction::Desc, None),
            &[scalar(1.5f32)],
            &scalar(0i32),
        );
        gives(
            &argsort(0, Direction::Asc, None),
            &[vector::<f32>(&[])],
            &vector::<i32>(&[]),
        );
        let empty = tensor::<f32>([0, 2], &[]);
        gives(
            &argsort(1, Direction::Asc, None),
            from_ref(&empty),
            &tensor::<i32>([0, 2], &[]),
        );
        gives(
            &argsort(0, Direction::Asc, None),
            &[empty],
            &tensor::<i32>([0, 2], &[]),
        );
    }
}
