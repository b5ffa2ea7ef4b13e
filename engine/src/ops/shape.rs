//! Moving elements without computing on them.

use emily_spec::TensorType;
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::{self, broadcast_to};

use super::cast::operand;
use super::{axes as mlx_axes, dims};
use crate::mlx::{dtype_of, integer};

/// A view.
pub(super) fn transpose(x: &Array, axes: &[usize]) -> Result<Array> {
    x.transpose_axes(&mlx_axes(axes))
}

/// A view. With `axes`, each operand axis goes to the one named, the others being new.
pub(super) fn broadcast(x: &Array, axes: Option<&[usize]>, ty: &TensorType) -> Result<Array> {
    let shape = dims(&ty.shape);
    let Some(axes) = axes else {
        return broadcast_to(x, &shape);
    };
    let mut aligned = vec![1; shape.len()];
    for (&axis, &dim) in axes.iter().zip(x.shape()) {
        aligned[axis] = dim;
    }
    broadcast_to(x.reshape(&aligned)?, &shape)
}

/// The parts are cast first: MLX would merge their dtypes its own way.
pub(super) fn concatenate(parts: &[Array], axis: usize, ty: &TensorType) -> Result<Array> {
    let parts = parts
        .iter()
        .map(|part| operand(part, ty.dtype))
        .collect::<Result<Vec<_>>>()?;
    ops::concatenate(&parts, axis as i32)
}

/// Every predicate that is not zero takes from `on_true`, NaN too.
pub(super) fn select(
    pred: &Array,
    on_true: &Array,
    on_false: &Array,
    ty: &TensorType,
) -> Result<Array> {
    let chosen = pred.ne(integer(dtype_of(pred), 0))?;
    ops::select(
        chosen,
        operand(on_true, ty.dtype)?,
        operand(on_false, ty.dtype)?,
    )
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use emily_spec::{DType, Op, Shape};
    use half::f16;

    use super::super::testing::{gives, scalar, tensor, vector};

    #[test]
    fn axes_permute() {
        let op = Op::Transpose {
            axes: vec![2, 0, 1],
        };
        let x: Vec<u8> = (0..6).collect();
        gives(
            &op,
            &[tensor([1, 2, 3], &x)],
            &tensor([3, 1, 2], &[0u8, 3, 1, 4, 2, 5]),
        );
        gives(
            &Op::Transpose { axes: vec![] },
            &[scalar(7i64)],
            &scalar(7i64),
        );
        let op = Op::Transpose { axes: vec![1, 0] };
        gives(
            &op,
            &[tensor::<f32>([0, 3], &[])],
            &tensor::<f32>([3, 0], &[]),
        );
    }

    fn broadcast(shape: impl Into<Shape>, axes: Option<&[usize]>) -> Op {
        Op::Broadcast {
            shape: shape.into(),
            axes: axes.map(<[usize]>::to_vec),
        }
    }

    #[test]
    fn sizes_of_one_stretch_and_axes_may_be_placed() {
        let x = vector(&[1i16, 2]);
        gives(
            &broadcast([2, 2], None),
            from_ref(&x),
            &tensor([2, 2], &[1i16, 2, 1, 2]),
        );
        gives(
            &broadcast([2, 3], Some(&[0])),
            &[x],
            &tensor([2, 3], &[1i16, 1, 1, 2, 2, 2]),
        );
        gives(
            &broadcast([2, 2], Some(&[])),
            &[scalar(5u8)],
            &tensor([2, 2], &[5u8; 4]),
        );
        let column = tensor([2, 1], &[1i16, 2]);
        gives(
            &broadcast([2, 1, 2], Some(&[0, 2])),
            &[column],
            &tensor([2, 1, 2], &[1i16, 1, 2, 2]),
        );
    }

    #[test]
    fn broadcasts_may_be_empty_or_scalar() {
        gives(&broadcast([0], None), &[vector(&[1u8])], &vector::<u8>(&[]));
        gives(
            &broadcast([3, 0], None),
            &[scalar(1u8)],
            &tensor::<u8>([3, 0], &[]),
        );
        gives(
            &broadcast([0, 2], None),
            &[tensor::<u8>([0, 1], &[])],
            &tensor::<u8>([0, 2], &[]),
        );
        gives(&broadcast([], None), &[scalar(1u8)], &scalar(1u8));
    }

    #[test]
    fn parts_join_at_their_merged_dtype() {
        let op = |axis| Op::Concatenate { axis, dtype: None };
        // MLX would merge u64 and s8 to f32, which has no 2^60 + 1.
        let wide = (1u64 << 60) + 1;
        gives(
            &op(0),
            &[vector(&[wide]), vector(&[-1i8])],
            &vector(&[wide as i64, -1]),
        );
        gives(
            &op(0),
            &[vector(&[3u8]), vector(&[f16::ONE])],
            &vector(&[f16::from_f32(3.0), f16::ONE]),
        );
        let (a, b) = (tensor([2, 1], &[1u8, 2]), tensor([2, 2], &[3u8, 4, 5, 6]));
        gives(&op(1), &[a, b], &tensor([2, 3], &[1u8, 3, 4, 2, 5, 6]));
        gives(&op(0), &[vector(&[1u8])], &vector(&[1u8]));
        let bytes = Op::Concatenate {
            axis: 0,
            dtype: Some(DType::U8),
        };
        gives(
            &bytes,
            &[vector(&[-1i32]), vector(&[257i32])],
            &vector(&[255u8, 1]),
        );
    }

    #[test]
    fn empty_parts_join() {
        let op = |axis| Op::Concatenate { axis, dtype: None };
        gives(
            &op(0),
            &[vector::<u8>(&[]), vector(&[1u8]), vector::<u8>(&[])],
            &vector(&[1u8]),
        );
        gives(
            &op(0),
            &[vector::<u8>(&[]), vector::<f32>(&[])],
            &vector::<f32>(&[]),
        );
        let empty = tensor::<u8>([2, 0], &[]);
        gives(&op(1), &[empty.clone(), empty], &tensor::<u8>([2, 0], &[]));
    }

    #[test]
    fn every_predicate_but_zero_is_true() {
        let op = Op::Select { dtype: None };
        let pred = vector(&[0.0f32, -0.0, f32::NAN, 0.5, -1.0]);
        gives(
            &op,
            &[pred, scalar(1u8), scalar(2u8)],
            &vector(&[2u8, 2, 1, 1, 1]),
        );
        let pred = vector(&[[0.0f32, 0.0], [0.0, 1.0]]);
        gives(&op, &[pred, scalar(1u8), scalar(2u8)], &vector(&[2u8, 1]));
        let pred = vector(&[1u64 << 63, 0]);
        gives(&op, &[pred, scalar(1u8), scalar(2u8)], &vector(&[1u8, 2]));
    }

    #[test]
    fn branches_are_cast_before_one_is_taken() {
        let op = Op::Select { dtype: None };
        let wide = (1u64 << 60) + 1;
        gives(
            &op,
            &[vector(&[1u8, 0]), scalar(wide), scalar(-1i8)],
            &vector(&[wide as i64, -1]),
        );
        gives(
            &op,
            &[scalar(1u8), tensor([2, 1], &[1u8, 2]), vector(&[1f32, 2.0])],
            &tensor([2, 2], &[1f32, 1.0, 2.0, 2.0]),
        );
        gives(
            &op,
            &[vector::<u8>(&[]), scalar(1u8), scalar(2u8)],
            &vector::<u8>(&[]),
        );
        let bytes = Op::Select {
            dtype: Some(DType::S8),
        };
        gives(
            &bytes,
            &[scalar(0u8), scalar(1i32), scalar(200i32)],
            &scalar(-56i8),
        );
    }
}
