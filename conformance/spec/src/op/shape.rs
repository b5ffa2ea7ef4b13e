//! Moving elements without computing on them.

use super::{Attributes, ops};
use crate::row::{ROW, SMOOTH, check_per_axis};
use crate::{
    Arity, DType, Error, ErrorKind, List, Price, Result, ResultDType, Row, Shape, TensorType,
};

const SHAPE: Row = Row {
    family: "shape",
    grad: Some(SMOOTH),
    price: Price::MOVE,
    ..ROW
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
    /// Takes from the second operand where the first is not zero, else from the third.
    pub struct Select = Row {
        name: "select",
        operands: &["pred", "on_true", "on_false"],
        arity: Arity::Exactly(3),
        result: ResultDType::Merged,
        price: Price { work: 2, temporaries: 4 },
        ..SHAPE
    }; {
        /// The result's dtype; the branches' merged dtype when absent.
        dtype: Option<DType>,
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
