//! The faults: each runs an op as the oracle does, but for one mistake.

use emily_conformance::number::{self, Format};
use emily_conformance::view::Input;
use emily_spec::{
    Arity, AsType, DType, Error, ErrorKind, Judged, Op, OpKind, ROWS, Result, ResultDType, Row,
    Tensor, TensorType, Tolerance,
};

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
    /// Those whose row says so.
    Where(fn(&Row) -> bool),
    /// Those whose row says so; of the functions of one element, those that have such a result.
    Results(fn(&Row) -> bool),
    Only(&'static [&'static str]),
}

impl Fault {
    /// The names of the ops that it can befall.
    pub(crate) fn ops(&self) -> Vec<&'static str> {
        let named = |takes: &dyn Fn(&Row) -> bool| {
            let rows = ROWS.iter().filter(|row| takes(row));
            rows.map(|row| row.name).collect()
        };
        match self.befalls {
            Befalls::All => named(&|_| true),
            Befalls::Where(takes) => named(&takes),
            Befalls::Results(takes) => named(&|row| takes(row) && self.shows(row)),
            Befalls::Only(ops) => ops.to_vec(),
        }
    }

    /// Whether a function of one element gives another answer for some number that `f16` has; true of
    /// every other op.
    fn shows(&self, row: &Row) -> bool {
        let OpKind::Unary(op) = row.kind else {
            return true;
        };
        let op = Op::Unary(op);
        let operand = [Input::plain(every_half().expect("they are f32s"))];
        (self.run)(&op, &operand) != run(&op, &operand)
    }
}

/// Every number that `f16` has, in `f32`.
fn every_half() -> Result<Tensor> {
    let halves = TensorType::new(DType::F16, [1 << 16]);
    let halves = Input::plain(rebuild(&halves, (0..1 << 16).collect())?);
    let wider = Op::AsType(AsType { dtype: DType::F32 });
    run(&wider, &[halves]).map(|mut all| all.remove(0))
}

fn has_operands(row: &Row) -> bool {
    row.arity != Arity::Exactly(0)
}

/// Whether results are numbers like the operands, or made of them.
fn computes(row: &Row) -> bool {
    let answers = matches!(row.result, ResultDType::Predicate | ResultDType::Index);
    !answers && tolerance(row).is_some()
}

/// Whether float results are the right ones, to the last bit.
fn is_exact(row: &Row) -> bool {
    computes(row) && matches!(tolerance(row), Some(Tolerance::Bits | Tolerance::Exact))
}

/// Whether float results are a library's, some places off.
fn is_library(row: &Row) -> bool {
    matches!(tolerance(row), Some(Tolerance::Ulp(_)))
}

fn tolerance(row: &Row) -> Option<Tolerance> {
    match row.judged {
        Judged::Values(tolerance) => Some(tolerance(DType::F32)),
        Judged::Promise { .. } => None,
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
