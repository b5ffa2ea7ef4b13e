//! What has come together up to each element.

use super::{Attributes, ops};
use crate::cost::bytes;
use crate::grad::SMOOTH;
use crate::row::row;
use crate::tolerance::{product_tolerance, sum_tolerance};
use crate::{Cost, Dtypes, Family, Judged, Price, Result, Row, TensorType};

const CUMULATIVE: Row = Row {
    grad: Some(SMOOTH),
    price: Price {
        temporaries: 15,
        complex: 4,
    },
    ..row(Family::Cumulative)
};

const EXTREMUM: Row = Row {
    accepts: Dtypes::REAL,
    // Equal zeros are one number.
    open_zero: Dtypes::FLOAT,
    ..CUMULATIVE
};

ops! {
    /// Reductions of every element along an axis with those before it.
    pub enum Cumulative(Scan) {
        /// Sum of each element and those before it; small floats accumulate wide, integers wrap.
        CumulativeSum = Row {
            name: "cumulative_sum",
            judged: Judged::Values(sum_tolerance),
            ..CUMULATIVE
        },
        /// Product of each element and those before it; small floats multiply wide, integers wrap.
        CumulativeProduct = Row {
            name: "cumulative_product",
            judged: Judged::Values(product_tolerance),
            // In which order they are multiplied decides a zero part's sign.
            open_zero: Dtypes::COMPLEX,
            ..CUMULATIVE
        },
        /// Largest of each element and those before it; NaN from the first NaN on.
        CumulativeMax = Row { name: "cumulative_max", price: Price::each(3), ..EXTREMUM },
        /// Smallest of each element and those before it; NaN from the first NaN on.
        CumulativeMin = Row { name: "cumulative_min", price: Price::each(3), ..EXTREMUM },
    }
}

ops! {
    /// The attributes of cumulative reductions.
    pub struct Scan {
        /// The axis to go along.
        axis: usize,
        /// From the last element to the first.
        #[serde(default)]
        reverse: bool,
    }
}

impl Attributes for Scan {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let shape = &inputs[0].shape;
        shape.check_axis(self.axis)?;
        let dtype = row.result_dtype(inputs, None)?;
        Ok(vec![TensorType::new(dtype, shape.clone())])
    }

    /// An operand that does not lie in order is copied.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let cost = row.price.cost_of(inputs, results)?;
        Ok(Cost {
            temporaries: cost.temporaries.saturating_add(bytes(inputs)?),
        })
    }
}
