//! Functions of whole rows, along the last axes: softmax, norms, logarithms of sums of exponentials. Sums are in
//! `f64`, each element is rounded once.

use emily_spec::{Norm, TensorType};

use super::float::{Float, of_float};
use super::level::{Level, Task, dispatch};
use super::walk::dense;
use super::{lanes, math, pool};
use crate::mlx::Kernel;

/// The elements that one thread works on at a time, in whole rows.
const CHUNK: usize = 1 << 14;

/// A function from rows to rows.
#[derive(Clone, Copy)]
pub(super) enum Rows {
    /// e^x / Σ e^x.
    Softmax,
    /// With this eps; weight and bias are further operands.
    Norm(Norm, f64),
}

/// The kernel for rows of so many elements, if there is one.
pub(super) fn kernel(
    rows: Rows,
    length: usize,
    inputs: &[TensorType],
    ty: &TensorType,
) -> Option<Kernel> {
    if length == 0 || inputs.iter().any(|input| input.dtype != ty.dtype) {
        return None;
    }
    of_float!(ty.dtype, kernel_at(rows, length))
}

fn kernel_at<T: Float>(rows: Rows, length: usize) -> Kernel {
    Box::new(move |operands, place| {
        let x = dense::<T>(&operands[0]);
        let wide = |at: usize| -> Vec<f32> {
            let operand = operands.get(at).map(dense::<T>);
            let elements = operand.iter().flat_map(|operand| operand.iter());
            elements.map(|x| x.widen()).collect()
        };
        let (weight, bias) = (wide(1), wide(2));
        let chunk = CHUNK.div_ceil(length) * length;
        pool::for_each_chunk(place.into_elements::<T>(), chunk, |part, result| {
            let start = part * chunk;
            dispatch(RowsTask {
                rows,
                length,
                x: &x[start..start + result.len()],
                weight: &weight,
                bias: &bias,
                result,
            });
        });
    })
}

struct RowsTask<'a, T> {
    rows: Rows,
    length: usize,
    x: &'a [T],
    weight: &'a [f32],
    bias: &'a [f32],
    result: &'a mut [T],
}

impl<T: Float> Task for RowsTask<'_, T> {
    #[inline(always)]
    fn run<L: Level>(self) {
        let mut powers = vec![0.0; self.length];
        let rows = self.x.chunks_exact(self.length);
        for (x, result) in rows.zip(self.result.chunks_exact_mut(self.length)) {
            match self.rows {
                Rows::Softmax => softmax::<T, L>(x, &mut powers, result),
                Rows::Norm(Norm::LayerNorm, eps) => {
                    let mean = lanes::sum(x, |x| x.widen().into()) / self.length as f64;
                    let scale = 1.0 / (mean_square(x, mean) + eps).sqrt();
                    for ((result, x), (weight, bias)) in result
                        .iter_mut()
                        .zip(x)
                        .zip(self.weight.iter().zip(self.bias))
                    {
                        let unit = (f64::from(x.widen()) - mean) * scale;
                        *result = T::narrow(L::fma(unit, (*weight).into(), (*bias).into()) as f32);
                    }
                }
                Rows::Norm(Norm::RmsNorm, eps) => {
                    let scale = 1.0 / (mean_square(x, 0.0) + eps).sqrt();
                    for ((result, x), weight) in result.iter_mut().zip(x).zip(self.weight) {
                        let unit = f64::from(x.widen()) * scale;
                        *result = T::narrow((unit * f64::from(*weight)) as f32);
                    }
                }
            }
        }
    }
}

/// The kernel of ln Σ e^x over rows of so many elements, if there is one.
pub(super) fn logsumexp(length: usize, x: &TensorType, ty: &TensorType) -> Option<Kernel> {
    if length == 0 || x.dtype != ty.dtype {
        return None;
    }
    of_float!(ty.dtype, logs(length))
}

fn logs<T: Float>(length: usize) -> Kernel {
    Box::new(move |operands, place| {
        let x = dense::<T>(&operands[0]);
        let together = CHUNK.div_ceil(length);
        pool::for_each_chunk(place.into_elements::<T>(), together, |part, result| {
            let start = part * together * length;
            dispatch(LogsTask {
                length,
                x: &x[start..start + result.len() * length],
                result,
            });
        });
    })
}

struct LogsTask<'a, T> {
    length: usize,
    x: &'a [T],
    result: &'a mut [T],
}

impl<T: Float> Task for LogsTask<'_, T> {
    #[inline(always)]
    fn run<L: Level>(self) {
        let rows = self.x.chunks_exact(self.length);
        for (x, result) in rows.zip(self.result) {
            let largest = f64::from(lanes::largest(x));
            let power = |x: T| math::exp::<L>(f64::from(x.widen()) - largest);
            // Beside an infinity nothing counts, and a NaN is the largest.
            let log = match largest.is_finite() {
                true => largest + lanes::sum(x, power).ln(),
                false => largest,
            };
            *result = T::narrow(log as f32);
        }
    }
}

/// The mean of (x − from)².
#[inline(always)]
fn mean_square<T: Float>(x: &[T], from: f64) -> f64 {
    let square = |x: T| {
        let distance = f64::from(x.widen()) - from;
        distance * distance
    };
    lanes::sum(x, square) / x.len() as f64
}

/// Less the largest element none overflows, and the largest is 1.
#[inline(always)]
fn softmax<T: Float, L: Level>(x: &[T], powers: &mut [f64], result: &mut [T]) {
    let largest = f64::from(lanes::largest(x));
    for (power, x) in powers.iter_mut().zip(x) {
        *power = math::exp::<L>(f64::from(x.widen()) - largest);
    }
    let scale = 1.0 / lanes::sum(powers, |power| power);
    for (result, power) in result.iter_mut().zip(powers) {
        *result = T::narrow((*power * scale) as f32);
    }
}
