//! Reductions.

use emily_spec::{TensorType, TieBreak};
use mlx_rs::error::Result;
use mlx_rs::ops::indexing::argmax_axis;
use mlx_rs::ops::{concatenate, zeros_dtype};
use mlx_rs::{Array, Axes};

use super::cast::cast;
use super::float::{order_keys, widened};
use super::{axes as mlx_axes, dims, length};
use crate::mlx::{clone_array, integer, slice, to_mlx};

/// The terms are cast to the result's dtype, then added: integers modulo 2^bits, `f16` and `bf16`
/// in `f32`, rounded once.
pub(super) fn sum(x: &Array, axes: Option<&[usize]>, keep: bool, ty: &TensorType) -> Result<Array> {
    let x = cast(x, ty.dtype)?;
    if x.size() == 0 {
        return zeros_dtype(&dims(&ty.shape), to_mlx(ty.dtype));
    }
    let all: Vec<usize> = (0..x.ndim()).collect();
    let axes = axes.unwrap_or(&all);
    let sum = if ty.dtype.is_integer() {
        x.sum_axes(&mlx_axes(axes), keep)?
    } else {
        float_sum(&x, axes)?
    };
    cast(&sum, ty.dtype)?.reshape(&dims(&ty.shape))
}

fn float_sum(x: &Array, axes: &[usize]) -> Result<Array> {
    axes.iter()
        .try_fold(widened(x)?, |x, &axis| blocked_sum(&x, axis))
}

/// How many terms are added one after another.
const BLOCK: i32 = 4;

/// The sum along one axis, which stays with size 1, in rounds that add blocks of four.
///
/// MLX's CPU kernels add one term after another, so their error grows with the length: a million
/// equal terms lose a hundredth of the sum. In rounds it grows with the logarithm, and the long
/// inner loop of each round is also faster.
fn blocked_sum(x: &Array, axis: usize) -> Result<Array> {
    let mut x = clone_array(x);
    while x.shape()[axis] > BLOCK {
        let len = x.shape()[axis];
        let rows = len / BLOCK;
        let (head, tail) = split(&x, axis, rows * BLOCK)?;
        let mut blocks = x.shape().to_vec();
        blocks.splice(axis..=axis, [BLOCK, rows]);
        let sums = head.reshape(&blocks)?.sum_axis(axis as i32, false)?;
        x = if rows * BLOCK == len {
            sums
        } else {
            concatenate(&[sums, tail], axis as i32)?
        };
    }
    x.sum_axis(axis as i32, true)
}

/// The parts before and from this index of the axis.
fn split(x: &Array, axis: usize, at: i32) -> Result<(Array, Array)> {
    let (mut starts, mut stops) = (vec![0; x.ndim()], x.shape().to_vec());
    let strides = vec![1; x.ndim()];
    (starts[axis], stops[axis]) = (at, at);
    Ok((
        slice(x, &vec![0; x.ndim()], &stops, &strides)?,
        slice(x, &starts, x.shape(), &strides)?,
    ))
}

/// The largest element's index along the axis, or in the flattened tensor.
///
/// MLX takes the first largest and skips NaN, so it is asked about keys in which NaN is the
/// largest, from the other end where the last one is wanted.
pub(super) fn argmax(
    x: &Array,
    axis: Option<usize>,
    tie_break: TieBreak,
    ty: &TensorType,
) -> Result<Array> {
    let shape = dims(&ty.shape);
    if x.size() == 0 {
        return zeros_dtype(&shape, to_mlx(ty.dtype));
    }
    let (x, axis) = match axis {
        Some(axis) => (clone_array(x), axis as i32),
        None => (x.reshape(&[length(x.size())?])?, 0),
    };
    let keys = order_keys(&x)?;
    let index = match tie_break {
        TieBreak::Low => cast(&argmax_axis(&keys, axis, false)?, ty.dtype)?,
        TieBreak::High => {
            let last = i128::from(keys.dim(axis)) - 1;
            let from_end = argmax_axis(keys.flip(Axes::Axis(axis))?, axis, false)?;
            integer(ty.dtype, last).subtract(cast(&from_end, ty.dtype)?)?
        }
    };
    index.reshape(&shape)
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use emily_spec::{DType, Op, Shape};
    use half::{bf16, f16};

    use super::super::testing::{Element, Host, answer, gives, scalar, tensor, vector};
    use super::*;

    fn sum(axes: Option<&[usize]>, keep_axes: bool, dtype: Option<DType>) -> Op {
        Op::Sum {
            axes: axes.map(<[usize]>::to_vec),
            keep_axes,
            dtype,
        }
    }

    const ALL: Op = Op::Sum {
        axes: None,
        keep_axes: false,
        dtype: None,
    };

    #[test]
    fn axes_are_summed_and_removed_or_kept() {
        let x = tensor([2, 3], &[1i32, 2, 3, 4, 5, 6]);
        gives(
            &sum(Some(&[0]), false, None),
            from_ref(&x),
            &vector(&[5i32, 7, 9]),
        );
        gives(
            &sum(Some(&[1]), true, None),
            from_ref(&x),
            &tensor([2, 1], &[6i32, 15]),
        );
        gives(&sum(Some(&[]), false, None), from_ref(&x), &x);
        gives(&ALL, &[x], &scalar(21i32));
        gives(&ALL, &[scalar(2.5f32)], &scalar(2.5f32));
        let cube: Vec<f32> = (0..24u8).map(f32::from).collect();
        let cube = tensor([2, 3, 4], &cube);
        gives(
            &sum(Some(&[2, 0]), false, None),
            from_ref(&cube),
            &vector(&[60f32, 92.0, 124.0]),
        );
        gives(
            &sum(Some(&[0, 2]), true, None),
            &[cube],
            &tensor([1, 3, 1], &[60f32, 92.0, 124.0]),
        );
    }

    #[test]
    fn nothing_sums_to_zero() {
        gives(&ALL, &[vector::<f32>(&[])], &scalar(0f32));
        gives(
            &sum(Some(&[1]), false, None),
            &[tensor::<u8>([2, 0], &[])],
            &vector(&[0u32, 0]),
        );
        gives(
            &sum(Some(&[0]), true, None),
            &[tensor::<u8>([2, 0], &[])],
            &tensor::<u32>([1, 0], &[]),
        );
        gives(&ALL, &[vector::<[f32; 2]>(&[])], &scalar([0f32, 0.0]));
    }

    #[test]
    fn integers_wrap_at_the_results_dtype() {
        gives(&ALL, &[vector(&[200u8; 3])], &scalar(600u32));
        gives(
            &sum(None, false, Some(DType::U8)),
            &[vector(&[200u8; 3])],
            &scalar(88u8),
        );
        gives(
            &sum(None, false, Some(DType::S8)),
            &[vector(&[100i32, 100])],
            &scalar(-56i8),
        );
        gives(
            &sum(None, false, Some(DType::S64)),
            &[vector(&[i32::MAX, i32::MAX])],
            &scalar((1i64 << 32) - 2),
        );
        gives(&ALL, &[vector(&[i64::MAX, 1])], &scalar(i64::MIN));
        gives(
            &ALL,
            &[vector(&[(1u64 << 60) + 1, 1])],
            &scalar((1i64 << 60) + 2),
        );
        gives(&ALL, &[vector(&[u32::MAX, 2])], &scalar(1u32));
        gives(
            &sum(None, false, Some(DType::U64)),
            &[vector(&[-1i8, -1])],
            &scalar(u64::MAX - 1),
        );
    }

    #[test]
    fn small_floats_accumulate_wide() {
        gives(
            &ALL,
            &[vector(&[bf16::ONE; 1000])],
            &scalar(bf16::from_f32(1000.0)),
        );
        gives(
            &ALL,
            &[vector(&[f16::ONE; 5000])],
            &scalar(f16::from_f32(5000.0)),
        );
        gives(
            &ALL,
            &[vector(&[f16::MAX, f16::MAX, -f16::MAX])],
            &scalar(f16::MAX),
        );
    }

    /// Within two units of f32 of the magnitude, as the op's row promises.
    fn close(x: &Host, axis: usize, keep: usize) {
        let got = answer(&sum(Some(&[axis]), false, None), from_ref(x)).values::<f32>();
        let values = x.values::<f32>();
        let (len, inner) = (
            x.ty.shape[axis],
            x.ty.shape[axis + 1..].iter().product::<usize>(),
        );
        assert_eq!(got.len(), keep);
        for (i, got) in got.into_iter().enumerate() {
            let start = i / inner * inner * len + i % inner;
            let terms = values[start..]
                .iter()
                .step_by(inner)
                .take(len)
                .map(|&x| f64::from(x));
            let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
            let error = (f64::from(got) - sum).abs();
            assert!(
                error <= 2.0 * f64::from(f32::EPSILON) * size,
                "{} {axis}: {got} {sum}",
                x.ty
            );
        }
    }

    #[test]
    fn long_sums_stay_within_two_units_of_their_magnitude() {
        for len in [5, 17, 1023, 1025, 4099, 100_003, 1 << 20] {
            // Equal terms are the worst: every rounding goes the same way.
            close(&vector(&vec![0.7f32; len]), 0, 1);
            let waves: Vec<f32> = (0..len).map(|i| (i as f32 * 0.37).sin()).collect();
            close(&vector(&waves), 0, 1);
        }
        let x: Vec<f32> = (0..3 * 1025 * 5).map(|i| (i % 97) as f32 / 97.0).collect();
        for axis in 0..3 {
            close(
                &tensor([3, 1025, 5], &x),
                axis,
                x.len() / [3, 1025, 5][axis],
            );
        }
    }

    #[test]
    fn complex_sums_add_both_parts() {
        let z: Vec<[f32; 2]> = (0..100).map(|i| [i as f32, -1.0]).collect();
        gives(&ALL, &[vector(&z)], &scalar([4950f32, -100.0]));
    }

    #[test]
    fn infinities_and_nan_are_natural() {
        gives(&ALL, &[vector(&[f32::INFINITY; 9])], &scalar(f32::INFINITY));
        let mixed = [f32::INFINITY, 1.0, 1.0, 1.0, 1.0, f32::NEG_INFINITY];
        assert!(answer(&ALL, &[vector(&mixed)]).values::<f32>()[0].is_nan());
    }

    fn largest<T: Element>(values: &[T], low: i32, high: i32) {
        for (tie_break, want) in [(TieBreak::Low, low), (TieBreak::High, high)] {
            for axis in [None, Some(0)] {
                let op = Op::Argmax {
                    axis,
                    tie_break,
                    keep_axis: false,
                    dtype: None,
                };
                gives(&op, &[vector(values)], &scalar(want));
            }
        }
    }

    #[test]
    fn ties_break_as_asked() {
        largest(&[1i32, 3, 2, 3], 1, 3);
        largest(&[0u8; 40], 0, 39);
        largest(&[0.0f32, -0.0, -1.0], 0, 1);
        largest(&[-0.0f32, 0.0, -1.0], 0, 1);
        largest(&[f32::NEG_INFINITY; 3], 0, 2);
    }

    #[test]
    fn nan_is_the_largest() {
        let nan = f32::NAN;
        largest(&[1.0f32, nan, f32::INFINITY, -nan, 2.0], 1, 3);
        largest(&[f16::INFINITY, f16::NAN], 1, 1);
        largest(&[bf16::NAN, bf16::INFINITY], 0, 0);
        largest(&[f64::NAN, 1.0, f64::NAN], 0, 2);
    }

    #[test]
    fn wide_integers_are_told_apart() {
        largest(&[u64::MAX - 1, u64::MAX, 0], 1, 1);
        largest(&[(1i64 << 60), (1 << 60) + 1, i64::MIN], 1, 1);
        largest(&[1u64 << 63, 1], 0, 0);
        largest(&[i8::MIN, -1, -128], 1, 1);
    }

    #[test]
    fn the_axis_is_removed_or_kept() {
        let x = tensor([2, 3], &[5i32, 1, 5, 2, 9, 0]);
        let op = |axis, keep_axis, dtype| Op::Argmax {
            axis,
            tie_break: TieBreak::High,
            keep_axis,
            dtype,
        };
        gives(&op(Some(1), false, None), from_ref(&x), &vector(&[2i32, 1]));
        gives(
            &op(Some(0), true, Some(DType::U8)),
            from_ref(&x),
            &tensor([1, 3], &[0u8, 1, 0]),
        );
        gives(
            &op(None, false, Some(DType::S64)),
            from_ref(&x),
            &scalar(4i64),
        );
        gives(&op(None, true, None), &[x], &tensor([1, 1], &[4i32]));
        gives(&op(None, false, None), &[scalar(3f32)], &scalar(0i32));
        gives(
            &op(Some(1), false, None),
            &[tensor::<f32>([0, 3], &[])],
            &vector::<i32>(&[]),
        );
        let empty = tensor::<f32>([2, 0], &[]);
        let shape = Shape::from([1, 0]);
        gives(
            &op(Some(0), true, None),
            &[empty],
            &tensor::<i32>(shape, &[]),
        );
    }
}
