//! Discrete Fourier transforms.

use super::{Attributes, ops};
use crate::grad::SMOOTH;
use crate::row::row;
use crate::{
    Cost, DType, Domain, Dtypes, Error, ErrorKind, Family, Grad, Judged, List, OpKind, Price,
    Result, ResultDType, Row, Shape, TensorType, Tolerance,
};

/// An element is a sum of n terms, which a fast transform adds up in stages of butterflies, log2 n of
/// them. In each, a term is multiplied by a twiddle, itself off by at most u = eps/2, and added: it
/// grows by √5·u + u + u < 4.3·u (Brent, Percival and Zimmermann, *Error bounds on complex
/// floating-point multiplication*). With one u more for the reference and two for dividing by n that
/// is at most 7.3·u, less than four eps, for each stage that the oracle's magnitude counts.
const fn stages(_: DType) -> Tolerance {
    Tolerance::Accum(4.0)
}

const FOURIER: Row = Row {
    result: ResultDType::Complex,
    judged: Judged::Values(stages),
    open_zero: Dtypes::ALL,
    domain: &[Domain::Range(-4.0, 4.0)],
    // A gradient is a transform as well, of the weights: four eps for each of the seven stages that a
    // hundred elements have. Nx leaves that of a real operand complex.
    grad: Some(Grad {
        eps: 28.0,
        ..SMOOTH
    }),
    price: Price::each(4),
    ..row(Family::Fft)
};

ops! {
    /// Transforms along an axis. What a NaN or an infinity makes of the other part of a result is
    /// known for transforms of 1, 2 and 4 elements, whose twiddles are ±1 and ±i.
    pub enum Fourier(Transform) {
        /// Discrete Fourier transform along an axis: for each k the sum of xⱼ·e^(−2πi·j·k/n).
        Fft = Row { name: "fft", ..FOURIER },
        /// Inverse discrete Fourier transform along an axis: for each k the sum of xⱼ·e^(2πi·j·k/n),
        /// divided by n.
        Ifft = Row { name: "ifft", ..FOURIER },
        /// First n/2 + 1 elements of the discrete Fourier transform of real numbers along an axis,
        /// of which the others are conjugates.
        Rfft = Row { name: "rfft", accepts: Dtypes::REAL, ..FOURIER },
        /// Inverse discrete Fourier transform along an axis to n real numbers, from the first n/2 + 1
        /// elements; the others count as their conjugates. `f64` is refused, as by the other transforms:
        /// MLX transforms in `c64`, which has not its digits.
        Irfft = Row { name: "irfft", result: ResultDType::Parts, ..FOURIER },
    }
}

ops! {
    /// Attributes of a transform.
    pub struct Transform {
        /// The axis to transform along.
        axis: usize,
        /// The number n; the operand is cut to what it needs, or filled up with zeros. The axis's
        /// size when absent, for an `irfft` twice what is less than one of it.
        length: Option<usize>,
    }
}

impl Transform {
    /// The number of elements that an operand with an axis of this size is transformed by.
    pub fn length(&self, kind: Fourier, size: usize) -> usize {
        let whole = match kind {
            Fourier::Fft | Fourier::Ifft | Fourier::Rfft => size,
            Fourier::Irfft => size.saturating_sub(1).saturating_mul(2),
        };
        self.length.unwrap_or(whole)
    }
}

impl Attributes for Transform {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let OpKind::Fourier(kind) = row.kind else {
            return Err(Error::new(ErrorKind::Internal, "no Fourier transform"));
        };
        let mut dims = inputs[0].shape.to_vec();
        inputs[0].shape.check_axis(self.axis)?;
        let length = self.length(kind, dims[self.axis]);
        check_length(length)?;
        dims[self.axis] = match kind {
            Fourier::Fft | Fourier::Ifft | Fourier::Irfft => length,
            Fourier::Rfft => length / 2 + 1,
        };
        let dtype = row.result_dtype(inputs, None)?;
        Ok(vec![TensorType::new(dtype, dims)])
    }

    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let OpKind::Fourier(kind) = row.kind else {
            return Err(Error::new(ErrorKind::Internal, "no Fourier transform"));
        };
        let length = self.length(kind, inputs[0].shape[self.axis]);
        cost(row, &[length], inputs, results)
    }
}

ops! {
    /// Transforms along two axes, one after the other.
    pub enum Fourier2(Transform2) {
        /// Discrete Fourier transform along two axes.
        Fft2 = Row { name: "fft2", ..FOURIER },
        /// Inverse discrete Fourier transform along two axes.
        Ifft2 = Row { name: "ifft2", ..FOURIER },
    }
}

ops! {
    /// Attributes of a transform along two axes.
    pub struct Transform2 {
        /// The two axes.
        axes: List<usize>,
        /// The number of elements along each, to which the operand is cut, or filled up with zeros;
        /// the axes' sizes when absent.
        lengths: Option<List<usize>>,
    }
}

impl Transform2 {
    /// Each axis with the number of elements that an operand of this shape is transformed by.
    pub fn lengths(&self, shape: &[usize]) -> Vec<(usize, usize)> {
        let length = |(i, &axis): (usize, &usize)| match &self.lengths {
            Some(lengths) => (axis, lengths[i]),
            None => (axis, shape[axis]),
        };
        self.axes.iter().enumerate().map(length).collect()
    }
}

impl Attributes for Transform2 {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let count = self.lengths.as_ref().map_or(2, |lengths| lengths.len());
        if self.axes.len() != 2 || count != 2 {
            return Err(Error::new(
                ErrorKind::Argument,
                format!(
                    "{} takes two axes and two lengths, got {:?} and {count}",
                    row.name, self.axes
                ),
            ));
        }
        let mut dims = inputs[0].shape.to_vec();
        inputs[0].shape.check_axes(&self.axes)?;
        for (axis, length) in self.lengths(&inputs[0].shape) {
            check_length(length)?;
            dims[axis] = length;
        }
        let dtype = row.result_dtype(inputs, None)?;
        Ok(vec![TensorType::new(dtype, dims)])
    }

    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let lengths = self.lengths(&inputs[0].shape);
        let lengths: Vec<usize> = lengths.into_iter().map(|(_axis, length)| length).collect();
        cost(row, &lengths, inputs, results)
    }
}

/// The price of the results, and the plans by which elements are transformed: one length after the other.
fn cost(
    row: &Row,
    lengths: &[usize],
    inputs: &[TensorType],
    results: &[TensorType],
) -> Result<Cost> {
    let Cost { temporaries } = row.price.cost_of(inputs, results)?;
    let plan = lengths.iter().map(|&length| plan(length)).max();
    Ok(Cost {
        temporaries: temporaries.saturating_add(plan.unwrap_or_default()),
    })
}

/// The most bytes of a plan for this length and of what it works in, none of which MLX allocates: four complex
/// numbers an element. Where a prime factor's square is more than the length, the transform may be three of more
/// than twice the length (Bluestein, *A linear filtering approach to the computation of the discrete Fourier
/// transform*), and that is thirteen.
fn plan(length: usize) -> u64 {
    let of_elements = if has_large_factor(length) { 13 } else { 4 };
    (length as u64).saturating_mul(8 * of_elements)
}

/// Whether the square of a prime factor of this number is larger than it.
fn has_large_factor(number: usize) -> bool {
    let mut rest = number;
    let mut factor = 2;
    while factor * factor <= rest {
        if rest.is_multiple_of(factor) {
            rest /= factor;
        } else {
            factor += 1 + factor % 2;
        }
    }
    rest.saturating_mul(rest) > number
}

fn check_length(length: usize) -> Result<()> {
    if length == 0 {
        return Err(Error::new(
            ErrorKind::Argument,
            "a transform needs a length of 1 or more",
        ));
    }
    // Also where the result has fewer elements.
    Shape::new([length]).size().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_factor_is_one_whose_square_is_more_than_the_number() {
        let large = (1..40).filter(|&number| has_large_factor(number));
        let by_definition = (1..40).filter(|&number: &usize| {
            let is_prime = |n: usize| n > 1 && (2..n).all(|d| !n.is_multiple_of(d));
            (1..=number).any(|d| number.is_multiple_of(d) && is_prime(d) && d * d > number)
        });
        assert_eq!(large.collect::<Vec<_>>(), by_definition.collect::<Vec<_>>());
        assert!(has_large_factor(29_999_999) && !has_large_factor(1 << 30));
    }
}
