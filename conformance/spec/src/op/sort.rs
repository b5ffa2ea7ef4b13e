//! Orders.

use serde::Deserialize;

use super::{Attributes, ops};
use crate::row::{SMOOTH, row};
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
        price: Price { work: 8, temporaries: 8, complex: 8 },
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
        price: Price { work: 8, temporaries: 2, complex: 2 },
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
        price: Price { work: 8, temporaries: 6, complex: 6 },
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
        let axis = inputs[0].shape.rank().saturating_sub(1);
        Ok(Cost {
            temporaries: row.price.of_operands(inputs, results)?.temporaries,
            ..comparisons(row, inputs, results, axis)?
        })
    }
}

/// The order of a sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
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

    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        comparisons(row, inputs, results, self.axis)
    }
}

impl Attributes for Sort {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let dtype = row.result_dtype(inputs, None)?;
        along(&inputs[0], self.axis, dtype)
    }

    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        comparisons(row, inputs, results, self.axis)
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

/// Comparisons grow with the logarithm of the axis.
fn comparisons(
    row: &Row,
    inputs: &[TensorType],
    results: &[TensorType],
    axis: usize,
) -> Result<Cost> {
    let cost = row.price.of(inputs, results)?;
    let axis = inputs[0].shape.get(axis).copied().unwrap_or(1);
    let levels = u64::from(axis.max(2).ilog2());
    Ok(Cost {
        work: cost.work.saturating_mul(levels),
        ..cost
    })
}
