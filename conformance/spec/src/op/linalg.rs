//! Products, systems of equations and decompositions.

mod decompose;
mod determinant;
mod gathered;
mod solve;
mod spectral;

pub use decompose::{Cholesky, Lu, Qr, QrMode};
pub use determinant::Determinant;
pub use gathered::GatherMm;
pub(super) use gathered::picked;
pub use solve::{Solve, TransformA, TriangularSolve};
pub use spectral::{Eigh, Svd};

use super::{Attributes, ops};
use crate::cost::{largest, limbs};
use crate::grad::SMOOTH;
use crate::row::row;
use crate::tolerance::sum_tolerance;
use crate::{
    Arity, Cost, DType, Error, ErrorKind, Family, Judged, List, Price, Range, Result, ResultDType,
    Row, Shape, TensorType,
};

ops! {
    /// Sum of products over contracted axes, for each index of the batch axes. The result's axes
    /// are the batch axes, then the left operand's others, then the right's. Integers are exact.
    pub struct Dot = Row {
        name: "dot",
        operands: &["left", "right"],
        arity: Arity::Exactly(2),
        result: ResultDType::Merged,
        judged: Judged::Values(sum_tolerance),
        range: Range::Sums,
        grad: Some(SMOOTH),
        price: Price::each(2),
        ..row(Family::Linalg)
    }; {
        /// Axes of the left operand to sum over.
        contract_left: List<usize>,
        /// Leading axes of the left operand that pair up; none when absent.
        batch_left: Option<List<usize>>,
        /// Axes of the right operand to sum over, in the left's order.
        contract_right: List<usize>,
        /// Leading axes of the right operand that pair up, in the left's order; none when absent.
        batch_right: Option<List<usize>>,
        /// The result's dtype; the operands' merged dtype when absent.
        dtype: Option<DType>,
    }
}

impl Dot {
    /// The contracted axes of both operands.
    pub fn contract(&self) -> [&[usize]; 2] {
        [&self.contract_left, &self.contract_right]
    }

    /// The multiplications that the product takes: one for each element of the result and each place that is summed
    /// over. So many as can be counted.
    pub fn multiplications(&self, left: &Shape, result: &Shape) -> usize {
        let summed = self.contract_left.iter().map(|&axis| left[axis]);
        let all = summed.chain(result.iter().copied());
        all.fold(1, usize::saturating_mul)
    }

    /// The batch axes of both operands.
    pub fn batch(&self) -> [&[usize]; 2] {
        [&self.batch_left, &self.batch_right].map(|axes| axes.as_deref().unwrap_or_default())
    }
}

impl Attributes for Dot {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let (contract, batch) = (self.contract(), self.batch());
        let shapes = [&inputs[0].shape, &inputs[1].shape];
        for side in 0..2 {
            shapes[side].check_axes(&[batch[side], contract[side]].concat())?;
            if !batch[side].iter().copied().eq(0..batch[side].len()) {
                return Err(Error::new(
                    ErrorKind::Argument,
                    format!(
                        "batch axes {:?} must be the leading axes in order; transpose first",
                        batch[side]
                    ),
                ));
            }
        }
        for (name, [left, right]) in [("contracted", contract), ("batch", batch)] {
            if left.len() != right.len() {
                return Err(Error::new(
                    ErrorKind::Argument,
                    format!("{name} axes {left:?} and {right:?} do not pair up"),
                ));
            }
            for (&l, &r) in left.iter().zip(right) {
                if shapes[0][l] != shapes[1][r] {
                    return Err(Error::new(
                        ErrorKind::Shape,
                        format!(
                            "{name} axes differ in size: axis {l} of {} and axis {r} of {}",
                            shapes[0], shapes[1]
                        ),
                    ));
                }
            }
        }
        let mut dims: Vec<usize> = batch[0].iter().map(|&axis| shapes[0][axis]).collect();
        for side in 0..2 {
            let named = [batch[side], contract[side]].concat();
            dims.extend(shapes[side].reduce(&named, false).iter());
        }
        let dtype = row.result_dtype(inputs, self.dtype)?;
        Ok(vec![TensorType::new(dtype, dims)])
    }

    /// Each element of the result is a sum over the contracted axes; operands are copied when their
    /// layout or dtype is not the product's.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let cost = row.price.cost_of(inputs, results)?;
        let width = results[0].dtype.size().max(4) as u64;
        let copies = inputs
            .iter()
            .map(|ty| ty.shape.size().map(|n| n as u64 * width));
        let copies = copies.sum::<Result<u64>>()?;
        let elements = copies / width;
        // In the order of the product, and in that of the kernel; of complex numbers the parts, too.
        let each = match results[0].dtype.is_complex() {
            true => 3,
            false => 2,
        };
        let limbs = limbs(results[0].dtype, elements, largest(results)?);
        Ok(Cost {
            temporaries: cost
                .temporaries
                .saturating_add(copies.saturating_mul(each))
                .saturating_add(limbs),
        })
    }
}

/// The batch axes of matrices, and their rows and columns.
fn matrices(input: &TensorType) -> Result<(&[usize], usize, usize)> {
    let Some((batch, &[m, n])) = input.shape.split_last_chunk::<2>() else {
        return Err(Error::new(
            ErrorKind::Shape,
            format!("a matrix needs two axes, got {}", input.shape),
        ));
    };
    if m == 0 || n == 0 {
        return Err(Error::new(
            ErrorKind::Shape,
            format!("an empty matrix {} has no answer", input.shape),
        ));
    }
    Ok((batch, m, n))
}

/// The batch axes of square matrices, and their size.
fn square(input: &TensorType) -> Result<(&[usize], usize)> {
    match matrices(input)? {
        (batch, m, n) if m == n => Ok((batch, n)),
        _ => Err(Error::new(
            ErrorKind::Shape,
            format!("a square matrix is needed, got {}", input.shape),
        )),
    }
}

/// The bytes of so many copies of the first operand, in what it is computed in.
fn copies(count: u64, inputs: &[TensorType], results: &[TensorType]) -> Result<u64> {
    let elements = inputs[0].shape.size()? as u64;
    let width = results[0].dtype.size().max(4) as u64;
    Ok(elements.saturating_mul(width).saturating_mul(count))
}
