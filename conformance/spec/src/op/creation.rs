//! Tensors from nothing.

use super::{Attributes, ops};
use crate::row::ROW;
use crate::{
    Arity, DType, Error, ErrorKind, Price, Range, Result, ResultDType, Row, Scalar, Shape,
    TensorType,
};

const CREATION: Row = Row {
    family: "creation",
    operands: &[],
    arity: Arity::Exactly(0),
    result: ResultDType::Asked,
    price: Price::SIMPLE,
    ..ROW
};

ops! {
    /// Counts from 0 along an axis, or over the whole shape in row-major order.
    pub struct Iota = Row { name: "iota", range: Range::Counts, price: Price { work: 2, temporaries: 11, complex: 2 },
 ..CREATION }; {
        /// The result's dtype.
        dtype: DType,
        /// The result's shape.
        shape: Shape,
        /// The axis that counts; all of them, flattened, when absent.
        axis: Option<usize>,
    }
}

impl Attributes for Iota {
    fn infer(&self, _row: &Row, _inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        if let Some(axis) = self.axis {
            self.shape.check_axis(axis)?;
        }
        Ok(vec![TensorType::new(self.dtype, self.shape.clone())])
    }
}

ops! {
    /// Ones where the indices along the last two axes are equal, zeros elsewhere: an identity
    /// matrix for each index of the axes before them.
    pub struct Eye = Row { name: "eye", range: Range::Counts, ..CREATION }; {
        /// The result's dtype.
        dtype: DType,
        /// The result's shape, of two axes or more.
        shape: Shape,
    }
}

impl Attributes for Eye {
    fn infer(&self, _row: &Row, _inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        if self.shape.rank() < 2 {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("a matrix needs two axes, got {}", self.shape),
            ));
        }
        Ok(vec![TensorType::new(self.dtype, self.shape.clone())])
    }
}

ops! {
    /// One number everywhere, cast to the dtype as `as_type` casts.
    pub struct Constant = Row { name: "constant", ..CREATION }; {
        /// The result's dtype.
        dtype: DType,
        /// The result's shape.
        shape: Shape,
        /// The number: an integer of at most 64 bits, a float, `nan`, `inf`, `-inf`, or `[re, im]`.
        value: Scalar,
    }
}

impl Attributes for Constant {
    fn infer(&self, _row: &Row, _inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        Ok(vec![TensorType::new(self.dtype, self.shape.clone())])
    }
}
