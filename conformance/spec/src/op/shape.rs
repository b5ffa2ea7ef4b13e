//! Moving elements without computing on them.

use super::{Attributes, ops};
use crate::grad::SMOOTH;
use crate::row::{check_per_axis, row};
use crate::{
    Arity, DType, Domain, Dtypes, Error, ErrorKind, Family, Grad, List, Price, Result, ResultDType,
    Role, Row, Shape, TensorType,
};

const SHAPE: Row = Row {
    grad: Some(SMOOTH),
    price: Price::MOVE,
    ..row(Family::Shape)
};

ops! {
    /// Permutes axes: result axis `i` is operand axis `axes[i]`.
    pub struct Transpose = Row { name: "transpose", ..SHAPE }; {
        /// A permutation of the operand's axes.
        axes: List<usize>,
    }
}

impl Attributes for Transpose {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let shape = &inputs[0].shape;
        check_per_axis("axes", &self.axes, shape)?;
        shape.check_axes(&self.axes)?;
        let dims: Vec<_> = self.axes.iter().map(|&axis| shape[axis]).collect();
        Ok(vec![TensorType::new(row.result_dtype(inputs, None)?, dims)])
    }
}

ops! {
    /// The same elements, row-major, in another shape.
    pub struct Reshape = Row { name: "reshape", ..SHAPE }; {
        /// The result's shape, of as many elements.
        shape: Shape,
    }
}

impl Attributes for Reshape {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let (from, to) = (&inputs[0].shape, &self.shape);
        if from.size()? != to.size()? {
            return Err(Error::new(
                ErrorKind::Shape,
                format!(
                    "{from} has {} elements and {to} has {}",
                    from.size()?,
                    to.size()?
                ),
            ));
        }
        let dtype = row.result_dtype(inputs, None)?;
        Ok(vec![TensorType::new(dtype, to.clone())])
    }
}

ops! {
    /// Leaves out axes of size 1.
    pub struct Squeeze = Row { name: "squeeze", ..SHAPE }; {
        /// The axes to leave out.
        axes: List<usize>,
    }
}

impl Attributes for Squeeze {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let shape = &inputs[0].shape;
        shape.check_axes(&self.axes)?;
        if let Some(&axis) = self.axes.iter().find(|&&axis| shape[axis] != 1) {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("axis {axis} of {shape} has size {}, not 1", shape[axis]),
            ));
        }
        let dtype = row.result_dtype(inputs, None)?;
        Ok(vec![TensorType::new(
            dtype,
            shape.reduce(&self.axes, false),
        )])
    }
}

ops! {
    /// The other way round along axes.
    pub struct Reverse = Row { name: "reverse", ..SHAPE }; {
        /// The axes to turn round.
        axes: List<usize>,
    }
}

impl Attributes for Reverse {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        inputs[0].shape.check_axes(&self.axes)?;
        let dtype = row.result_dtype(inputs, None)?;
        Ok(vec![TensorType::new(dtype, inputs[0].shape.clone())])
    }
}

ops! {
    /// Puts elements between, before and after those of the first operand: all equal to the second.
    /// Fewer than none before or after take elements away, those put between them too.
    pub struct Pad = Row {
        name: "pad",
        operands: &["tensor", "value"],
        arity: Arity::Exactly(2),
        result: ResultDType::Merged,
        ..SHAPE
    }; {
        /// How many before the first element of each axis, less than 0 to take away.
        low: List<i64>,
        /// How many after the last element of each axis, less than 0 to take away.
        high: List<i64>,
        /// How many between two neighbours of each axis.
        interior: List<usize>,
        /// The result's dtype; the operands' merged dtype when absent.
        dtype: Option<DType>,
    }
}

impl Attributes for Pad {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let (shape, value) = (&inputs[0].shape, &inputs[1].shape);
        if value.rank() != 0 {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("the value must be a scalar, got {value}"),
            ));
        }
        check_per_axis("low", &self.low, shape)?;
        check_per_axis("high", &self.high, shape)?;
        check_per_axis("interior", &self.interior, shape)?;
        let dim = |axis: usize| {
            let dim = self.padded(shape, axis);
            // Beyond what a dimension may be it is refused as too large, not as wrong.
            usize::try_from(dim.min(Shape::MAX_DIM as i128 + 1)).map_err(|_| {
                Error::new(
                    ErrorKind::Shape,
                    format!("the padding leaves {dim} elements of axis {axis} of {shape}"),
                )
            })
        };
        let dims: Vec<usize> = (0..shape.rank()).map(dim).collect::<Result<_>>()?;
        let dtype = row.result_dtype(inputs, self.dtype)?;
        Ok(vec![TensorType::new(dtype, dims)])
    }
}

impl Pad {
    /// The size of an axis with what is put in and taken away.
    fn padded(&self, shape: &Shape, axis: usize) -> i128 {
        let gaps = shape[axis].saturating_sub(1) as i128;
        let between = gaps.saturating_mul(self.interior[axis] as i128);
        (shape[axis] as i128)
            .saturating_add(between)
            .saturating_add(self.low[axis].into())
            .saturating_add(self.high[axis].into())
    }

    /// Where the element at `index` of an axis is in the result; outside it, where it was taken away.
    pub fn place(&self, axis: usize, index: usize) -> i128 {
        let step = self.interior[axis] as i128 + 1;
        i128::from(self.low[axis]).saturating_add((index as i128).saturating_mul(step))
    }
}

ops! {
    /// Repeats along new axes and along axes of size 1.
    pub struct Broadcast = Row { name: "broadcast", ..SHAPE }; {
        /// The result's shape.
        shape: Shape,
        /// Where each operand axis goes; trailing alignment when absent.
        axes: Option<List<usize>>,
    }
}

impl Attributes for Broadcast {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let (from, to) = (&inputs[0].shape, &self.shape);
        match &self.axes {
            None => from.check_broadcasts_to(to)?,
            Some(axes) => check_axes_broadcast(from, to, axes)?,
        }
        let dtype = row.result_dtype(inputs, None)?;
        Ok(vec![TensorType::new(dtype, to.clone())])
    }
}

fn check_axes_broadcast(from: &Shape, to: &Shape, axes: &[usize]) -> Result<()> {
    check_per_axis("axes", axes, from)?;
    to.check_axes(axes)?;
    if !axes.is_sorted() {
        return Err(Error::new(
            ErrorKind::Argument,
            format!("broadcast axes {axes:?} must ascend; transpose first"),
        ));
    }
    for (&dim, &axis) in from.iter().zip(axes) {
        if dim != 1 && dim != to[axis] {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("axis of size {dim} does not broadcast to axis {axis} of {to}"),
            ));
        }
    }
    Ok(())
}

ops! {
    /// Joins tensors along an axis.
    pub struct Concatenate = Row {
        name: "concatenate",
        operands: &["tensors"],
        arity: Arity::AtLeast(1),
        result: ResultDType::Merged,
        ..SHAPE
    }; {
        /// The axis to join along.
        axis: usize,
        /// The result's dtype; the operands' merged dtype when absent.
        dtype: Option<DType>,
    }
}

impl Attributes for Concatenate {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let (first, axis) = (&inputs[0].shape, self.axis);
        first.check_axis(axis)?;
        let mut dims = first.to_vec();
        for input in &inputs[1..] {
            let fits = input.shape.rank() == first.rank()
                && (0..first.rank()).all(|i| i == axis || input.shape[i] == first[i]);
            if !fits {
                return Err(Error::new(
                    ErrorKind::Shape,
                    format!(
                        "{} does not join {first} along axis {axis}: the other axes must be equal",
                        input.shape
                    ),
                ));
            }
            dims[axis] = dims[axis].saturating_add(input.shape[axis]);
        }
        let dtype = row.result_dtype(inputs, self.dtype)?;
        Ok(vec![TensorType::new(dtype, dims)])
    }
}

ops! {
    /// Joins tensors of one shape along a new axis.
    pub struct Stack = Row {
        name: "stack",
        operands: &["tensors"],
        arity: Arity::AtLeast(1),
        result: ResultDType::Merged,
        ..SHAPE
    }; {
        /// The new axis of the result.
        axis: usize,
        /// The result's dtype; the operands' merged dtype when absent.
        dtype: Option<DType>,
    }
}

impl Attributes for Stack {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let first = &inputs[0].shape;
        if let Some(other) = inputs.iter().find(|input| input.shape != *first) {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("{} does not stack on {first}", other.shape),
            ));
        }
        let mut dims = first.to_vec();
        if self.axis > dims.len() || dims.len() == Shape::MAX_RANK {
            return Err(Error::new(
                ErrorKind::Argument,
                format!("axis {} is no new axis of {first}", self.axis),
            ));
        }
        dims.insert(self.axis, inputs.len());
        let dtype = row.result_dtype(inputs, self.dtype)?;
        Ok(vec![TensorType::new(dtype, dims)])
    }
}

ops! {
    /// Takes from the second operand where the first is not zero, else from the third.
    pub struct Select = Row {
        name: "select",
        operands: &["pred", "on_true", "on_false"],
        roles: &[Role::Predicate, Role::Data],
        arity: Arity::Exactly(3),
        result: ResultDType::Merged,
        price: Price::each(4),
        ..SHAPE
    }; {
        /// The result's dtype; the branches' merged dtype when absent.
        dtype: Option<DType>,
    }
}

ops! {
    /// Each element, but `min` where it is not greater than that, and `max` where it is not less than
    /// that; NaN stays.
    pub struct Clip = Row {
        name: "clip",
        operands: &["tensor", "min", "max"],
        arity: Arity::Exactly(3),
        accepts: Dtypes::REAL,
        result: ResultDType::Merged,
        grad: Some(Grad {
            domain: &[
                Domain::Range(-2.0, 2.0),
                Domain::Range(-1.0, -0.5),
                Domain::Range(0.5, 1.0),
            ],
            ..SMOOTH
        }),
        price: Price::each(2),
        ..SHAPE
    }; {
        /// The result's dtype; the operands' merged dtype when absent.
        dtype: Option<DType>,
    }
}

impl Attributes for Clip {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        for (name, ty) in row.operands.iter().zip(inputs).skip(1) {
            if ty.shape.rank() > 0 {
                return Err(Error::new(
                    ErrorKind::Shape,
                    format!("{name} value must be a scalar, got shape {}", ty.shape),
                ));
            }
        }
        let results = row.elementwise(inputs, self.dtype)?;
        row.check_dtype(results[0].dtype)?;
        Ok(results)
    }
}

impl Attributes for Select {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let [pred, on_true, on_false] = [&inputs[0].shape, &inputs[1].shape, &inputs[2].shape];
        let shape = if pred.rank() == 0 {
            on_true.broadcast(on_false)?
        } else {
            on_true.check_broadcasts_to(pred)?;
            on_false.check_broadcasts_to(pred)?;
            pred.clone()
        };
        let dtype = row.result_dtype(&inputs[1..], self.dtype)?;
        Ok(vec![TensorType::new(dtype, shape)])
    }
}
