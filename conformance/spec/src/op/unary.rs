//! Element-wise operations on one operand.

use super::{Attributes, Plain, ops};
use crate::row::{ROW, SMOOTH, library};
use crate::{DType, Dtypes, Judged, Price, Range, Result, ResultDType, Row, TensorType};

/// A function of each element, whose result is floating: integers are cast to `f32` first.
const UNARY: Row = Row {
    family: "unary",
    result: ResultDType::Floating,
    ..ROW
};

ops! {
    /// Functions of each element.
    pub enum Unary(Plain) {
        /// Nearest integral value, halves away from zero.
        Round = Row {
            name: "round",
            accepts: Dtypes::FLOAT,
            price: Price { work: 4, temporaries: 4 },
            ..UNARY
        },
        /// e to the power of each element.
        Exp = Row {
            name: "exp",
            // expf: 1 ulp in glibc, 2 in CUDA's table, 4 in Metal's.
            judged: Judged::Values(|dtype| library(dtype, 4)),
            range: Range::NonNegative,
            grad: Some(SMOOTH),
            price: Price::FUNCTION,
            ..UNARY
        },
        /// Complementary error function, 1 − erf(x), accurate for large x.
        Erfc = Row {
            name: "erfc",
            accepts: Dtypes::REAL,
            // By a series, a quotient of it, and two exponentials: 1 for the sum of the series, 1 for
            // the quotient and its divisor, 2 for each exponential (CUDA's table), 1 for the two
            // products, and the reference's own rounding.
            judged: Judged::Values(|dtype| library(dtype, 8)),
            range: Range::NonNegative,
            grad: Some(SMOOTH),
            price: Price { work: 60, temporaries: 12 },
            ..UNARY
        },
    }
}

impl Attributes for Plain {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        row.elementwise(inputs, None)
    }
}

ops! {
    /// Cast. Floats to integers truncate and wrap, NaN gives 0, infinities give the type's limits;
    /// complex to real drops the imaginary part.
    pub struct AsType = Row {
        name: "as_type",
        family: "unary",
        result: ResultDType::Asked,
        grad: Some(SMOOTH),
        price: Price { work: 4, temporaries: 6 },
        ..ROW
    }; {
        /// The result's dtype.
        dtype: DType,
    }
}

impl Attributes for AsType {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        row.elementwise(inputs, Some(self.dtype))
    }
}
