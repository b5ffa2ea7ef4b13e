//! Which element is the largest or smallest along an axis: a NaN where there is one.

use std::ops::Range;

use emily_spec::{ArgReduce, ArgReduction, DType, TensorType, TieBreak};

use super::level::{Level, Task, dispatch};
use super::order::{Key, Ordered, of_real};
use super::pool;
use super::walk::dense;
use crate::mlx::{Element, Kernel};

/// The elements that are looked at at a time, by one thread; the best of them are compared in their order.
const PART: usize = 1 << 14;

/// The kernel of this op, if there is one.
pub(super) fn kernel(
    op: ArgReduce,
    attrs: &ArgReduction,
    x: &TensorType,
    ty: &TensorType,
) -> Option<Kernel> {
    if x.shape.contains(&0) || x.dtype == DType::F64 {
        return None;
    }
    let all = x.shape.iter().product();
    let sizes = attrs.axis.map_or((all, 1), |axis| {
        (x.shape[axis], x.shape[axis + 1..].iter().product())
    });
    let choice = Choice {
        length: sizes.0,
        inner: sizes.1,
        smallest: op == ArgReduce::Argmin,
        last: attrs.tie_break == TieBreak::High,
    };
    of_real!(x.dtype, kernel_at(choice, ty.dtype))?
}

fn kernel_at<T: Ordered>(choice: Choice, dtype: DType) -> Option<Kernel> {
    match dtype {
        DType::S32 => Some(choose::<T, i32>(choice, |index| index as i32)),
        DType::S64 => Some(choose::<T, i64>(choice, |index| index as i64)),
        DType::U8
        | DType::U16
        | DType::U32
        | DType::U64
        | DType::S8
        | DType::S16
        | DType::F16
        | DType::Bf16
        | DType::F32
        | DType::F64
        | DType::C64 => None,
    }
}

#[derive(Clone, Copy)]
struct Choice {
    length: usize,
    /// Elements after the axis.
    inner: usize,
    smallest: bool,
    /// Of equal ones the last is wanted.
    last: bool,
}

impl Choice {
    /// The key of which the largest is wanted: that of NaN in either direction.
    #[inline(always)]
    fn key<T: Ordered>(self, x: T) -> T::Key {
        match self.smallest && !x.is_nan() {
            true => x.key().turned(T::BITS),
            false => x.key(),
        }
    }

    /// Whether a later element takes the place of the best one so far.
    #[inline(always)]
    fn is_better<K: Ord>(self, later: K, best: K) -> bool {
        later > best || self.last && later == best
    }
}

fn choose<T: Ordered, R: Element>(choice: Choice, give: fn(usize) -> R) -> Kernel {
    let Choice { length, inner, .. } = choice;
    Box::new(move |operands, place| {
        let x = dense::<T>(&operands[0]);
        let steps = (PART / inner).clamp(1, length);
        let parts = length.div_ceil(steps);
        let outer = x.len() / (length * inner);
        let mut best = vec![(T::Key::default(), 0usize); outer * parts * inner];
        let group = (PART / (steps * inner)).max(1);
        pool::for_each_chunk(&mut best, group * inner, |at, best| {
            dispatch(ChoiceTask {
                choice,
                x: &x,
                steps,
                parts: at * group..at * group + best.len() / inner,
                best,
            });
        });
        let result = place.into_elements::<R>();
        for (result, best) in result.chunks_mut(inner).zip(best.chunks(parts * inner)) {
            for (at, result) in result.iter_mut().enumerate() {
                let parts = best[at..].iter().step_by(inner).copied();
                let better = |best: (T::Key, usize), later: (T::Key, usize)| {
                    if choice.is_better(later.0, best.0) {
                        later
                    } else {
                        best
                    }
                };
                *result = give(parts.reduce(better).map_or(0, |best| best.1));
            }
        }
    })
}

struct ChoiceTask<'a, T: Ordered> {
    choice: Choice,
    x: &'a [T],
    steps: usize,
    /// Counted over all results.
    parts: Range<usize>,
    best: &'a mut [(T::Key, usize)],
}

impl<T: Ordered> Task for ChoiceTask<'_, T> {
    #[inline(always)]
    fn run<L: Level>(self) {
        let choice @ Choice { length, inner, .. } = self.choice;
        let per_result = length.div_ceil(self.steps);
        let (mut keys, mut places) = (vec![T::Key::default(); inner], vec![0u32; inner]);
        for (part, best) in self.parts.zip(self.best.chunks_exact_mut(inner)) {
            let (outer, part) = (part / per_result, part % per_result);
            let first = part * self.steps;
            let steps = first..length.min(first + self.steps);
            let from = outer * length * inner;
            let x = &self.x[from + steps.start * inner..from + steps.end * inner];
            if inner == 1 {
                let (key, place) = best_of(choice, x);
                best[0] = (key, first + place);
                continue;
            }
            let rows = x.chunks_exact(inner);
            for (step, row) in (0..).zip(rows) {
                for ((key, place), x) in keys.iter_mut().zip(&mut places).zip(row) {
                    let later = choice.key(*x);
                    let is_better = step == 0 || choice.is_better(later, *key);
                    *key = if is_better { later } else { *key };
                    *place = if is_better { step } else { *place };
                }
            }
            for ((best, key), place) in best.iter_mut().zip(&keys).zip(&places) {
                *best = (*key, first + *place as usize);
            }
        }
    }
}

/// The best key of a row, and where it stands.
#[inline(always)]
fn best_of<T: Ordered>(choice: Choice, row: &[T]) -> (T::Key, usize) {
    const LANES: usize = 16;
    let mut most = [T::Key::default(); LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for (most, x) in most.iter_mut().zip(chunk) {
            *most = (*most).max(choice.key(*x));
        }
    }
    for (most, x) in most.iter_mut().zip(rest) {
        *most = (*most).max(choice.key(*x));
    }
    let most = most.into_iter().max().unwrap_or_default();
    let is_it = |x: &T| choice.key(*x) == most;
    let place = match choice.last {
        true => row.iter().rposition(is_it),
        false => row.iter().position(is_it),
    };
    (most, place.unwrap_or(0))
}
