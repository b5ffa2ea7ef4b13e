//! What has come together up to each element along an axis, one element after another: sums and products of floats
//! in `f64`, rounded once.

use std::marker::PhantomData;

use emily_spec::{Cumulative, Scan, TensorType};

use super::float::{Float, of_float};
use super::level::{Level, Task, dispatch};
use super::walk::dense;
use super::{lanes, pool};
use crate::mlx::Kernel;

/// The elements that one thread works on at a time, in whole rows.
const CHUNK: usize = 1 << 13;

/// Rows that go on at once, since a sum waits for the one before.
const TOGETHER: usize = 8;

/// The kernel of this op, if there is one.
pub(super) fn kernel(op: Cumulative, attrs: &Scan, ty: &TensorType) -> Option<Kernel> {
    if ty.shape.contains(&0) {
        return None;
    }
    let layout = Layout {
        length: ty.shape[attrs.axis],
        inner: ty.shape[attrs.axis + 1..].iter().product(),
        reverse: attrs.reverse,
    };
    of_float!(ty.dtype, kernel_at(op, layout))
}

#[derive(Clone, Copy)]
struct Layout {
    length: usize,
    /// Elements after the axis.
    inner: usize,
    reverse: bool,
}

fn kernel_at<T: Float>(op: Cumulative, layout: Layout) -> Kernel {
    match op {
        Cumulative::CumulativeSum => scan::<T, Sum>(layout),
        Cumulative::CumulativeProduct => scan::<T, Product>(layout),
        Cumulative::CumulativeMax => scan::<T, Largest>(layout),
        Cumulative::CumulativeMin => scan::<T, Smallest>(layout),
    }
}

/// What comes together.
trait Step: 'static {
    /// As what.
    type So: Copy + Send;

    /// Before the first element: it leaves any as it is, −0 too.
    const OF_NONE: Self::So;

    /// One more element.
    fn with(so: Self::So, x: f32) -> Self::So;

    /// What stands there.
    fn give(so: Self::So) -> f32;
}

macro_rules! steps {
    ($($step:ident, $so:ty: $of_none:expr, |$a:ident, $x:ident| $with:expr;)*) => {
        $(
            struct $step;

            impl Step for $step {
                type So = $so;

                const OF_NONE: $so = $of_none;

                #[inline(always)]
                fn with($a: $so, $x: f32) -> $so {
                    $with
                }

                #[inline(always)]
                fn give(so: $so) -> f32 {
                    so as f32
                }
            }
        )*
    };
}

steps! {
    Sum, f64: -0.0, |sum, x| sum + f64::from(x);
    Product, f64: 1.0, |product, x| product * f64::from(x);
    Largest, f32: f32::NEG_INFINITY, |most, x| lanes::larger(x, most);
    Smallest, f32: f32::INFINITY, |least, x| lanes::smaller(x, least);
}

fn scan<T: Float, S: Step>(layout: Layout) -> Kernel {
    let Layout { length, inner, .. } = layout;
    Box::new(move |operands, place| {
        let x = dense::<T>(&operands[0]);
        let each = length * inner;
        let chunk = match inner {
            1 => TOGETHER * CHUNK.div_ceil(TOGETHER * length) * length,
            _ => each,
        };
        pool::for_each_chunk(place.into_elements::<T>(), chunk, |part, result| {
            dispatch(ScanTask::<T, S> {
                layout,
                x: &x[part * chunk..][..result.len()],
                result,
                step: PhantomData,
            });
        });
    })
}

struct ScanTask<'a, T, S> {
    layout: Layout,
    x: &'a [T],
    result: &'a mut [T],
    step: PhantomData<S>,
}

impl<T: Float, S: Step> Task for ScanTask<'_, T, S> {
    #[inline(always)]
    fn run<L: Level>(self) {
        let Layout {
            length,
            inner,
            reverse,
        } = self.layout;
        let at = |step: usize| if reverse { length - 1 - step } else { step };
        if inner > 1 {
            let mut all = vec![S::OF_NONE; inner];
            for step in 0..length {
                let row = at(step) * inner..(at(step) + 1) * inner;
                let x = &self.x[row.clone()];
                for ((all, x), result) in all.iter_mut().zip(x).zip(&mut self.result[row]) {
                    *all = S::with(*all, x.widen());
                    *result = T::narrow(S::give(*all));
                }
            }
            return;
        }
        let together = TOGETHER * length;
        for (x, result) in self
            .x
            .chunks(together)
            .zip(self.result.chunks_mut(together))
        {
            let mut all = [S::OF_NONE; TOGETHER];
            let all = &mut all[..x.len() / length];
            for step in 0..length {
                for (row, all) in all.iter_mut().enumerate() {
                    let place = row * length + at(step);
                    *all = S::with(*all, x[place].widen());
                    result[place] = T::narrow(S::give(*all));
                }
            }
        }
    }
}
