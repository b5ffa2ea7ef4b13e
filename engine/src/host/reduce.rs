//! Sums and extremes over axes that stand together: sums in `f64`, rounded once.

use std::ops::Range;

use emily_spec::{Reduce, Reduction, TensorType};

use super::float::{Float, of_float};
use super::level::{Level, Task, dispatch};
use super::walk::dense;
use super::{lanes, pool};
use crate::mlx::Kernel;

/// The elements that are folded at a time, by one thread; what they give is folded in their order.
const PART: usize = 1 << 15;

/// The kernel of this reduction, if there is one.
pub(super) fn kernel(
    op: Reduce,
    attrs: &Reduction,
    x: &TensorType,
    ty: &TensorType,
) -> Option<Kernel> {
    let sizes = Sizes::of(attrs, x)?;
    if x.dtype != ty.dtype {
        return None;
    }
    of_float!(ty.dtype, kernel_at(op, sizes))?
}

/// The elements before, along and after the reduced axes.
#[derive(Clone, Copy)]
struct Sizes {
    outer: usize,
    along: usize,
    inner: usize,
}

impl Sizes {
    /// None where the axes do not stand together, or there is nothing to fold.
    fn of(attrs: &Reduction, x: &TensorType) -> Option<Sizes> {
        let all: Vec<usize> = (0..x.shape.rank()).collect();
        let mut axes = attrs.axes.as_deref().unwrap_or(&all).to_vec();
        axes.sort_unstable();
        let (first, last) = (*axes.first()?, *axes.last()?);
        if last - first + 1 != axes.len() || x.shape.contains(&0) {
            return None;
        }
        Some(Sizes {
            outer: x.shape[..first].iter().product(),
            along: x.shape[first..=last].iter().product(),
            inner: x.shape[last + 1..].iter().product(),
        })
    }
}

fn kernel_at<T: Float>(op: Reduce, sizes: Sizes) -> Option<Kernel> {
    match op {
        Reduce::Sum => Some(fold::<T, Sum>(sizes)),
        Reduce::ReduceMax => Some(fold::<T, Largest>(sizes)),
        Reduce::ReduceMin => Some(fold::<T, Smallest>(sizes)),
        Reduce::Product => None,
    }
}

/// What a reduction does.
trait Fold: 'static {
    /// Of no element.
    const OF_NONE: f64;

    /// One more element, or what others gave.
    fn with(folded: f64, x: f64) -> f64;

    /// A whole row.
    fn row<T: Float>(row: &[T]) -> f64;
}

struct Sum;
struct Largest;
struct Smallest;

impl Fold for Sum {
    const OF_NONE: f64 = 0.0;

    #[inline(always)]
    fn with(folded: f64, x: f64) -> f64 {
        folded + x
    }

    #[inline(always)]
    fn row<T: Float>(row: &[T]) -> f64 {
        lanes::sum(row, |x| x.widen().into())
    }
}

impl Fold for Largest {
    const OF_NONE: f64 = f64::NEG_INFINITY;

    #[inline(always)]
    fn with(folded: f64, x: f64) -> f64 {
        lanes::larger(folded, x)
    }

    #[inline(always)]
    fn row<T: Float>(row: &[T]) -> f64 {
        lanes::largest(row).into()
    }
}

impl Fold for Smallest {
    const OF_NONE: f64 = f64::INFINITY;

    #[inline(always)]
    fn with(folded: f64, x: f64) -> f64 {
        lanes::smaller(folded, x)
    }

    #[inline(always)]
    fn row<T: Float>(row: &[T]) -> f64 {
        lanes::smallest(row).into()
    }
}

/// Each part folds some of the reduced axis for some results; then the parts are folded in order.
fn fold<T: Float, F: Fold>(sizes: Sizes) -> Kernel {
    Box::new(move |operands, place| {
        let x = dense::<T>(&operands[0]);
        let Sizes {
            outer,
            along,
            inner,
        } = sizes;
        // Along the axis a part has so many steps, so that the parts of one result are as many as this.
        let steps = (PART / inner).clamp(1, along);
        let parts = along.div_ceil(steps);
        let mut folded = vec![F::OF_NONE; outer * parts * inner];
        let group = (PART / (steps * inner)).max(1);
        pool::for_each_chunk(&mut folded, group * inner, |at, folded| {
            dispatch(FoldTask::<T, F> {
                x: &x,
                sizes,
                steps,
                parts: at * group..at * group + folded.len() / inner,
                folded,
                fold: std::marker::PhantomData,
            });
        });
        let result = place.into_elements::<T>();
        for (result, folded) in result.chunks_mut(inner).zip(folded.chunks(parts * inner)) {
            for (at, result) in result.iter_mut().enumerate() {
                let parts = folded[at..].iter().step_by(inner);
                let all = parts.fold(F::OF_NONE, |all, part| F::with(all, *part));
                *result = T::narrow(all as f32);
            }
        }
    })
}

struct FoldTask<'a, T, F> {
    x: &'a [T],
    sizes: Sizes,
    steps: usize,
    /// Counted over all results.
    parts: Range<usize>,
    folded: &'a mut [f64],
    fold: std::marker::PhantomData<F>,
}

impl<T: Float, F: Fold> Task for FoldTask<'_, T, F> {
    #[inline(always)]
    fn run<L: Level>(self) {
        let Sizes { along, inner, .. } = self.sizes;
        let per_result = along.div_ceil(self.steps);
        for (part, folded) in self.parts.zip(self.folded.chunks_exact_mut(inner)) {
            let (outer, part) = (part / per_result, part % per_result);
            let steps = part * self.steps..along.min((part + 1) * self.steps);
            let from = outer * along * inner;
            let x = &self.x[from + steps.start * inner..from + steps.end * inner];
            if inner == 1 {
                folded[0] = F::row(x);
                continue;
            }
            for x in x.chunks_exact(inner) {
                for (folded, x) in folded.iter_mut().zip(x) {
                    *folded = F::with(*folded, x.widen().into());
                }
            }
        }
    }
}
