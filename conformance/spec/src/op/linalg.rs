//! Products and decompositions.

use serde::Deserialize;

use super::{Attributes, ops};
use crate::cost::largest;
use crate::row::{ROW, SMOOTH, sum_tolerance};
use crate::{
    Arity, Cost, DType, Domain, Dtypes, Error, ErrorKind, Judged, List, Price, Promise, Range,
    Result, ResultDType, Row, TensorType,
};

ops! {
    /// Sum of products over contracted axes, for each index of the batch axes. The result's axes
    /// are the batch axes, then the left operand's others, then the right's. Integers are exact.
    pub struct Dot = Row {
        name: "dot",
        family: "linalg",
        operands: &["left", "right"],
        arity: Arity::Exactly(2),
        result: ResultDType::Merged,
        judged: Judged::Values(sum_tolerance),
        range: Range::Sums,
        grad: Some(SMOOTH),
        price: Price { work: 2, temporaries: 2 },
        ..ROW
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
        let shape = &inputs[0].shape;
        let terms = self.contract_left.iter().map(|&axis| shape[axis] as u64);
        let terms = terms.fold(1, u64::saturating_mul).max(1);
        let cost = row.price.of(inputs, results)?;
        let width = results[0].dtype.size().max(4) as u64;
        let copies = inputs
            .iter()
            .map(|ty| ty.shape.size().map(|n| n as u64 * width));
        let copies = copies.sum::<Result<u64>>()?;
        Ok(Cost {
            work: largest(results)?.saturating_mul(terms).saturating_mul(2),
            temporaries: cost.temporaries.saturating_add(copies.saturating_mul(2)),
            ..cost
        })
    }
}

ops! {
    /// A = Q·R with orthonormal columns in Q and R upper triangular, over the last two axes.
    pub struct Qr = Row {
        name: "qr",
        family: "linalg",
        results: 2,
        accepts: Dtypes::REAL,
        result: ResultDType::Floating,
        // n reflections of m rows leave c·m·n roundings of half an eps in the worst case (Higham,
        // Accuracy and Stability, 19.3), and √(m·n) of them where they have no common sign; a
        // reflection is two products, a quotient and a difference, twice: c = 8.
        judged: Judged::Promise { promise: Promise::Qr, k: 4.0 },
        domain: &[Domain::Range(-4.0, 4.0)],
        price: Price { work: 4, temporaries: 8 },
        ..ROW
    }; {
        /// The sizes of Q and R.
        #[serde(default)]
        mode: QrMode,
    }
}

/// The sizes of a QR decomposition's factors for an m × n matrix, k = min(m, n).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QrMode {
    /// Q is m × k, R is k × n.
    #[default]
    Reduced,
    /// Q is m × m, R is m × n.
    Complete,
}

impl Attributes for Qr {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let input = &inputs[0];
        let Some((batch, &[m, n])) = input.shape.split_last_chunk::<2>() else {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("a matrix needs two axes, got {}", input.shape),
            ));
        };
        if m == 0 || n == 0 {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("no decomposition of an empty matrix {}", input.shape),
            ));
        }
        let k = match self.mode {
            QrMode::Reduced => m.min(n),
            QrMode::Complete => m,
        };
        let dtype = row.result_dtype(inputs, None)?;
        let factor = |rows, columns| TensorType::new(dtype, [batch, &[rows, columns]].concat());
        Ok(vec![factor(m, k), factor(k, n)])
    }

    /// A reflection of the whole matrix per column.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let cost = row.price.of(inputs, results)?;
        let columns = inputs[0].shape.last().copied().unwrap_or(1) as u64;
        Ok(Cost {
            work: cost.work.saturating_mul(columns.max(1)),
            ..cost
        })
    }
}
