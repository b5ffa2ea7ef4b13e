//! Reading and writing parts of a tensor.

use super::{Attributes, ops};
use crate::cost::buffers;
use crate::grad::SMOOTH;
use crate::row::{check_integer, check_per_axis, row};
use crate::tolerance::sum_tolerance;
use crate::{
    Arity, Cost, Error, ErrorKind, Family, Judged, List, Price, Result, ResultDType, Role, Row,
    Shape, TensorType,
};

const INDEX: Row = Row {
    grad: Some(SMOOTH),
    price: Price::each(2),
    ..row(Family::Index)
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

ops! {
    /// Takes what is at each index along an axis, for which the indices' axes stand in the result. An
    /// index out of range is an index error.
    pub struct Take = Row {
        name: "take",
        operands: &["tensor", "indices"],
        roles: &[Role::Data, Role::Index],
        arity: Arity::Exactly(2),
        ..INDEX
    }; {
        /// The indexed axis of the tensor.
        axis: usize,
    }
}

impl Attributes for Take {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let (tensor, indices) = (&inputs[0].shape, &inputs[1]);
        check_integer(indices.dtype, "an index")?;
        tensor.check_axis(self.axis)?;
        let (before, after) = (&tensor[..self.axis], &tensor[self.axis + 1..]);
        let dtype = row.result_dtype(&inputs[..1], None)?;
        let dims = [before, indices.shape.dims(), after].concat();
        Ok(vec![TensorType::new(dtype, dims)])
    }

    /// Beside the elements, what becomes of each index.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let cost = row.price.cost_of(inputs, results)?;
        Ok(Cost {
            temporaries: cost.temporaries.saturating_add(buffers(&inputs[1], 8)?),
        })
    }
}

ops! {
    /// Takes the element at each index along an axis, in the index's own place along the others. An
    /// index out of range is an index error.
    pub struct TakeAlongAxis = Row {
        name: "take_along_axis",
        operands: &["tensor", "indices"],
        roles: &[Role::Data, Role::Index],
        arity: Arity::Exactly(2),
        ..INDEX
    }; {
        /// The indexed axis, the only one of which tensor and indices may differ in size.
        axis: usize,
    }
}

impl Attributes for TakeAlongAxis {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let (tensor, indices) = (&inputs[0].shape, &inputs[1]);
        check_integer(indices.dtype, "an index")?;
        tensor.check_axis(self.axis)?;
        let others = |shape: &Shape| shape.reduce(&[self.axis], false);
        if indices.shape.rank() != tensor.rank() || others(&indices.shape) != others(tensor) {
            return Err(Error::new(
                ErrorKind::Shape,
                format!(
                    "indices {} differ from {tensor} beside axis {}",
                    indices.shape, self.axis
                ),
            ));
        }
        let dtype = row.result_dtype(&inputs[..1], None)?;
        Ok(vec![TensorType::new(dtype, indices.shape.clone())])
    }

    /// Beside the elements, what becomes of each index.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let cost = row.price.cost_of(inputs, results)?;
        Ok(Cost {
            temporaries: cost.temporaries.saturating_add(buffers(&inputs[1], 8)?),
        })
    }
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

/// Checks the axes that indices count along.
fn check_indexed(row: &Row, axes: &[usize], tensor: &Shape) -> Result<()> {
    tensor.check_axes(axes)?;
    if axes.is_empty() || !axes.is_sorted() {
        return Err(Error::new(
            ErrorKind::Argument,
            format!(
                "{} needs one or more ascending axes, got {axes:?}",
                row.name
            ),
        ));
    }
    Ok(())
}

/// Checks that an index is there for each axis.
fn check_depth(depth: usize, axes: &[usize], indices: &Shape) -> Result<()> {
    if depth == axes.len() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Shape,
        format!(
            "the last axis of indices {indices} must be {}, one per axis in {axes:?}",
            axes.len()
        ),
    ))
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
        check_indexed(row, axes, &tensor.shape)?;
        let Some((&depth, batch)) = indices.shape.split_last() else {
            return Err(Error::new(
                ErrorKind::Shape,
                "indices need a last axis that holds one index per gathered axis, got a scalar",
            ));
        };
        check_depth(depth, axes, &indices.shape)?;
        let rest = tensor.shape.reduce(axes, false);
        let dtype = row.result_dtype(&inputs[..1], None)?;
        Ok(vec![TensorType::new(dtype, [batch, rest.dims()].concat())])
    }

    /// Beside the elements, what becomes of each index.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let cost = row.price.cost_of(inputs, results)?;
        Ok(Cost {
            temporaries: cost.temporaries.saturating_add(buffers(&inputs[1], 8)?),
        })
    }
}

/// A tensor written to at indices.
const INDEXED: Row = Row {
    operands: &["tensor", "indices", "updates"],
    roles: &[Role::Data, Role::Index, Role::Data],
    arity: Arity::Exactly(3),
    ..WRITE
};

ops! {
    /// Ops that write each update at the index in its row of `indices`, which holds one per axis in
    /// `axes`. Along the other axes an update begins at 0, and may be shorter than the tensor. An index
    /// out of range is an index error.
    pub enum Indexed(IndexedAxes) {
        /// Adds each update to the tensor at its index: where indices repeat, all of them, one after
        /// another, so that the error grows with their number, which a sum's does not.
        IndexedAdd = Row {
            name: "indexed_add",
            judged: Judged::Values(sum_tolerance),
            ..INDEXED
        },
        /// Puts each update into the tensor at its index: where indices repeat, the last one stays.
        IndexedPut = Row { name: "indexed_put", ..INDEXED },
    }
}

ops! {
    /// Attributes of [`Indexed`] ops.
    pub struct IndexedAxes {
        /// The indexed axes of the tensor, ascending.
        axes: List<usize>,
    }
}

impl Attributes for IndexedAxes {
    fn infer(&self, row: &Row, inputs: &[TensorType]) -> Result<Vec<TensorType>> {
        let [tensor, indices, updates] = [&inputs[0], &inputs[1], &inputs[2]];
        check_integer(indices.dtype, "an index")?;
        check_indexed(row, &self.axes, &tensor.shape)?;
        let &[count, depth] = indices.shape.dims() else {
            return Err(Error::new(
                ErrorKind::Shape,
                format!("indices must have two axes, got {}", indices.shape),
            ));
        };
        check_depth(depth, &self.axes, &indices.shape)?;
        let room = [&[count], tensor.shape.reduce(&self.axes, false).dims()].concat();
        let mut axes = updates.shape.iter().zip(&room);
        let fits = updates.shape.rank() == room.len()
            && updates.shape[0] == count
            && axes.all(|(length, room)| length <= room);
        if !fits {
            return Err(Error::new(
                ErrorKind::Shape,
                format!(
                    "updates {} do not fit: {count} indices leave room for {}",
                    updates.shape,
                    Shape::new(room)
                ),
            ));
        }
        let dtype = row.result_dtype(&[tensor.clone(), updates.clone()], None)?;
        Ok(vec![TensorType::new(dtype, tensor.shape.clone())])
    }

    /// Beside the elements, what becomes of each index.
    fn cost(&self, row: &Row, inputs: &[TensorType], results: &[TensorType]) -> Result<Cost> {
        let cost = row.price.cost_of(inputs, results)?;
        Ok(Cost {
            temporaries: (cost.temporaries)
                .saturating_add(buffers(&inputs[1], 8)?)
                .saturating_add(buffers(&inputs[2], 1)?),
        })
    }
}
