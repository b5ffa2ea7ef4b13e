//! How operands lie beside a row-major result, whatever views or broadcasts they are.

use std::borrow::Cow;
use std::ops::Range;

use smallvec::{SmallVec, smallvec};

use super::pool;
use crate::mlx::{Element, Operand};

/// The elements that are worked on at a time, in the nearest cache.
pub(super) const BLOCK: usize = 512;

/// The axes of a result and the steps of its operands along them. Axes that all go through as through one
/// are one; those of size 1 are none.
pub(super) struct Walk<const N: usize> {
    axes: SmallVec<[Axis<N>; 6]>,
}

#[derive(Clone, Copy)]
struct Axis<const N: usize> {
    size: usize,
    steps: [i64; N],
}

/// Elements of the result in a row: what every operand goes through in equal steps.
pub(super) struct Run<const N: usize> {
    /// In the result.
    pub(super) range: Range<usize>,
    /// From the operands' first elements.
    pub(super) offsets: [i64; N],
}

impl<const N: usize> Walk<N> {
    /// For operands that are broadcast to this shape.
    pub(super) fn new(shape: &[usize], operands: [&Operand<'_>; N]) -> Walk<N> {
        let rank = shape.len();
        let mut axes: SmallVec<[Axis<N>; 6]> = smallvec![];
        for (axis, &size) in shape.iter().enumerate().rev() {
            if size == 1 {
                continue;
            }
            let steps = operands.map(|operand| {
                let missing = rank - operand.shape.len();
                match axis.checked_sub(missing) {
                    Some(own) if operand.shape[own] != 1 => operand.strides[own],
                    Some(_) | None => 0,
                }
            });
            match axes.last_mut() {
                Some(inner) if inner.goes_on_as(steps) => inner.size *= size,
                _ => axes.push(Axis { size, steps }),
            }
        }
        if axes.is_empty() {
            axes.push(Axis {
                size: 1,
                steps: [1; N],
            });
        }
        axes.reverse();
        Walk { axes }
    }

    /// The operands' steps within a run.
    pub(super) fn steps(&self) -> [i64; N] {
        self.axes[self.axes.len() - 1].steps
    }

    /// The runs that make up this part of the result, in order.
    pub(super) fn runs(&self, part: Range<usize>) -> Runs<'_, N> {
        let mut index = SmallVec::from_elem(0, self.axes.len());
        let mut offsets = [0; N];
        let mut rest = part.start;
        for (index, axis) in index.iter_mut().zip(&self.axes).rev() {
            *index = rest % axis.size;
            rest /= axis.size;
            for (offset, step) in offsets.iter_mut().zip(axis.steps) {
                *offset += *index as i64 * step;
            }
        }
        Runs {
            axes: &self.axes,
            index,
            offsets,
            part,
        }
    }
}

impl<const N: usize> Axis<N> {
    /// Whether an axis around this one steps as this one would beyond its end.
    fn goes_on_as(&self, around: [i64; N]) -> bool {
        let beyond = self.steps.map(|step| step * self.size as i64);
        beyond == around
    }
}

/// See [`Walk::runs`].
pub(super) struct Runs<'a, const N: usize> {
    axes: &'a [Axis<N>],
    index: SmallVec<[usize; 6]>,
    offsets: [i64; N],
    part: Range<usize>,
}

impl<const N: usize> Iterator for Runs<'_, N> {
    type Item = Run<N>;

    fn next(&mut self) -> Option<Run<N>> {
        if self.part.is_empty() {
            return None;
        }
        let last = self.axes.len() - 1;
        let length = (self.axes[last].size - self.index[last]).min(self.part.len());
        let run = Run {
            range: self.part.start..self.part.start + length,
            offsets: self.offsets,
        };
        self.part.start += length;
        self.index[last] += length;
        self.go(last, length as i64);
        let mut axis = last;
        while self.index[axis] == self.axes[axis].size && axis > 0 {
            self.go(axis, -(self.index[axis] as i64));
            self.index[axis] = 0;
            axis -= 1;
            self.index[axis] += 1;
            self.go(axis, 1);
        }
        Some(run)
    }
}

impl<const N: usize> Runs<'_, N> {
    fn go(&mut self, axis: usize, by: i64) {
        for (offset, step) in self.offsets.iter_mut().zip(self.axes[axis].steps) {
            *offset += by * step;
        }
    }
}

/// `f::<T>(…)` with the unsigned integer of this many bytes.
macro_rules! by_width {
    ($bytes:expr, $f:ident($($argument:expr),*)) => {
        match $bytes {
            1 => $f::<u8>($($argument),*),
            2 => $f::<u16>($($argument),*),
            4 => $f::<u32>($($argument),*),
            _ => $f::<u64>($($argument),*),
        }
    };
}

pub(super) use by_width;

/// An operand's elements in row-major order: a copy only where they do not lie so.
pub(super) fn dense<'a, T: Element>(operand: &Operand<'a>) -> Cow<'a, [T]> {
    if operand.is_dense() {
        return Cow::Borrowed(operand.memory().0);
    }
    let mut copy = vec![T::default(); operand.size()];
    copy_dense(operand, &mut copy);
    Cow::Owned(copy)
}

/// Copies an operand's elements in row-major order.
pub(super) fn copy_dense<T: Element>(operand: &Operand<'_>, to: &mut [T]) {
    /// What one thread copies at a time.
    const PART: usize = 1 << 15;
    let shape: SmallVec<[usize; 6]> = operand.shape.iter().map(|&dim| dim as usize).collect();
    let walk = Walk::new(&shape, [operand]);
    let [step] = walk.steps();
    let (memory, first) = operand.memory::<T>();
    pool::for_each_chunk(to, PART, |part, chunk| {
        let start = part * PART;
        for run in walk.runs(start..start + chunk.len()) {
            let to = &mut chunk[run.range.start - start..run.range.end - start];
            let mut at = first as i64 + run.offsets[0];
            match step {
                1 => to.copy_from_slice(&memory[at as usize..at as usize + to.len()]),
                step => {
                    for x in to {
                        *x = memory[at as usize];
                        at += step;
                    }
                }
            }
        }
    });
}

/// One operand's elements, block by block along runs.
pub(super) struct Reader<'a, T> {
    memory: &'a [T],
    first: usize,
    step: i64,
    block: [T; BLOCK],
}

impl<'a, T: Element> Reader<'a, T> {
    /// Of an operand that goes through runs in this step.
    pub(super) fn new(operand: &Operand<'a>, step: i64) -> Reader<'a, T> {
        let (memory, first) = operand.memory();
        Reader {
            memory,
            first,
            step,
            block: [T::default(); BLOCK],
        }
    }

    /// So many elements, a block's at most, from the one at this offset on.
    pub(super) fn read(&mut self, offset: i64, count: usize) -> &[T] {
        let at = (self.first as i64 + offset) as usize;
        match self.step {
            1 => &self.memory[at..at + count],
            0 => {
                let block = &mut self.block[..count];
                block.fill(self.memory[at]);
                block
            }
            step => {
                let block = &mut self.block[..count];
                let mut at = at as i64;
                for x in &mut *block {
                    *x = self.memory[at as usize];
                    at += step;
                }
                block
            }
        }
    }
}
