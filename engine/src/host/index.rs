//! Parts of a tensor at indices, copied as the bits that they are, row by row where they lie in rows.
//!
//! The indices are `s32` within the tensor: whoever builds the graph has refused others, and put the nearest there.

use emily_spec::{DType, TensorType};
use mlx_rs::Array;
use mlx_rs::error::Result;

use super::matmul::offsets;
use super::order::{Ordered, of_real};
use super::pool;
use super::walk::{by_width, dense};
use crate::mlx::{self, Element, Operand, Place};

/// The elements that one thread copies at a time, in whole rows.
const CHUNK: usize = 1 << 14;

/// The elements of `x` at indices, or at tuples of them, one array for each of these axes; in the result their axes
/// come behind the first `outer` axes of `x`, and before the rest.
pub(crate) fn gather(
    x: &Array,
    indices: &[Array],
    axes: &[usize],
    outer: usize,
    ty: &TensorType,
) -> Result<Array> {
    let rest: Vec<usize> = (0..x.ndim()).filter(|axis| !axes.contains(axis)).collect();
    let (outer, inner) = rest.split_at(outer);
    let reading = Reading {
        outer: outer.to_vec(),
        indexed: axes.to_vec(),
        inner: inner.to_vec(),
    };
    let operands = operands(x, indices);
    let kernel = move |operands: &[Operand<'_>], place: Place<'_>| {
        by_width!(operands[0].dtype().size(), copy(&reading, operands, place));
    };
    mlx::lazy(&operands, ty, Box::new(kernel))
}

/// For each index the element of `x` there along this axis, at the index's own place along the others.
pub(crate) fn along(x: &Array, index: &Array, axis: usize, ty: &TensorType) -> Result<Array> {
    let operands = operands(x, std::slice::from_ref(index));
    let kernel = move |operands: &[Operand<'_>], place: Place<'_>| {
        by_width!(
            operands[0].dtype().size(),
            copy_along(axis, operands, place)
        );
    };
    mlx::lazy(&operands, ty, Box::new(kernel))
}

fn operands(x: &Array, indices: &[Array]) -> Vec<Array> {
    let indices = indices.iter().map(mlx::clone_array);
    std::iter::once(mlx::clone_array(x))
        .chain(indices)
        .collect()
}

/// The axes of a tensor by their part.
struct Reading {
    outer: Vec<usize>,
    indexed: Vec<usize>,
    inner: Vec<usize>,
}

/// Where the elements along these axes of an operand stand.
fn places(operand: &Operand<'_>, from: i64, axes: &[usize]) -> Vec<i64> {
    let axes = axes.iter();
    let axes = axes.map(|&axis| (operand.shape[axis] as usize, operand.strides[axis]));
    offsets(from, &axes.collect::<Vec<_>>())
}

/// Whether elements that stand there are neighbours.
fn is_row(places: &[i64]) -> bool {
    places.windows(2).all(|pair| pair[0] + 1 == pair[1])
}

fn copy<T: Element>(reading: &Reading, operands: &[Operand<'_>], place: Place<'_>) {
    let x = operands[0].as_bits();
    let (memory, first) = x.memory::<T>();
    let outer = places(&x, first as i64, &reading.outer);
    let inner = places(&x, 0, &reading.inner);
    let indices = operands[1..].iter().zip(&reading.indexed);
    let indices: Vec<_> = indices
        .map(|(index, &axis)| (dense::<i32>(index), x.strides[axis]))
        .collect();
    let count = indices.first().map_or(1, |(index, _)| index.len());
    let is_row = is_row(&inner);
    let together = CHUNK.div_ceil(inner.len());
    let result = place.into_bits().into_elements::<T>();
    pool::for_each_chunk(result, together * inner.len(), |part, result| {
        let (mut around, mut at) = (part * together / count, part * together % count);
        for to in result.chunks_exact_mut(inner.len()) {
            let along = indices
                .iter()
                .map(|(index, step)| i64::from(index[at]) * step);
            let from = outer[around] + along.sum::<i64>();
            if is_row {
                let from = from as usize;
                to.copy_from_slice(&memory[from..from + to.len()]);
            } else {
                for (to, place) in to.iter_mut().zip(&inner) {
                    *to = memory[(from + place) as usize];
                }
            }
            at += 1;
            if at == count {
                (around, at) = (around + 1, 0);
            }
        }
    });
}

fn copy_along<T: Element>(axis: usize, operands: &[Operand<'_>], place: Place<'_>) {
    let (x, index) = (operands[0].as_bits(), &operands[1]);
    let (memory, first) = x.memory::<T>();
    let axes: Vec<usize> = (0..x.shape.len()).collect();
    let outer = places(&x, first as i64, &axes[..axis]);
    let inner = places(&x, 0, &axes[axis + 1..]);
    let (count, step) = (index.shape[axis] as usize, x.strides[axis]);
    let index = dense::<i32>(index);
    let rows = outer.len() * count;
    let together = CHUNK.div_ceil(inner.len()).min(rows);
    let result = place.into_bits().into_elements::<T>();
    pool::for_each_chunk(result, together * inner.len(), |part, result| {
        let indices = &index[part * together * inner.len()..];
        let rows = result.chunks_exact_mut(inner.len());
        for (row, (to, index)) in rows.zip(indices.chunks_exact(inner.len())).enumerate() {
            let from = outer[(part * together + row) / count];
            for ((to, index), place) in to.iter_mut().zip(index).zip(&inner) {
                *to = memory[(from + i64::from(*index) * step + place) as usize];
            }
        }
    });
}

/// The nearest index that an axis of this size has, as `s32`, for each integer.
pub(crate) fn nearest(index: &Array, size: i32) -> Result<Array> {
    fn all<T: Ordered>(index: &Operand<'_>, place: Place<'_>, last: i64) {
        let result = place.into_elements();
        each::<T, i32>(index, result, |_, index| index.clamp(0, last) as i32);
    }
    let last = i64::from(size - 1).max(0);
    let ty = TensorType::new(DType::S32, mlx::shape_of(index));
    let kernel = move |operands: &[Operand<'_>], place: Place<'_>| {
        of_real!(operands[0].dtype(), all(&operands[0], place, last));
    };
    mlx::lazy(&[mlx::clone_array(index)], &ty, Box::new(kernel))
}

/// `u8` 1 for each integer that is no index: along their last axis they are of axes of these sizes, over and over.
pub(crate) fn outside(index: &Array, sizes: &[i32]) -> Result<Array> {
    fn all<T: Ordered>(index: &Operand<'_>, place: Place<'_>, sizes: &[i64]) {
        let result = place.into_elements();
        match *sizes {
            [size] => each::<T, u8>(index, result, |_, index| {
                u8::from(index < 0 || index >= size)
            }),
            _ => each::<T, u8>(index, result, |at, index| {
                u8::from(index < 0 || index >= sizes[at % sizes.len()])
            }),
        }
    }
    let sizes: Vec<i64> = sizes.iter().map(|&size| size.into()).collect();
    let ty = TensorType::new(DType::U8, mlx::shape_of(index));
    let kernel = move |operands: &[Operand<'_>], place: Place<'_>| {
        of_real!(operands[0].dtype(), all(&operands[0], place, &sizes));
    };
    mlx::lazy(&[mlx::clone_array(index)], &ty, Box::new(kernel))
}

/// A function of each integer and its place.
fn each<T: Ordered, R: Element>(
    index: &Operand<'_>,
    result: &mut [R],
    of: impl Fn(usize, i64) -> R + Sync,
) {
    let index = dense::<T>(index);
    pool::for_each_chunk(result, CHUNK, |part, result| {
        let first = part * CHUNK;
        for (at, (to, x)) in result.iter_mut().zip(&index[first..]).enumerate() {
            *to = of(first + at, x.saturated());
        }
    });
}
