//! Reductions.

use serde::Deserialize;

use super::{Attributes, ops};
use crate::grad::SMOOTH;
use crate::row::row;
use crate::tolerance::{product_tolerance, sum_tolerance};
use crate::{
    Arity, Class, Cost, DType, Dtypes, Error, ErrorKind, Family, Judged, List, OpKind, Price,
    Result, ResultDType, Row, Scalar, Shape, TensorType,
};

const REDUCE: Row = Row {
    price: Price::each(4),
    ..row(Family::Reduce)
};

/// The terms in the dtype that they are added in, and sums of blocks of four, and of those.
const SUM: Price = Price::each(2);

const EXTREMUM: Row = Row {
    accepts: Dtypes::REAL,
    // Which of several zeros is met first depends on the order of a reduction, which has none.
    open_zero: Dtypes::FLOAT,
    grad: Some(SMOOTH),
    ..REDUCE
};

ops! {
    /// Reductions to one element per index of the axes that stay.
    pub enum Reduce(Reduction) {
        /// Sum over axes; small floats accumulate wide, integers wrap.
        Sum = Row {
            name: "sum",
            price: SUM,
            result: ResultDType::Aggregate,
            judged: Judged::Values(sum_tolerance),
            grad: Some(SMOOTH),
            ..REDUCE
        },
        /// Product over axes; small floats multiply wide, integers wrap.
        Product = Row {
            name: "product",
            price: SUM,
            result: ResultDType::Aggregate,
            judged: Judged::Values(product_tolerance),
            // From 1 + 0i on or from the first factor: that decides a zero part's sign.
            open_zero: Dtypes::COMPLEX,
            grad: Some(SMOOTH),
            ..REDUCE
        },
        /// Largest element over axes; NaN where there is one.
        ReduceMax = Row { name: "reduce_max", price: Price::each(1), ..EXTREMUM },
        /// Smallest element over axes; NaN where there is one.
        ReduceMin = Row { name: "reduce_min", price: Price::each(1), ..EXTREMUM },
    }
}

ops! {
    /// The attributes of reductions.
    pub struct Reduction {
        /// The axes to reduce; all when absent.
        axes: Option<List<usize>>,
        /// Keep reduced axes with size 1.
        #[serde(default)]
        keep_axes: bool,
        /// The result's dtype; Nx's aggregate of the operand's when absent.
        dtype: Option<DType>,
    }
}

impl Reduction {
    /// True for an empty list of axes: each element stands alone, and is added to nothing, not even to
    /// a 0.
    pub fn reduces_nothing(&self) -> bool {
        self.axes.as_ref().is_some_and(|axes| axes.is_empty())
    }
}

impl Attributes for Reduction {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let shape = reduced(&inputs[0].shape, self.axes.as_deref(), self.keep_axes)?;
        let dtype = row.result_dtype(inputs, self.dtype)?;
        if matches!(
            row.kind,
            OpKind::Reduce(Reduce::ReduceMax | Reduce::ReduceMin)
        ) {
            row.check_dtype(dtype)?;
            check_choice(&inputs[0].shape, &shape)?;
        }
        Ok(vec![TensorType::new(dtype, shape)])
    }

    /// The result is small, the operand is not.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        row.price.cost_of_operands(inputs, results)
    }
}

/// Checks that there is an element to choose for each of the result's.
fn check_choice(input: &Shape, result: &Shape) -> Result<()> {
    if input.contains(&0) && result.size()? > 0 {
        return Err(Error::new(
            ErrorKind::Shape,
            format!("no element to choose among none: {input} is empty there"),
        ));
    }
    Ok(())
}

ops! {
    /// Whether elements are other than zero.
    pub enum Quantifier(Axes) {
        /// `u8` 1 where all elements over axes are other than zero, as NaN is; of none it is 1.
        All = Row { name: "all", price: Price::each(1), result: ResultDType::Predicate, ..REDUCE },
        /// `u8` 1 where some element over axes is other than zero, as NaN is; of none it is 0.
        Any = Row { name: "any", price: Price::each(1), result: ResultDType::Predicate, ..REDUCE },
    }
}

ops! {
    /// The attributes of reductions that say what holds.
    pub struct Axes {
        /// The axes to reduce; all when absent.
        axes: Option<List<usize>>,
        /// Keep reduced axes with size 1.
        #[serde(default)]
        keep_axes: bool,
    }
}

impl Attributes for Axes {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        row.check_dtype(inputs[0].dtype)?;
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
    /// `u8` 1 where all elements are as near as |left − right| ≤ `atol` + `rtol` · |right| has them.
    ///
    /// Infinities are near where they are equal. Integers are as far apart as the numbers they are, and
    /// the bound is what `f64` makes of it, operation by operation; others are compared at their merged
    /// dtype.
    pub struct AllClose = Row {
        name: "all_close",
        operands: &["left", "right"],
        arity: Arity::Exactly(2),
        result: ResultDType::Predicate,
        price: Price { temporaries: 20, complex: 16 },
        ..REDUCE
    }; {
        /// Whether NaN is near NaN.
        #[serde(default)]
        equal_nan: bool,
        /// What is allowed relative to the right operand, a real number; 1e-5 when absent.
        rtol: Option<Scalar>,
        /// What is allowed besides, a real number; 1e-8 when absent.
        atol: Option<Scalar>,
    }
}

impl AllClose {
    /// `rtol` and `atol`; none where one is complex.
    pub fn tolerances(&self) -> Option<[f64; 2]> {
        let real = |given: Option<Scalar>, default| given.map_or(Some(default), Scalar::real);
        Some([real(self.rtol, 1e-5)?, real(self.atol, 1e-8)?])
    }
}

impl Attributes for AllClose {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        if self.tolerances().is_none() {
            return Err(Error::new(
                ErrorKind::Argument,
                "a tolerance must be a real number",
            ));
        }
        inputs[0].dtype.merge(inputs[1].dtype)?;
        row.elementwise(inputs, None)?;
        let dtype = row.result_dtype(inputs, None)?;
        Ok(vec![TensorType::new(dtype, Shape::scalar())])
    }

    /// The result is small; the pairs are not, to which the operands are broadcast. They are compared in types of
    /// eight bytes.
    fn cost(&self, row: &Row, inputs: &[TensorType], _: &[TensorType]) -> Result<Cost> {
        let dtype = inputs[0].dtype.merge(inputs[1].dtype)?;
        let shape = inputs[0].shape.broadcast(&inputs[1].shape)?;
        let pairs = TensorType::new(dtype, shape);
        let buffers = match dtype.class() {
            // Both operands, their magnitudes, their distance and its bound are six; eleven masks are less than two.
            Class::Float => 8,
            Class::Complex => row.price.complex,
            Class::Unsigned | Class::Signed => row.price.temporaries,
        };
        Ok(Cost {
            temporaries: (pairs.shape.size()? as u64).saturating_mul(8 * buffers),
        })
    }
}

ops! {
    /// Where the element is that a reduction chooses.
    pub enum ArgReduce(ArgReduction) {
        /// Index of the largest element. NaN counts as the largest.
        Argmax = Row {
            name: "argmax",
            accepts: Dtypes::REAL,
            result: ResultDType::Index,
            ..REDUCE
        },
        /// Index of the smallest element. NaN counts as the smallest.
        Argmin = Row {
            name: "argmin",
            accepts: Dtypes::REAL,
            result: ResultDType::Index,
            ..REDUCE
        },
    }
}

ops! {
    /// The attributes of reductions to an index.
    pub struct ArgReduction {
        /// The axis to reduce; the flattened tensor when absent.
        axis: Option<usize>,
        /// Which of several equal elements wins.
        #[serde(default)]
        tie_break: TieBreak,
        /// Keep the reduced axis with size 1.
        #[serde(default)]
        keep_axis: bool,
        /// The result's integer dtype; `s32` when absent.
        dtype: Option<DType>,
    }
}

/// Which of several equal elements wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TieBreak {
    /// The lowest index.
    #[default]
    Low,
    /// The highest index.
    High,
}

impl Attributes for ArgReduction {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let input = &inputs[0];
        let axes: Vec<usize> = match self.axis {
            Some(axis) => vec![axis],
            None => (0..input.shape.rank()).collect(),
        };
        let shape = reduced(&input.shape, Some(&axes), self.keep_axis)?;
        check_choice(&input.shape, &shape)?;
        let dtype = row.result_dtype(inputs, self.dtype)?;
        Ok(vec![TensorType::new(dtype, shape)])
    }

    /// The result is small, the operand is not.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        row.price.cost_of_operands(inputs, results)
    }
}

pub(super) fn reduced(shape: &Shape, axes: Option<&[usize]>, keep: bool) -> Result<Shape> {
    match axes {
        Some(axes) => {
            shape.check_axes(axes)?;
            Ok(shape.reduce(axes, keep))
        }
        None => Ok(shape.reduce(&(0..shape.rank()).collect::<Vec<_>>(), keep)),
    }
}
