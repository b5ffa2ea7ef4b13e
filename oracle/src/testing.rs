//! Tensors as text.

use emily_spec::{DType, Tensor, TensorType};

use crate::value::{self, Wide};

/// A tensor written as `f32[2,2] 1 nan -0.0 inf`; complex elements as `1+2i`.
#[track_caller]
pub(crate) fn tensor(text: &str) -> Tensor {
    let (ty, elements) = text.split_once(']').unwrap();
    let (dtype, dims) = ty.split_once('[').unwrap();
    let dtype: DType = dtype.parse().unwrap();
    let dims: Vec<usize> = dims
        .split_terminator(',')
        .map(|dim| dim.parse().unwrap())
        .collect();
    let values: Vec<_> = elements
        .split_whitespace()
        .map(|element| number(dtype, element))
        .collect();
    Tensor::new(TensorType::new(dtype, dims), value::encode(dtype, &values)).unwrap()
}

#[track_caller]
fn number(dtype: DType, text: &str) -> Wide {
    if dtype.is_integer() {
        Wide::Int(text.parse().unwrap())
    } else if dtype.is_complex() {
        Wide::Complex(text.parse().unwrap())
    } else {
        Wide::Float(text.parse().unwrap())
    }
}
