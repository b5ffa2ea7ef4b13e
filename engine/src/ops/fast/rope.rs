//! Rotary positions.
//!
//! MLX's own multiplies positions and frequencies in `f32`: at position 100,000 its angles are off by
//! some thousandths.

use emily_spec::{DType, Rope, TensorType};
use mlx_rs::error::Result;
use mlx_rs::ops::{concatenate, stack};
use mlx_rs::{Array, Dtype};

use crate::Device;
use crate::mlx::{arange, real, slice, slice_axis, to_mlx};
use crate::ops::cast::cast;
use crate::ops::float::widened;
use crate::ops::unary::function::{cos, sin};
use crate::ops::{Cx, dims, length};

/// Each pair of features rotated by the angle of its position.
pub(in crate::ops) fn rope(op: &Rope, inputs: &[Array], ty: &TensorType, cx: &Cx) -> Result<Array> {
    let x = widened(&cast(&inputs[0], ty.dtype)?)?;
    let pairs = length(op.pairs(ty.shape.last().copied().unwrap_or(0)))?;
    if x.size() == 0 || pairs == 0 {
        return x.as_dtype(to_mlx(ty.dtype));
    }
    let table = cx.owned(&inputs[1..])?;
    let [sine, cosine] = cx.on_cpu([], |[]| sines_and_cosines(op, &table, ty, x.dtype(), cx))?;

    let axis = x.ndim() - 1;
    let [a, b] = match op.traditional {
        true => [every_second(&x, 0, pairs)?, every_second(&x, 1, pairs)?],
        false => [
            slice_axis(&x, axis, 0..pairs)?,
            slice_axis(&x, axis, pairs..2 * pairs)?,
        ],
    };
    let first = a.multiply(&cosine)?.subtract(b.multiply(&sine)?)?;
    let second = a.multiply(&sine)?.add(b.multiply(&cosine)?)?;
    let mut rotated = dims(&ty.shape);
    rotated[axis] = 2 * pairs;
    let rotated = match op.traditional {
        true => stack(&[first, second], -1)?.reshape(&rotated)?,
        false => concatenate(&[first, second], -1)?,
    };
    let rest = slice_axis(&x, axis, 2 * pairs..x.dim(-1))?;
    concatenate(&[rotated, rest], -1)?.as_dtype(to_mlx(ty.dtype))
}

/// Every second feature from this one on.
fn every_second(x: &Array, from: i32, pairs: i32) -> Result<Array> {
    let mut starts = vec![0; x.ndim()];
    let (mut stops, mut strides) = (x.shape().to_vec(), vec![1; x.ndim()]);
    let axis = x.ndim() - 1;
    (starts[axis], stops[axis], strides[axis]) = (from, 2 * pairs, 2);
    slice(x, &starts, &stops, &strides)
}

/// Sines and cosines for each position and pair, of angles in `f64`, which only the CPU has. The
/// table is the offset, and the frequencies if they are given.
fn sines_and_cosines(
    op: &Rope,
    table: &[Array],
    ty: &TensorType,
    dtype: Dtype,
    cx: &Cx,
) -> Result<[Array; 2]> {
    let rank = ty.shape.rank();
    let wide = |x: &Array| cast(x, DType::F64);
    let steps = arange(length(ty.shape[rank - 2])?, Dtype::Float64)?.reshape(&[-1, 1])?;
    let mut offset = wide(&table[0])?;
    if offset.ndim() > 0 {
        let mut shape = vec![1; rank];
        shape[0] = offset.dim(0);
        offset = offset.reshape(&shape)?;
    }
    let positions = offset
        .add(steps)?
        .multiply(real(DType::F64, op.factor().unwrap_or(f64::NAN)))?;
    let angles = match table.get(1) {
        Some(freqs) => positions.divide(wide(freqs)?)?,
        None => {
            let pairs = op.pairs(ty.shape[rank - 1]);
            let frequencies = op.frequencies(pairs).into_iter().map(f64::to_bits);
            let bits: Vec<u64> = frequencies.collect();
            let bits = Array::from_slice(&bits, &[length(pairs)?]);
            positions.multiply(bits.view_dtype(Dtype::Float64)?)?
        }
    };
    let cpu = Cx::new(Device::Cpu, cx.cpu);
    let (sine, cosine) = (sin(&angles, &cpu)?, cos(&angles, &cpu)?);
    Ok([sine.as_dtype(dtype)?, cosine.as_dtype(dtype)?])
}
