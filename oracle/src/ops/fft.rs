//! Discrete Fourier transforms, by their definition.

use std::f64::consts::TAU;

use emily_spec::{Class, DType, Fourier, Fourier2, Result, Transform, Transform2};
use ndarray::{ArrayD, Axis, Slice};
use num_complex::Complex;

use super::accumulate;
use crate::array::{self, WideArray};
use crate::eval::{Target, WideAnswer};
use crate::format::Format;
use crate::value::Wide;
use crate::{Magnitude, Of};

type C = Complex<f64>;

/// The operand is cast to the complex dtype first, or to the real one that holds its parts.
pub(crate) fn fourier(
    kind: Fourier,
    op: &Transform,
    input: &WideArray,
    target: Target,
) -> Result<WideAnswer> {
    let (axis, size) = (Axis(op.axis), input.shape()[op.axis]);
    let n = op.length(kind, size);
    let input = input.mapv(|x| target.cast_to(DType::C64, x).complex());
    let signal = match kind {
        Fourier::Fft | Fourier::Ifft | Fourier::Rfft => resized(&input, op.axis, n),
        Fourier::Irfft => mirrored(&resized(&input, op.axis, n / 2 + 1), op.axis, n),
    };
    let whole = transform(&signal, op.axis, direction(kind));
    let values = match kind {
        Fourier::Fft | Fourier::Ifft | Fourier::Irfft => whole,
        Fourier::Rfft => whole.slice_axis(axis, Slice::from(..n / 2 + 1)).to_owned(),
    };
    answer(&signal, &values, &[op.axis], direction(kind), target)
}

pub(crate) fn fourier2(
    kind: Fourier2,
    op: &Transform2,
    input: &WideArray,
    target: Target,
) -> Result<WideAnswer> {
    let direction = match kind {
        Fourier2::Fft2 => Direction::Forward,
        Fourier2::Ifft2 => Direction::Inverse,
    };
    let lengths = op.lengths(input.shape());
    let input = input.mapv(|x| target.cast_to(DType::C64, x).complex());
    let signal = lengths
        .iter()
        .fold(input, |signal, &(axis, n)| resized(&signal, axis, n));
    let values = op.axes.iter().fold(signal.clone(), |values, &axis| {
        transform(&values, axis, direction)
    });
    answer(&signal, &values, &op.axes, direction, target)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Inverse,
}

fn direction(kind: Fourier) -> Direction {
    match kind {
        Fourier::Fft | Fourier::Rfft => Direction::Forward,
        Fourier::Ifft | Fourier::Irfft => Direction::Inverse,
    }
}

/// The array with the first `n` elements along an axis, zeros beyond the last one.
fn resized(x: &ArrayD<C>, axis: usize, n: usize) -> ArrayD<C> {
    let mut dims = x.raw_dim();
    dims[axis] = n;
    ArrayD::from_shape_fn(dims, |index| x.get(index).copied().unwrap_or(C::ZERO))
}

/// `n` elements along an axis, of which the first n/2 + 1 are given; element n − k is the conjugate of
/// element k.
fn mirrored(x: &ArrayD<C>, axis: usize, n: usize) -> ArrayD<C> {
    let mut dims = x.raw_dim();
    dims[axis] = n;
    ArrayD::from_shape_fn(dims, |mut index| {
        if index[axis] <= n / 2 {
            return x[index];
        }
        index[axis] = n - index[axis];
        x[index].conj()
    })
}

/// For each k along the axis the sum of xⱼ rotated by j·k n-ths of a circle.
fn transform(x: &ArrayD<C>, axis: usize, direction: Direction) -> ArrayD<C> {
    let n = x.shape()[axis];
    ArrayD::from_shape_fn(x.raw_dim(), |index| {
        let mut at = index.clone();
        let terms = (0..n).map(|j| {
            at[axis] = j;
            let steps = j * index[axis] % n;
            Wide::Complex(match direction {
                Direction::Forward => rotated(x[&at], (n - steps) % n, n),
                Direction::Inverse => rotated(x[&at], steps, n),
            })
        });
        let total = accumulate::sum(Class::Complex, terms).value.complex();
        match direction {
            Direction::Forward => total,
            Direction::Inverse => C::new(total.re / n as f64, total.im / n as f64),
        }
    })
}

/// The number rotated by `steps` n-ths of a circle; by quarters of one its parts move.
fn rotated(x: C, steps: usize, n: usize) -> C {
    if (4 * steps).is_multiple_of(n) {
        return match 4 * steps / n {
            0 => x,
            1 => C::new(-x.im, x.re),
            2 => -x,
            _ => C::new(x.im, -x.re),
        };
    }
    x * C::cis(TAU * steps as f64 / n as f64)
}

/// The values with what their errors are relative to: of a transform of N elements by s stages
/// s·√N·‖x‖, which is no less than s·Σ|xⱼ|, and the N-th part of it where they are divided by N.
fn answer(
    signal: &ArrayD<C>,
    values: &ArrayD<C>,
    axes: &[usize],
    direction: Direction,
    target: Target,
) -> Result<WideAnswer> {
    let over = |of: fn(&C) -> f64| {
        let sum =
            |all: ArrayD<f64>, &axis: &usize| all.sum_axis(Axis(axis)).insert_axis(Axis(axis));
        axes.iter().fold(signal.map(of), sum)
    };
    let (moduli, squares) = (over(|x| x.norm()), over(|x| x.norm_sqr()));
    let count: f64 = axes
        .iter()
        .map(|&axis| signal.shape()[axis] as f64)
        .product();
    let stages: f64 = axes.iter().map(|&axis| stages(signal.shape()[axis])).sum();
    let divisor = match direction {
        Direction::Forward => 1.0,
        Direction::Inverse => count,
    };
    let tiny = Format::of(target.dtype()).map_or(0.0, Format::tiny);
    let worst = |squares: f64| match stages {
        0.0 => 0.0,
        stages => stages * (count * squares).sqrt() / divisor + tiny,
    };
    let each = |per_line: &ArrayD<f64>| -> Vec<f64> {
        let of = |index| {
            let mut index: ndarray::IxDyn = index;
            axes.iter().for_each(|&axis| index[axis] = 0);
            per_line[index]
        };
        ndarray::indices(values.raw_dim())
            .into_iter()
            .map(of)
            .collect()
    };
    let (sizes, squares) = (each(&moduli), each(&squares));
    let wide = |x: &C| match target.dtype().is_complex() {
        true => Wide::Complex(*x),
        false => Wide::Float(x.re),
    };
    Ok(WideAnswer {
        values: array::from_vec(&target.ty.shape, values.iter().map(wide).collect())?,
        magnitude: Some(Magnitude {
            of: Of::Terms,
            worst: squares.into_iter().map(worst).collect(),
            sizes: sizes.iter().map(|size| size / divisor).collect(),
            random: 1.0,
            open_zeros: Vec::new(),
        }),
    })
}

/// The stages of a transform of `n` elements: log2 n where n has small factors only.
///
/// By a large prime factor it may be a convolution with a chirp (Bluestein): three transforms of fewer
/// than 4·n elements each, whose errors the largest coefficient of the chirp's, below 2·√n, makes up to
/// twice as large in relation to √n·‖x‖.
fn stages(n: usize) -> f64 {
    let rest = [2, 3, 5, 7].into_iter().fold(n, |mut rest, factor| {
        while rest > 1 && rest.is_multiple_of(factor) {
            rest /= factor;
        }
        rest
    });
    match rest {
        0 | 1 => (n.max(1) as f64).log2(),
        _ => 6.0 * (4.0 * n as f64).log2(),
    }
}
