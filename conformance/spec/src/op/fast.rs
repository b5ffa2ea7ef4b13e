//! What neural networks are made of: MLX's extras, which Nx has no functions for.
//!
//! On the BEAM they are `Emily.Fast`'s.

use super::reduce::reduced;
use super::{Attributes, ops};
use crate::row::{ROW, SMOOTH};
use crate::{Dtypes, Judged, List, Price, Range, Result, ResultDType, Row, TensorType, Tolerance};

/// Real numbers, computed at least in `f32` and rounded once. An answer's tolerance is one unit of the
/// magnitude, which counts the roundings on its way.
const FAST: Row = Row {
    family: "fast",
    accepts: Dtypes::REAL,
    result: ResultDType::Floating,
    judged: Judged::Values(|_| Tolerance::Accum(1.0)),
    grad: Some(SMOOTH),
    price: Price {
        work: 30,
        temporaries: 6,
    },
    ..ROW
};

ops! {
    /// Shares of the exponentials: e^x over the sum of e^x along axes. What is less than the largest
    /// share by more than the range of the dtype is 0; with an infinity or a NaN, all are NaN.
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
}
