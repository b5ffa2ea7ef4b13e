//! What neural networks are made of: MLX's extras, which Nx has no functions for.
//!
//! On the BEAM they are `Emily.Fast`'s.

mod attention;
mod einsum;
mod rope;

pub use attention::{AttentionOperands, ScaledDotProductAttention};
pub use einsum::Einsum;
pub use rope::Rope;

use super::reduce::reduced;
use super::{Attributes, ops};
use crate::grad::SMOOTH;
use crate::row::row;
use crate::{
    Arity, Cost, Dtypes, Error, ErrorKind, Family, Judged, List, Price, Range, Result, ResultDType,
    Row, Scalar, Shape, TensorType, Tolerance,
};

/// Real numbers, computed at least in `f32` and rounded once. An answer's tolerance is one unit of the
/// magnitude, which counts the roundings on its way.
const FAST: Row = Row {
    accepts: Dtypes::REAL,
    result: ResultDType::Floating,
    judged: Judged::Values(|_| Tolerance::Accum(1.0)),
    grad: Some(SMOOTH),
    price: Price::each(6),
    ..row(Family::Fast)
};

ops! {
    /// The exponentials over their sum along axes: e^x / Σ e^x. What is less than the largest by more
    /// than the range of the dtype is 0; with an infinity or a NaN, all are NaN.
    pub struct Softmax = Row {
        name: "softmax",
        range: Range::NonNegative,
        ..FAST
    }; {
        /// The axes that a sum goes over.
        axes: List<usize>,
    }
}

impl Attributes for Softmax {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let shape = &inputs[0].shape;
        shape.check_axes(&self.axes)?;
        let dtype = row.result_dtype(inputs, None)?;
        Ok(vec![TensorType::new(dtype, shape.clone())])
    }
}

ops! {
    /// Logarithm of the sum of e^x over axes, as if nothing on the way could overflow: that of −∞ alone,
    /// or of nothing, is −∞.
    pub struct Logsumexp = Row {
        name: "logsumexp",
        range: Range::NoNegativeZero,
        ..FAST
    }; {
        /// The axes to reduce; all when absent.
        axes: Option<List<usize>>,
        /// Keep reduced axes with size 1.
        #[serde(default)]
        keep_axes: bool,
    }
}

impl Attributes for Logsumexp {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let shape = reduced(&inputs[0].shape, self.axes.as_deref(), self.keep_axes)?;
        let dtype = row.result_dtype(inputs, None)?;
        Ok(vec![TensorType::new(dtype, shape)])
    }

    /// The result is small, the operand is not.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        row.price.cost_of_operands(inputs, results)
    }
}

ops! {
    /// Rows brought to one size.
    pub enum Norm(Epsilon) {
        /// Rows along the last axis over the root of their mean square plus eps, times a weight:
        /// x / √(mean(x²) + eps) · weight. Squares may be beyond the range of the dtype.
        RmsNorm = Row {
            name: "rms_norm",
            operands: &["tensor", "weight"],
            arity: Arity::Exactly(2),
            ..FAST
        },
        /// Rows along the last axis less their mean, over the root of their variance plus eps, times a
        /// weight, plus a bias: (x − mean) / √(mean((x − mean)²) + eps) · weight + bias. Squares may be
        /// beyond the range of the dtype.
        LayerNorm = Row {
            name: "layer_norm",
            operands: &["tensor", "weight", "bias"],
            arity: Arity::Exactly(3),
            price: Price::each(10),
            ..FAST
        },
    }
}

ops! {
    /// The attributes of norms.
    pub struct Epsilon {
        /// What is added to the mean square, a real number, 0 or more; 1e-5 when absent.
        eps: Option<Scalar>,
    }
}

impl Epsilon {
    /// `eps`; none where it is no real number of 0 or more.
    pub fn value(&self) -> Option<f64> {
        self.eps
            .map_or(Some(1e-5), Scalar::real)
            .filter(|eps| *eps >= 0.0)
    }
}

impl Attributes for Epsilon {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        if self.value().is_none() {
            return Err(Error::new(
                ErrorKind::Argument,
                "eps must be a real number, 0 or more",
            ));
        }
        let shape = &inputs[0].shape;
        let Some(&length) = shape.last() else {
            return Err(Error::new(
                ErrorKind::Shape,
                "a norm goes along the last axis, and a scalar has none",
            ));
        };
        for (name, operand) in row.operands.iter().zip(inputs).skip(1) {
            if operand.shape != Shape::from([length]) {
                return Err(Error::new(
                    ErrorKind::Shape,
                    format!(
                        "the {name} is {}, for rows of {length} elements; it must be [{length}]",
                        operand.shape
                    ),
                ));
            }
        }
        let dtype = row.result_dtype(inputs, None)?;
        Ok(vec![TensorType::new(dtype, shape.clone())])
    }
}
