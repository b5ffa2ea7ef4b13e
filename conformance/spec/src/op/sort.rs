//! Orders.

use serde::Deserialize;

use super::{Attributes, ops};
use crate::grad::SMOOTH;
use crate::row::row;
use crate::{
    Cost, DType, Dtypes, Error, ErrorKind, Family, Price, Result, ResultDType, Row, Shape,
    TensorType,
};

ops! {
    /// Indices that sort along an axis, equal elements in their order; NaN is above everything.
    pub struct Argsort = Row {
        name: "argsort",
        accepts: Dtypes::REAL,
        result: ResultDType::Index,
        price: Price::each(8),
        ..row(Family::Sort)
    }; {
        /// The axis to sort along.
        axis: usize,
        /// Smallest or largest first.
        #[serde(default)]
        direction: Direction,
        /// The result's integer dtype; `s32` when absent.
        dtype: Option<DType>,
    }
}

ops! {
    /// Sorts along an axis, equal elements in their order; NaN is above everything.
    pub struct Sort = Row {
        name: "sort",
        accepts: Dtypes::REAL,
        grad: Some(SMOOTH),
        price: Price::each(2),
        ..row(Family::Sort)
    }; {
        /// The axis to sort along.
        axis: usize,
        /// Smallest or largest first.
        #[serde(default)]
        direction: Direction,
    }
}

ops! {
    /// The largest elements along the last axis, largest first, and their indices, `s32`: equal elements
    /// in their order; NaN is above everything.
    pub struct TopK = Row {
        name: "top_k",
        results: 2,
        accepts: Dtypes::REAL,
        grad: Some(SMOOTH),
        price: Price::each(6),
        ..row(Family::Sort)
    }; {
        /// How many, at least 1 and at most the size of the axis.
        k: usize,
    }
}

impl Attributes for TopK {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let shape = &inputs[0].shape;
        let Some((&size, batch)) = shape.split_last() else {
            return Err(Error::new(
                ErrorKind::Shape,
                "a scalar has no last axis to choose along",
            ));
        };
        if self.k == 0 || self.k > size {
            return Err(Error::new(
                ErrorKind::Argument,
                format!("{} of the last axis of {shape} cannot be chosen", self.k),
            ));
        }
        let shape = Shape::new([batch, &[self.k]].concat());
        let dtype = row.result_dtype(inputs, None)?;
        Ok(vec![
            TensorType::new(dtype, shape.clone()),
            TensorType::new(DType::S32, shape),
        ])
    }

    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        row.price.cost_of_operands(inputs, results)
    }
}

/// The order of a sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Smallest first.
    #[default]
    Asc,
    /// Largest first.
    Desc,
}

impl Attributes for Argsort {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let dtype = row.result_dtype(inputs, self.dtype)?;
        along(&inputs[0], self.axis, dtype)
    }
}

impl Attributes for Sort {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let dtype = row.result_dtype(inputs, None)?;
        along(&inputs[0], self.axis, dtype)
    }
}

/// A result of the input's shape.
fn along(input: &TensorType, axis: usize, dtype: DType) -> Result<Vec<TensorType>> {
    // Nx sorts a scalar along axis 0 into itself.
    if input.shape.rank() > 0 || axis > 0 {
        input.shape.check_axis(axis)?;
    }
    Ok(vec![TensorType::new(dtype, input.shape.clone())])
}
