//! Tensors as text, and checks of an op on them.

use emily_spec::{DType, ErrorKind, Op, Tensor, TensorType};

use crate::value::{self, Wide};
use crate::{Answer, run};

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

#[track_caller]
pub(crate) fn answers(op: &Op, inputs: &[&str]) -> Vec<Answer> {
    let inputs: Vec<_> = inputs.iter().map(|text| tensor(text)).collect();
    run(op, &inputs).unwrap()
}

/// The only answer's elements.
#[track_caller]
pub(crate) fn values(op: &Op, inputs: &[&str]) -> Vec<Wide> {
    let [answer] = answers(op, inputs).try_into().unwrap();
    value::decode(answer.tensor.dtype(), answer.tensor.bytes())
}

/// Checks the only answer: type and values, any NaN being NaN and the zeros different.
#[track_caller]
pub(crate) fn gives(op: &Op, inputs: &[&str], want: &str) {
    let [answer] = answers(op, inputs).try_into().unwrap();
    let want = tensor(want);
    assert_eq!(answer.tensor.ty(), want.ty());
    // Debug text tells the zeros apart, not the NaNs, and is exact.
    let text = |tensor: &Tensor| format!("{:?}", value::decode(tensor.dtype(), tensor.bytes()));
    assert_eq!(text(&answer.tensor), text(&want));
}

/// Checks the error's kind, and that it names the call and says `part`.
#[track_caller]
pub(crate) fn fails(op: &Op, inputs: &[&str], kind: ErrorKind, part: &str) {
    let inputs: Vec<_> = inputs.iter().map(|text| tensor(text)).collect();
    let err = run(op, &inputs).unwrap_err();
    assert_eq!(err.kind, kind, "{err}");
    assert_eq!(err.context.as_ref().map(|context| &context.op), Some(op));
    assert!(err.to_string().contains(part), "{err}");
}
