//! Orders along an axis, stable in both directions, with NaN above everything.
//!
//! What is sorted are keys, by digits from the last to the first where a row is long. An index goes below its key,
//! so that equal elements stay where they were.

use emily_spec::{DType, Direction, TensorType};
use mlx_rs::Array;
use mlx_rs::error::Result;

use super::order::{Digits, Key, Ordered, of_real};
use super::pool;
use super::walk::dense;
use crate::mlx::{self, Element, Operand, Place};

/// Rows from here on are sorted by digits.
const LONG: usize = 1 << 11;

/// The elements that one thread sorts at a time, in whole rows.
const CHUNK: usize = 1 << 12;

/// The elements in order. None of complex numbers, which MLX sorts.
pub(crate) fn sort(x: &Array, axis: usize, direction: Direction) -> Option<Result<Array>> {
    let ty = TensorType::new(mlx::dtype_of(x), mlx::shape_of(x));
    let is_real = !ty.dtype.is_complex();
    is_real.then(|| {
        let kernel = move |operands: &[Operand<'_>], place: Place<'_>| {
            let rows = Rows::new(&operands[0], axis);
            of_real!(
                operands[0].dtype(),
                sort_all(&operands[0], rows, direction, place)
            );
        };
        mlx::lazy(&[mlx::clone_array(x)], &ty, Box::new(kernel))
    })
}

/// The `s32` indices of the first so many in order. None of complex numbers and of `f64`, which MLX sorts.
pub(crate) fn argsort(
    x: &Array,
    axis: usize,
    direction: Direction,
    count: usize,
) -> Option<Result<Array>> {
    let mut shape = mlx::shape_of(x).to_vec();
    shape[axis] = count;
    let ty = TensorType::new(DType::S32, shape);
    let is_small = !mlx::dtype_of(x).is_complex() && mlx::dtype_of(x) != DType::F64;
    is_small.then(|| {
        let kernel = move |operands: &[Operand<'_>], place: Place<'_>| {
            let rows = Rows::new(&operands[0], axis);
            of_real!(
                operands[0].dtype(),
                argsort_all(&operands[0], rows, direction, count, place)
            );
        };
        mlx::lazy(&[mlx::clone_array(x)], &ty, Box::new(kernel))
    })
}

/// The elements along an axis, and how many there are after it.
#[derive(Clone, Copy)]
struct Rows {
    length: usize,
    inner: usize,
}

impl Rows {
    fn new(x: &Operand<'_>, axis: usize) -> Rows {
        let size = |axes: &[i32]| axes.iter().map(|&dim| dim as usize).product();
        Rows {
            length: x.shape[axis] as usize,
            inner: size(&x.shape[axis + 1..]),
        }
    }

    /// Calls `work` with each row's elements, and where its results belong among these.
    fn each<T: Element, R: Element>(
        self,
        x: &Operand<'_>,
        place: Place<'_>,
        count: usize,
        work: impl Fn(&[T], &mut [R]) + Sync,
    ) {
        let Rows { length, inner } = self;
        let x = dense::<T>(x);
        let result = place.into_elements::<R>();
        if inner == 1 {
            let together = CHUNK.div_ceil(length);
            pool::for_each_chunk(result, together * count, |part, result| {
                let x = x[part * together * length..].chunks_exact(length);
                x.zip(result.chunks_exact_mut(count))
                    .for_each(|(x, result)| work(x, result));
            });
            return;
        }
        pool::for_each_chunk(result, count * inner, |outer, result| {
            let x = &x[outer * length * inner..][..length * inner];
            let (mut row, mut sorted) = (vec![T::default(); length], vec![R::default(); count]);
            for at in 0..inner {
                let column = x[at..].iter().step_by(inner);
                row.iter_mut().zip(column).for_each(|(to, x)| *to = *x);
                work(&row, &mut sorted);
                let column = result[at..].iter_mut().step_by(inner);
                column.zip(&sorted).for_each(|(to, x)| *to = *x);
            }
        });
    }
}

/// The key in this direction, or back from it.
fn turned<T: Ordered>(key: T::Key, direction: Direction) -> T::Key {
    match direction {
        Direction::Asc => key,
        Direction::Desc => key.turned(T::BITS),
    }
}

fn sort_all<T: Ordered>(x: &Operand<'_>, rows: Rows, direction: Direction, place: Place<'_>) {
    rows.each(x, place, rows.length, |row: &[T], sorted: &mut [T]| {
        let mut keys: Vec<T::Key> = row
            .iter()
            .map(|x| turned::<T>(x.key(), direction))
            .collect();
        order(&mut keys, 0, T::BITS);
        for (to, key) in sorted.iter_mut().zip(&keys) {
            *to = T::of(turned::<T>(*key, direction));
        }
        // The zeros have one key, and stay as they were.
        if row.iter().any(|x| x.is_negative_zero()) {
            let zero = T::default().key();
            let first = keys.partition_point(|key| *key < turned::<T>(zero, direction));
            let zeros = row.iter().filter(|x| x.key() == zero);
            sorted[first..]
                .iter_mut()
                .zip(zeros)
                .for_each(|(to, x)| *to = *x);
        }
    });
}

fn argsort_all<T: Ordered>(
    x: &Operand<'_>,
    rows: Rows,
    direction: Direction,
    count: usize,
    place: Place<'_>,
) {
    rows.each(x, place, count, |row: &[T], indices: &mut [i32]| {
        let keys = row.iter().zip(0..);
        let keys = keys.map(|(x, index)| turned::<T>(x.key(), direction).over(index));
        let mut keys: Vec<<T::Key as Key>::Pair> = keys.collect();
        if count * 4 <= row.len() {
            keys.select_nth_unstable(count - 1);
            keys.truncate(count);
            keys.sort_unstable();
        } else {
            order(&mut keys, 32, T::BITS);
        }
        let sorted = indices.iter_mut().zip(keys);
        sorted.for_each(|(to, key)| *to = T::Key::index(key) as i32);
    });
}

/// Puts keys in the order of so many of their bits, from this one on; those of equal bits stay in theirs, if what is
/// below these bits ascends.
fn order<K: Digits>(keys: &mut Vec<K>, from: u32, bits: u32) {
    if keys.len() < LONG {
        keys.sort_unstable();
        return;
    }
    let mut spare = vec![K::default(); keys.len()];
    for from in (from..from + bits).step_by(11) {
        let mut starts = [0; 1 << 11];
        keys.iter().for_each(|key| starts[key.digit(from)] += 1);
        if starts.contains(&keys.len()) {
            continue;
        }
        let mut next = 0;
        for start in &mut starts {
            next += std::mem::replace(start, next);
        }
        for key in keys.iter() {
            let start = &mut starts[key.digit(from)];
            spare[*start] = *key;
            *start += 1;
        }
        std::mem::swap(keys, &mut spare);
    }
}
