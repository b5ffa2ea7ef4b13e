//! Tensors from nothing.

use emily_spec::{Class, Constant, DType, Iota, Scalar, TensorType, row_major_strides};
use mlx_rs::error::Result;
use mlx_rs::ops::broadcast_to;
use mlx_rs::{Array, Dtype};

use super::cast::cast;
use super::dims;
use super::integer::{limits, unsigned};
use crate::mlx::{arange, complex, integer, real, to_mlx};

/// Counts in integers and casts, because floats stop counting where they run out of digits. An
/// integer dtype counts modulo 2^bits in its own width.
pub(super) fn iota(op: &Iota, ty: &TensorType) -> Result<Array> {
    let counter = if ty.dtype.is_integer() {
        unsigned(ty.dtype)
    } else {
        DType::U64
    };
    let shape = dims(&ty.shape);
    let counts = match op.axis {
        Some(axis) => broadcast_to(along(&shape, axis, 1, counter)?, &shape)?,
        None => flat(&shape, counter)?,
    };
    cast(&counts, ty.dtype)
}

/// Counts row-major over the whole shape. MLX counts to `i32::MAX`; what is longer is a sum of
/// counts along each axis.
fn flat(shape: &[i32], counter: DType) -> Result<Array> {
    let len = shape.iter().map(|&dim| dim as usize).product::<usize>();
    if let Ok(len) = i32::try_from(len) {
        return arange(len, to_mlx(counter))?.reshape(shape);
    }
    long(shape, counter)
}

/// The same as a sum of counts along each axis.
fn long(shape: &[i32], counter: DType) -> Result<Array> {
    let sizes: Vec<usize> = shape.iter().map(|&dim| dim as usize).collect();
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

/// The identity matrix, seen from every index of the axes before the last two.
pub(super) fn eye(ty: &TensorType) -> Result<Array> {
    let shape = dims(&ty.shape);
    let (rows, columns) = (shape[shape.len() - 2], shape[shape.len() - 1]);
    let matrix = identity(rows, columns)?;
    broadcast_to(cast(&matrix, ty.dtype)?, &shape)
}

/// Compares indices: MLX's own `eye` scatters into zeros, and knows no matrix without elements.
fn identity(rows: i32, columns: i32) -> Result<Array> {
    let shape = [rows, columns];
    let row = along(&shape, 0, 1, DType::U32)?;
    let column = along(&shape, 1, 1, DType::U32)?;
    row.eq(column)?.view_dtype(Dtype::Uint8)
}

/// One element, seen from everywhere. It is cast before it is repeated.
pub(super) fn constant(op: &Constant, ty: &TensorType) -> Result<Array> {
    let scalar = match (element(op, ty.dtype), op.value) {
        (Some(scalar), _) => scalar,
        (None, Scalar::Int(value)) if value < 0 => cast(&integer(DType::S64, value), ty.dtype)?,
        (None, Scalar::Int(value)) => cast(&integer(DType::U64, value), ty.dtype)?,
        (None, Scalar::Float(value) | Scalar::Complex(value, _)) => float(value, ty.dtype),
    };
    broadcast_to(scalar, &dims(&ty.shape))
}

/// The element, evaluated: all but integers beyond 2^53 as floats, which have no f64 and go by their own way to any
/// dtype.
pub(super) fn element(op: &Constant, dtype: DType) -> Option<Array> {
    const EXACT: i128 = 1 << 53;
    Some(match op.value {
        Scalar::Int(value) if dtype.is_integer() => integer(dtype, value),
        Scalar::Int(value) if value.abs() <= EXACT => real(dtype, value as f64),
        Scalar::Int(_) => return None,
        Scalar::Float(value) => float(value, dtype),
        Scalar::Complex(re, im) => match dtype.class() {
            Class::Complex => complex(re, im),
            Class::Unsigned | Class::Signed | Class::Float => float(re, dtype),
        },
    })
}

/// The nearest float of the dtype, or the integer that `as_type` makes of it.
fn float(value: f64, dtype: DType) -> Array {
    match dtype.class() {
        Class::Float | Class::Complex => real(dtype, value),
        Class::Unsigned | Class::Signed => integer(dtype, truncated(value, dtype)),
    }
}

/// The float without its fraction: NaN is 0, infinities are the dtype's limits. Above 2^117 a float
/// is a multiple of 2^64, which is nothing to any dtype.
fn truncated(value: f64, dtype: DType) -> i128 {
    let (min, max) = limits(dtype);
    if value.is_infinite() {
        return if value > 0.0 { max } else { min };
    }
    if value.abs() >= 2f64.powi(117) {
        return 0;
    }
    value as i128
}

#[cfg(test)]
mod tests {
    use mlx_rs::with_stream;

    use super::*;
    use crate::{Device, mlx};

    #[test]
    fn counts_along_the_axes_sum_up_to_row_major_ones() {
        let cpu = mlx::new_stream(Device::Cpu).unwrap();
        let counts = with_stream(&cpu, || long(&[2, 3, 2], DType::U8)?.contiguous()).unwrap();
        assert_eq!(counts.shape(), [2, 3, 2]);
        let want: Vec<u8> = (0..12).collect();
        assert_eq!(counts.to_vec_exact::<u8>().unwrap(), want);
    }
}
