//! Tensors from nothing.

use super::{Attributes, ops};
use crate::row::row;
use crate::{
    Arity, Cost, DType, Error, ErrorKind, Family, Price, Range, Result, ResultDType, Row, Scalar,
    Shape, TensorType,
};

const CREATION: Row = Row {
    operands: &[],
    arity: Arity::Exactly(0),
    result: ResultDType::Asked,
    price: Price::SIMPLE,
    ..row(Family::Creation)
};

ops! {
    /// Counts from 0 along an axis, or over the whole shape in row-major order.
    pub struct Iota = Row { name: "iota", range: Range::Counts, ..CREATION }; {
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

    /// Small floats are put together of parts of the integers, to round once.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let price = match self.dtype.is_small_float() {
            true => Price {
                temporaries: 11,
                ..row.price
            },
            false => row.price,
        };
        price.cost_of(inputs, results)
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
    pub struct Constant = Row {
        name: "constant",
        price: Price::each(0),
        ..CREATION
    }; {
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
