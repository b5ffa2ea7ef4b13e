//! Reading and writing parts of a tensor.

use super::{Attributes, ops};
use crate::row::{ROW, SMOOTH, check_integer, check_per_axis};
use crate::{
    Arity, Error, ErrorKind, List, Price, Result, ResultDType, Role, Row, Shape, TensorType,
};

const INDEX: Row = Row {
    family: "index",
    grad: Some(SMOOTH),
    price: Price {
        work: 2,
        temporaries: 2,
    },
    ..ROW
};

ops! {
    /// A window of `lengths`, every `strides`-th element of it, from starts clamped so that it fits.
    pub struct Slice = Row { name: "slice", ..INDEX }; {
        /// The first index per axis.
        starts: List<i64>,
        /// The window's size per axis, at least 1.
        lengths: List<usize>,
        /// The step per axis, at least 1.
        strides: List<usize>,
    }
}

impl Attributes for Slice {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        check_per_axis("starts", &self.starts, &inputs[0].shape)?;
        let dims = window(&inputs[0].shape, &self.lengths, &self.strides)?;
        Ok(vec![TensorType::new(row.result_dtype(inputs, None)?, dims)])
    }
}

ops! {
    /// As `slice`, with starts that are known when it runs: a 0-d integer per axis.
    pub struct DynamicSlice = Row {
        name: "dynamic_slice",
        operands: &["tensor", "starts"],
        roles: &[Role::Data, Role::Index],
        arity: Arity::AtLeast(1),
        ..INDEX
    }; {
        /// The window's size per axis, at least 1.
        lengths: List<usize>,
        /// The step per axis, at least 1.
        strides: List<usize>,
    }
}

impl Attributes for DynamicSlice {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let (tensor, starts) = (&inputs[0], &inputs[1..]);
        check_starts(starts, &tensor.shape)?;
        let dims = window(&tensor.shape, &self.lengths, &self.strides)?;
        let dtype = row.result_dtype(&inputs[..1], None)?;
        Ok(vec![TensorType::new(dtype, dims)])
    }
}

/// Checks that there is an integer scalar per axis.
fn check_starts(starts: &[TensorType], shape: &Shape) -> Result<()> {
    check_per_axis("starts", starts, shape)?;
    for start in starts {
        check_integer(start.dtype, "a start")?;
        if start.shape.rank() != 0 {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("a start must be a scalar, got {start}"),
            ));
        }
    }
    Ok(())
}

/// The dimensions of a strided window of a tensor.
fn window(shape: &Shape, lengths: &[usize], strides: &[usize]) -> Result<Vec<usize>> {
    check_per_axis("lengths", lengths, shape)?;
    check_per_axis("strides", strides, shape)?;
    let mut dims = Vec::with_capacity(shape.rank());
    for (axis, (&length, &stride)) in lengths.iter().zip(strides).enumerate() {
        if length == 0 || stride == 0 {
            return Err(Error::new(
                ErrorKind::Argument,
                format!("length and stride at axis {axis} must be at least 1"),
            ));
        }
        if length > shape[axis] {
            return Err(Error::new(
                ErrorKind::Argument,
                format!(
                    "length {length} at axis {axis} is over its size {}",
                    shape[axis]
                ),
            ));
        }
        dims.push(length.div_ceil(stride));
    }
    Ok(dims)
}

/// A tensor with something written into it; both are cast to their merged dtype.
const WRITE: Row = Row {
    result: ResultDType::Merged,
    ..INDEX
};

ops! {
    /// The tensor with the slice in place of a window of the slice's shape, from starts clamped so that
    /// it fits.
    pub struct PutSlice = Row {
        name: "put_slice",
        operands: &["tensor", "slice"],
        arity: Arity::Exactly(2),
        ..WRITE
    }; {
        /// The first index per axis.
        starts: List<i64>,
    }
}

impl Attributes for PutSlice {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        check_per_axis("starts", &self.starts, &inputs[0].shape)?;
        written(row, inputs)
    }
}

ops! {
    /// As `put_slice`, with starts that are known when it runs: a 0-d integer per axis.
    pub struct DynamicPutSlice = Row {
        name: "dynamic_put_slice",
        operands: &["tensor", "slice", "starts"],
        roles: &[Role::Data, Role::Data, Role::Index],
        arity: Arity::AtLeast(2),
        ..WRITE
    }; {
    }
}

impl Attributes for DynamicPutSlice {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        check_starts(&inputs[2..], &inputs[0].shape)?;
        written(row, &inputs[..2])
    }
}

/// The tensor's type once the slice is in it.
fn written(row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
    let (tensor, slice) = (&inputs[0].shape, &inputs[1].shape);
    let fits =
        slice.rank() == tensor.rank() && slice.iter().zip(tensor.iter()).all(|(a, b)| a <= b);
    if !fits {
        return Err(Error::new(
            ErrorKind::Shape,
            format!("a slice of {slice} does not fit into {tensor}"),
        ));
    }
    let dtype = row.result_dtype(inputs, None)?;
    Ok(vec![TensorType::new(dtype, tensor.clone())])
}

ops! {
    /// Picks slices by index: the last axis of the second operand holds one index per axis in
    /// `axes`. An index out of range is an index error.
    pub struct Gather = Row {
        name: "gather",
        operands: &["tensor", "indices"],
        roles: &[Role::Data, Role::Index],
        arity: Arity::Exactly(2),
        ..INDEX
    }; {
        /// The indexed axes of the first operand.
        axes: List<usize>,
    }
}

impl Attributes for Gather {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let (tensor, indices, axes) = (&inputs[0], &inputs[1], &self.axes[..]);
        check_integer(indices.dtype, "an index")?;
        tensor.shape.check_axes(axes)?;
        if axes.is_empty() || !axes.is_sorted() {
            return Err(Error::new(
                ErrorKind::Argument,
                format!("gather needs one or more ascending axes, got {axes:?}"),
            ));
        }
        let Some((&depth, batch)) = indices.shape.split_last() else {
            return Err(Error::new(
                ErrorKind::Shape,
                "indices need a last axis that holds one index per gathered axis, got a scalar",
            ));
        };
        if depth != axes.len() {
            return Err(Error::new(
                ErrorKind::Shape,
                format!(
                    "the last axis of indices {} must be {}, one per axis in {axes:?}",
                    indices.shape,
                    axes.len()
                ),
            ));
        }
        let rest = tensor.shape.reduce(axes, false);
        let dtype = row.result_dtype(&inputs[..1], None)?;
        Ok(vec![TensorType::new(dtype, [batch, rest.dims()].concat())])
    }
}
