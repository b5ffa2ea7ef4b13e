//! Windows that slide over a tensor.

use super::{Attributes, ops};
use crate::cost::Cost;
use crate::grad::SMOOTH;
use crate::row::{check_per_axis, row};
use crate::tolerance::{product_tolerance, sum_tolerance};
use crate::{
    Arity, Domain, Dtypes, Error, ErrorKind, Family, Grad, Judged, List, Price, Range, Result,
    ResultDType, Role, Row, Shape, TensorType,
};

const WINDOW: Row = Row {
    // The padded tensor, it and the result at a wider dtype.
    price: Price::each(3),
    ..row(Family::Window)
};

const EXTREMUM: Row = Row {
    accepts: Dtypes::REAL,
    // Which of several zeros is met first depends on the order within a window, which has none.
    open_zero: Dtypes::FLOAT,
    grad: Some(SMOOTH),
    ..WINDOW
};

ops! {
    /// Reductions of the elements under a window, to one element per place of it.
    pub enum Window(Sliding) {
        /// Sum at each place of a window; small floats accumulate wide, integers wrap.
        WindowSum = Row {
            name: "window_sum",
            judged: Judged::Values(sum_tolerance),
            range: Range::Sums,
            grad: Some(SMOOTH),
            ..WINDOW
        },
        /// Product at each place of a window; small floats multiply wide, integers wrap.
        WindowProduct = Row {
            name: "window_product",
            judged: Judged::Values(product_tolerance),
            // From 1 + 0i on or from the first factor: that decides a zero part's sign.
            open_zero: Dtypes::COMPLEX,
            price: Price { temporaries: 3, complex: 40 },
            ..WINDOW
        },
        /// Largest element at each place of a window; NaN where there is one.
        WindowMax = Row { name: "window_max", ..EXTREMUM },
        /// Smallest element at each place of a window; NaN where there is one.
        WindowMin = Row { name: "window_min", ..EXTREMUM },
    }
}

ops! {
    /// The attributes of windows.
    pub struct Sliding {
        /// The number of elements under the window per axis, at least 1.
        lengths: List<usize>,
        /// The step from one place to the next per axis, at least 1.
        strides: List<usize>,
        /// How many elements that change nothing before the first of each axis, less than 0 to take
        /// away.
        low: List<i64>,
        /// How many of them after the last of each axis, less than 0 to take away.
        high: List<i64>,
        /// The step from one element under the window to the next per axis, at least 1.
        dilations: List<usize>,
    }
}

impl Sliding {
    /// The shape with what is put in and taken away.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] where less than nothing is left of an axis.
    pub fn padded(&self, shape: &Shape) -> Result<Shape> {
        let dim = |axis: usize| {
            let dim =
                (shape[axis] as i128) + i128::from(self.low[axis]) + i128::from(self.high[axis]);
            // Beyond what a dimension may be it is refused as too large, not as wrong.
            usize::try_from(dim.min(Shape::MAX_DIM as i128 + 1)).map_err(|_| {
                Error::new(
                    ErrorKind::Shape,
                    format!("the padding leaves {dim} elements of axis {axis} of {shape}"),
                )
            })
        };
        let dims: Vec<usize> = (0..shape.rank()).map(dim).collect::<Result<_>>()?;
        Ok(Shape::new(dims))
    }

    /// From the first to the last element under the window along an axis, both included.
    fn extent(&self, axis: usize) -> usize {
        (self.lengths[axis] - 1)
            .saturating_mul(self.dilations[axis])
            .saturating_add(1)
    }

    /// The number of places along each axis.
    fn places(&self, shape: &Shape) -> Result<Shape> {
        check_per_axis("lengths", &self.lengths, shape)?;
        check_per_axis("strides", &self.strides, shape)?;
        check_per_axis("low", &self.low, shape)?;
        check_per_axis("high", &self.high, shape)?;
        check_per_axis("dilations", &self.dilations, shape)?;
        let steps = [&self.lengths, &self.strides, &self.dilations];
        if let Some(axis) = (0..shape.rank()).find(|&axis| steps.iter().any(|s| s[axis] == 0)) {
            return Err(Error::new(
                ErrorKind::Argument,
                format!("length, stride and dilation at axis {axis} must be at least 1"),
            ));
        }
        let padded = self.padded(shape)?;
        padded.size()?;
        let dim = |axis: usize| match padded[axis].checked_sub(self.extent(axis)) {
            Some(further) => Ok(further / self.strides[axis] + 1),
            None => Err(Error::new(
                ErrorKind::Shape,
                format!(
                    "a window that spans {} has no place on axis {axis} of size {}, padding included",
                    self.extent(axis),
                    padded[axis]
                ),
            )),
        };
        let dims: Vec<usize> = (0..shape.rank()).map(dim).collect::<Result<_>>()?;
        Ok(Shape::new(dims))
    }

    /// Windows of 1, 2, 4, ... elements are put together of two of the one before, and the whole of those that its
    /// length has as binary digits, axis by axis, over the whole padded tensor: each is a buffer, of elements of
    /// so many bytes.
    fn cost(
        &self,
        row: &Row,
        inputs: &[TensorType],
        results: &[TensorType],
        width: u64,
    ) -> Result<Cost> {
        let size = self.padded(&inputs[0].shape)?.size()? as u64;
        let levels = |length: &usize| u64::from(length.ilog2());
        let halves = |length: &usize| levels(length) + u64::from(length.count_ones()) - 1;
        let most = row.price.buffers(results) + self.lengths.iter().map(halves).sum::<u64>();
        Ok(Cost {
            temporaries: size.saturating_mul(width).saturating_mul(most),
        })
    }
}

impl Attributes for Sliding {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let shape = self.places(&inputs[0].shape)?;
        Ok(vec![TensorType::new(
            row.result_dtype(inputs, None)?,
            shape,
        )])
    }

    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let dtype = inputs[0].dtype;
        // Small floats are computed in `f32`, integers as they are.
        let width = match dtype.is_integer() {
            true => dtype.size(),
            false => dtype.size().max(4),
        };
        Sliding::cost(self, row, inputs, results, width as u64)
    }
}

const SCATTER: Row = Row {
    operands: &["tensor", "source", "init"],
    roles: &[Role::Predicate, Role::Data],
    arity: Arity::Exactly(3),
    accepts: Dtypes::REAL,
    result: ResultDType::Merged,
    judged: Judged::Values(sum_tolerance),
    price: Price::each(5),
    ..WINDOW
};

/// Nx finds what is under a window again to differentiate by the source, with padding of 0, which is
/// not to be chosen.
const fn beyond_zero(domain: &'static [Domain]) -> Option<Grad> {
    Some(Grad { domain, ..SMOOTH })
}

ops! {
    /// Sums at the elements that a window chooses.
    pub enum WindowScatter(Scattering) {
        /// Of the first operand's shape, the third operand, to which each element of the second one is
        /// added where the largest element is at that place of a window: NaN where there is one, and
        /// the last of equal ones.
        WindowScatterMax = Row {
            name: "window_scatter_max",
            grad: beyond_zero(&[
                Domain::Range(0.5, 2.0),
                Domain::Range(-2.0, 2.0),
                Domain::Range(-2.0, 2.0),
            ]),
            ..SCATTER
        },
        /// Of the first operand's shape, the third operand, to which each element of the second one is
        /// added where the smallest element is at that place of a window: NaN where there is one, and
        /// the last of equal ones.
        WindowScatterMin = Row {
            name: "window_scatter_min",
            grad: beyond_zero(&[
                Domain::Range(-2.0, -0.5),
                Domain::Range(-2.0, 2.0),
                Domain::Range(-2.0, 2.0),
            ]),
            ..SCATTER
        },
    }
}

ops! {
    /// The attributes of windows that choose.
    pub struct Scattering {
        /// The number of elements under the window per axis, at least 1.
        lengths: List<usize>,
        /// The step from one place to the next per axis, at least 1.
        strides: List<usize>,
        /// How many elements that are not chosen before the first of each axis, less than 0 to take
        /// away.
        low: List<i64>,
        /// How many of them after the last of each axis, less than 0 to take away.
        high: List<i64>,
    }
}

impl Scattering {
    /// The window.
    pub fn window(&self) -> Sliding {
        Sliding {
            lengths: self.lengths.clone(),
            strides: self.strides.clone(),
            low: self.low.clone(),
            high: self.high.clone(),
            dilations: vec![1; self.lengths.len()].into(),
        }
    }
}

impl Attributes for Scattering {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let (tensor, source, init) = (&inputs[0].shape, &inputs[1].shape, &inputs[2].shape);
        row.check_dtype(inputs[0].dtype)?;
        let places = self.window().places(tensor)?;
        if *source != places {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("the source must have an element per place, {places}, got {source}"),
            ));
        }
        if init.rank() != 0 {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("the initial value must be a scalar, got {init}"),
            ));
        }
        let dtype = row.result_dtype(&inputs[1..], None)?;
        Ok(vec![TensorType::new(dtype, tensor.clone())])
    }

    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let width = inputs[0].dtype.size().max(4) as u64;
        let cost = self.window().cost(row, inputs, results, width)?;
        // An index goes with each element, and comparisons of both.
        Ok(Cost {
            temporaries: cost.temporaries.saturating_mul(3),
        })
    }
}
