//! Tensors from nothing.

use emily_spec::{DType, TensorType, row_major_strides};
use mlx_rs::Array;
use mlx_rs::error::Result;
use mlx_rs::ops::broadcast_to;

use super::cast::cast;
use super::dims;
use super::integer::unsigned;
use crate::mlx::{arange, integer, to_mlx};

/// Counts in integers and casts, because floats stop counting where they run out of digits. An
/// integer dtype counts modulo 2^bits in its own width.
pub(super) fn iota(ty: &TensorType, axis: Option<usize>) -> Result<Array> {
    let counter = if ty.dtype.is_integer() {
        unsigned(ty.dtype)
    } else {
        DType::U64
    };
    let shape = dims(&ty.shape);
    let counts = match axis {
        Some(axis) => broadcast_to(along(&shape, axis, 1, counter)?, &shape)?,
        None => flat(&shape, counter)?,
    };
    cast(&counts, ty.dtype)
}

/// Counts row-major over the whole shape. MLX counts to `i32::MAX`; what is longer is a sum of
/// counts along each axis.
fn flat(shape: &[i32], counter: DType) -> Result<Array> {
    let sizes: Vec<usize> = shape.iter().map(|&dim| dim as usize).collect();
    if let Ok(len) = i32::try_from(sizes.iter().product::<usize>()) {
        return arange(len, to_mlx(counter))?.reshape(shape);
    }
    let strides = row_major_strides(&sizes);
    (0..shape.len()).try_fold(integer(counter, 0), |sum, axis| {
        sum.add(along(shape, axis, strides[axis], counter)?)
    })
}

/// 0, `step`, 2 · `step` … along the axis, with size 1 along the others.
fn along(shape: &[i32], axis: usize, step: usize, counter: DType) -> Result<Array> {
    let mut line = vec![1; shape.len()];
    line[axis] = shape[axis];
    arange(shape[axis], to_mlx(counter))?
        .multiply(integer(counter, step as i128))?
        .reshape(&line)
}

#[cfg(test)]
mod tests {
    use emily_spec::{Op, Shape};
    use half::{bf16, f16};

    use super::super::testing::{Element, answer, gives, scalar, tensor, vector};
    use super::*;

    fn counts<T: Element>(shape: impl Into<Shape>, axis: Option<usize>, want: &[T]) {
        let shape = shape.into();
        let op = Op::Iota {
            dtype: T::DTYPE,
            shape: shape.clone(),
            axis,
        };
        gives(&op, &[], &tensor(shape, want));
    }

    #[test]
    fn counts_along_an_axis_or_over_everything() {
        counts([2, 3], None, &[0i32, 1, 2, 3, 4, 5]);
        counts([2, 3], Some(0), &[0u64, 0, 0, 1, 1, 1]);
        counts([2, 3], Some(1), &[0f64, 1.0, 2.0, 0.0, 1.0, 2.0]);
        counts([2], None, &[[0f32, 0.0], [1.0, 0.0]]);
    }

    #[test]
    fn a_scalar_is_zero_and_an_empty_shape_stays_empty() {
        let op = Op::Iota {
            dtype: DType::Bf16,
            shape: Shape::scalar(),
            axis: None,
        };
        gives(&op, &[], &scalar(bf16::ZERO));
        counts::<u8>([0, 3], Some(1), &[]);
        counts::<f32>([3, 0], None, &[]);
    }

    #[test]
    fn small_integers_wrap() {
        let bytes: Vec<i8> = (0..300i32).map(|i| i as i8).collect();
        counts([300], None, &bytes);
        let bytes: Vec<u8> = (0..600i32).map(|i| i as u8).collect();
        counts([600], Some(0), &bytes);
    }

    #[test]
    fn floats_count_beyond_their_digits() {
        let brain: Vec<bf16> = (0..70_000).map(|i| bf16::from_f64(f64::from(i))).collect();
        counts([70_000], None, &brain);
        let half: Vec<f16> = (0..70_000).map(|i| f16::from_f64(f64::from(i))).collect();
        counts([70_000], None, &half);
        let op = Op::Iota {
            dtype: DType::F32,
            shape: Shape::from([(1 << 24) + 4]),
            axis: None,
        };
        let got = answer(&op, &[]).values::<f32>();
        assert_eq!(
            got[1 << 24..],
            [16_777_216.0, 16_777_216.0, 16_777_218.0, 16_777_220.0]
        );
    }

    #[test]
    fn counts_that_mlx_cannot_number_are_sums_along_the_axes() {
        use super::super::testing::{download, on_cpu};
        let strides = row_major_strides(&[2, 3, 2]);
        let got = on_cpu(|_| {
            let parts =
                (0..3).map(|axis| along(&[2, 3, 2], axis, strides[axis], DType::U8).unwrap());
            let sum = parts.reduce(|sum, part| sum.add(part).unwrap()).unwrap();
            download(&sum).unwrap()
        });
        assert_eq!(vector(&got).values::<u8>(), (0..12).collect::<Vec<_>>());
    }
}
