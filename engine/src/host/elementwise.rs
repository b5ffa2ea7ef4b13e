//! A function of each element, or of pairs of elements, of any views.

use std::marker::PhantomData;
use std::ops::Range;

use emily_spec::TensorType;

use super::float::Float;
use super::level::{Level, Task, dispatch};
use super::pool;
use super::walk::{BLOCK, Reader, Walk};
use crate::mlx::{Element, Kernel};

/// The elements of a result that one thread computes at a time: some tens of microseconds.
const CHUNK: usize = 1 << 14;

/// A function of an element, computed in `f32`.
pub(super) trait Function: 'static {
    /// The magnitude from which on it is computed by [`Function::beyond`], one by one.
    const LIMIT: f32 = f32::INFINITY;

    /// The function.
    fn at<L: Level>(x: f32) -> f32;

    /// The function from [`Function::LIMIT`] on.
    fn beyond(x: f32) -> f32 {
        x
    }
}

/// A function of two elements of this dtype, computed in `f32`.
pub(super) trait Pairing<T>: 'static {
    /// What it gives.
    type Result: Element;

    /// The function.
    fn at<L: Level>(a: f32, b: f32) -> Self::Result;
}

/// The kernel of a function at this dtype.
pub(super) fn unary<T: Float, F: Function>(ty: &TensorType) -> Kernel {
    let shape = ty.shape.to_vec();
    Box::new(move |operands, place| {
        let walk = Walk::new(&shape, [&operands[0]]);
        let result = place.into_elements::<T>();
        pool::for_each_chunk(result, CHUNK, |part, chunk| {
            let from = part * CHUNK;
            dispatch(UnaryTask::<T, F> {
                part: from..from + chunk.len(),
                x: Reader::new(&operands[0], walk.steps()[0]),
                walk: &walk,
                result: chunk,
                function: PhantomData,
            });
        });
    })
}

struct UnaryTask<'a, T, F> {
    part: Range<usize>,
    walk: &'a Walk<1>,
    x: Reader<'a, T>,
    result: &'a mut [T],
    function: PhantomData<F>,
}

impl<T: Float, F: Function> Task for UnaryTask<'_, T, F> {
    #[inline(always)]
    fn run<L: Level>(mut self) {
        let start = self.part.start;
        let [step] = self.walk.steps();
        for run in self.walk.runs(self.part) {
            let mut offset = run.offsets[0];
            let result = &mut self.result[run.range.start - start..run.range.end - start];
            for result in result.chunks_mut(BLOCK) {
                let x = self.x.read(offset, result.len());
                for (result, x) in result.iter_mut().zip(x) {
                    *result = T::narrow(F::at::<L>(x.widen()));
                }
                let largest = |most: u32, x: &T| most.max(x.widen().abs().to_bits());
                if F::LIMIT < f32::INFINITY && x.iter().fold(0, largest) >= F::LIMIT.to_bits() {
                    beyond::<T, F>(x, result);
                }
                offset += step * result.len() as i64;
            }
        }
    }
}

/// The elements from [`Function::LIMIT`] on, among others.
#[cold]
fn beyond<T: Float, F: Function>(x: &[T], result: &mut [T]) {
    for (result, x) in result.iter_mut().zip(x) {
        if x.widen().abs() >= F::LIMIT {
            *result = T::narrow(F::beyond(x.widen()));
        }
    }
}

/// The kernel of a function of two elements at this dtype.
pub(super) fn binary<T: Float, F: Pairing<T>>(ty: &TensorType) -> Kernel {
    let shape = ty.shape.to_vec();
    Box::new(move |operands, place| {
        let walk = Walk::new(&shape, [&operands[0], &operands[1]]);
        let result = place.into_elements::<F::Result>();
        let [left, right] = walk.steps();
        pool::for_each_chunk(result, CHUNK, |part, chunk| {
            let from = part * CHUNK;
            dispatch(BinaryTask::<T, F> {
                part: from..from + chunk.len(),
                a: Reader::new(&operands[0], left),
                b: Reader::new(&operands[1], right),
                walk: &walk,
                result: chunk,
            });
        });
    })
}

struct BinaryTask<'a, T: Float, F: Pairing<T>> {
    part: Range<usize>,
    walk: &'a Walk<2>,
    a: Reader<'a, T>,
    b: Reader<'a, T>,
    result: &'a mut [F::Result],
}

impl<T: Float, F: Pairing<T>> Task for BinaryTask<'_, T, F> {
    #[inline(always)]
    fn run<L: Level>(mut self) {
        let start = self.part.start;
        let [left, right] = self.walk.steps();
        for run in self.walk.runs(self.part) {
            let [mut at_left, mut at_right] = run.offsets;
            let result = &mut self.result[run.range.start - start..run.range.end - start];
            for result in result.chunks_mut(BLOCK) {
                let a = self.a.read(at_left, result.len());
                let b = self.b.read(at_right, result.len());
                for ((result, a), b) in result.iter_mut().zip(a).zip(b) {
                    *result = F::at::<L>(a.widen(), b.widen());
                }
                at_left += left * result.len() as i64;
                at_right += right * result.len() as i64;
            }
        }
    }
}
