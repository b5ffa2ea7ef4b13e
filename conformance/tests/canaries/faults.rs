//! The faults: each runs an op as the oracle does, but for one mistake.

use emily_conformance::number::{self, Format};
use emily_conformance::view::Input;
use emily_spec::{Arity, DType, Error, ErrorKind, Op, ROWS, Result, Row, Tensor, TensorType};

mod contract;
mod elements;
mod ops;

/// A mistake and the ops that it can befall.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) befalls: Befalls,
    pub(crate) run: fn(&Op, &[Input]) -> Result<Vec<Tensor>>,
}

/// The ops that a mistake can befall.
pub(crate) enum Befalls {
    All,
    WithOperands,
    Only(&'static [&'static str]),
}

impl Befalls {
    /// The ops' names.
    pub(crate) fn ops(&self) -> Vec<&'static str> {
        let named = |takes: fn(&Row) -> bool| {
            let rows = ROWS.iter().filter(|row| takes(row));
            rows.map(|row| row.name).collect()
        };
        match self {
            Befalls::All => named(|_| true),
            Befalls::WithOperands => named(|row| row.arity != Arity::Exactly(0)),
            Befalls::Only(ops) => ops.to_vec(),
        }
    }
}

/// Every fault.
pub(crate) fn faults() -> impl Iterator<Item = &'static Fault> {
    [elements::FAULTS, contract::FAULTS, ops::FAULTS]
        .into_iter()
        .flatten()
}

/// The oracle's answer, values only.
fn run(op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
    let tensors: Vec<Tensor> = inputs.iter().map(|input| input.tensor.clone()).collect();
    Ok(emily_oracle::run(op, &tensors)?
        .into_iter()
        .map(|answer| answer.tensor)
        .collect())
}

fn rebuild(ty: &TensorType, elements: Vec<u64>) -> Result<Tensor> {
    number::tensor(ty.clone(), elements)
        .ok_or_else(|| Error::new(ErrorKind::Internal, "a canary lost elements"))
}

fn relabel(tensor: &Tensor, dtype: DType) -> Result<Tensor> {
    let ty = TensorType::new(dtype, tensor.shape().clone());
    Tensor::new(ty, tensor.bytes().to_vec())
}

/// The op with its given attributes changed, each by its name and value as JSON.
fn with_attributes(op: &Op, change: impl Fn(&str, &mut serde_json::Value)) -> Op {
    let mut call = serde_json::to_value(op).expect("an op has a text form");
    if let Some(attrs) = call
        .get_mut("attrs")
        .and_then(|attrs| attrs.as_object_mut())
    {
        attrs
            .iter_mut()
            .for_each(|(name, value)| change(name, value));
    }
    let attrs = call
        .get_mut("attrs")
        .map_or_else(|| serde_json::json!({}), |attrs| attrs.take());
    Op::read(op.name(), attrs).expect("a value of the same type")
}

/// Every float, and every part of a complex number, through `change`.
fn floats(tensor: &Tensor, change: impl Fn(Format, u64) -> u64) -> Result<Tensor> {
    let Some(format) = Format::of(tensor.dtype()) else {
        return Ok(tensor.clone());
    };
    let all = number::elements(tensor).map(|element| {
        if tensor.dtype().is_complex() {
            let [re, im] = number::parts(element);
            return number::complex(change(format, re), change(format, im));
        }
        change(format, element)
    });
    rebuild(tensor.ty(), all.collect())
}

fn each_float(tensors: Vec<Tensor>, change: impl Fn(Format, u64) -> u64) -> Result<Vec<Tensor>> {
    tensors
        .iter()
        .map(|tensor| floats(tensor, &change))
        .collect()
}

/// Every integer through `change`, wrapped.
fn integers(tensor: &Tensor, change: impl Fn(i128) -> i128) -> Result<Tensor> {
    let dtype = tensor.dtype();
    let all = number::elements(tensor).map(|element| match number::integer(dtype, element) {
        Some(value) => number::wrapped(dtype, change(value)),
        None => element,
    });
    rebuild(tensor.ty(), all.collect())
}

fn changed(inputs: &[Input], change: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Vec<Input>> {
    inputs
        .iter()
        .map(|input| Ok(Input::plain(change(&input.tensor)?)))
        .collect()
}

fn types(inputs: &[Input]) -> Vec<TensorType> {
    inputs
        .iter()
        .map(|input| input.tensor.ty().clone())
        .collect()
}
