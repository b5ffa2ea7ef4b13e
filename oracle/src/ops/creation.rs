//! Tensors from nothing.

use emily_spec::{Constant, Iota, Result, Scalar, row_major_strides};
use ndarray::{ArrayD, Dimension, IxDyn};
use num_complex::Complex;

use crate::array::{self, WideArray};
use crate::eval::Target;
use crate::value::Wide;

/// Indices count as integers and are cast, so that a float beyond its digits is the rounded index.
pub(crate) fn iota(op: &Iota, target: Target) -> Result<WideArray> {
    let shape = &target.ty.shape;
    let strides = row_major_strides(shape);
    let values = (0..shape.size()?)
        .map(|position| match op.axis {
            Some(axis) => position / strides[axis] % shape[axis],
            None => position,
        })
        .map(|index| target.cast(Wide::Int(index as i128)))
        .collect();
    array::from_vec(shape, values)
}

/// One where the indices along the last two axes are equal.
pub(crate) fn eye(target: Target) -> WideArray {
    ArrayD::from_shape_fn(IxDyn(target.ty.shape.dims()), |index| {
        let rank = index.ndim();
        let one = index[rank - 2] == index[rank - 1];
        target.cast(Wide::Int(one.into()))
    })
}

/// The number everywhere.
pub(crate) fn constant(op: &Constant, target: Target) -> WideArray {
    let value = match op.value {
        Scalar::Int(value) => Wide::Int(value),
        Scalar::Float(value) => Wide::Float(value),
        Scalar::Complex(re, im) => Wide::Complex(Complex::new(re, im)),
    };
    ArrayD::from_elem(IxDyn(target.ty.shape.dims()), target.cast(value))
}
