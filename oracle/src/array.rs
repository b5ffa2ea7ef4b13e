//! Arrays of wide values, from and to tensors.

use emily_spec::{DType, Error, ErrorKind, Result, Shape, Tensor, TensorType};
use ndarray::{Array2, ArrayD, Axis, IxDyn};

use crate::value::{self, Wide};

/// A tensor's elements without its dtype.
pub(crate) type WideArray = ArrayD<Wide>;

pub(crate) fn decode(tensor: &Tensor) -> Result<WideArray> {
    from_vec(
        tensor.shape(),
        value::decode(tensor.dtype(), tensor.bytes()),
    )
}

pub(crate) fn encode(array: &WideArray, dtype: DType) -> Result<Tensor> {
    let ty = TensorType::new(dtype, array.shape().to_vec());
    Tensor::new(ty, value::encode(dtype, array))
}

/// An array of these elements, row-major.
pub(crate) fn from_vec<T>(shape: &Shape, values: Vec<T>) -> Result<ArrayD<T>> {
    ArrayD::from_shape_vec(shape.dims(), values).map_err(|err| misfit(shape, err))
}

/// The array stretched to the shape, trailing axes aligned.
pub(crate) fn broadcast<'a>(
    array: &'a WideArray,
    shape: &Shape,
) -> Result<ndarray::ArrayViewD<'a, Wide>> {
    array
        .broadcast(IxDyn(shape))
        .ok_or_else(|| misfit(shape, format!("{:?} does not broadcast", array.shape())))
}

/// One row for each index of the other axes, in row-major order, with these axes' elements in the
/// order the axes are given.
pub(crate) fn rows(array: &WideArray, axes: &[usize]) -> Result<Array2<Wide>> {
    let others: Vec<_> = (0..array.ndim()).filter(|i| !axes.contains(i)).collect();
    let size = |axes: &[usize]| axes.iter().map(|&i| array.len_of(Axis(i))).product();
    let dims: [usize; 2] = [size(&others), size(axes)];
    let order = [others.as_slice(), axes].concat();
    let values = array.view().permuted_axes(order);
    Array2::from_shape_vec(dims, values.iter().copied().collect())
        .map_err(|err| misfit(&Shape::from(dims), err))
}

/// A shape that inference let through and the array does not have.
fn misfit(shape: &Shape, err: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!("no array of shape {shape}: {err}"),
    )
}
