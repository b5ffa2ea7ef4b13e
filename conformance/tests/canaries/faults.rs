//! The faults: each runs an op as the oracle does, but for one mistake.

use emily_conformance::exam::{BELOW_NX, EVERYWHERE, Questions};
use emily_conformance::layer::{Layer as _, Oracle};
use emily_conformance::mutants::{Group, floats, rebuild, speaks_of_operands};
use emily_conformance::number::{self, Format};
use emily_conformance::plan::domain;
use emily_conformance::values::specials;
use emily_conformance::view::Input;
use emily_spec::{
    Arity, AsType, DType, Judged, Op, OpKind, Range, Result, Row, Shape, Tensor, TensorType,
    Tolerance,
};

mod contract;
mod decompositions;
mod elements;
mod index;
mod ops;

use contract::{Reach, reach};

/// A mistake, and where it shows.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) befalls: Befalls,
    /// The layers that would notice.
    pub(crate) layers: &'static [&'static str],
    /// Ops that it befalls by their rows, but that it changes nothing of, and why.
    pub(crate) except: &'static [(OpKind, &'static str)],
    pub(crate) run: fn(&Op, &[Input]) -> Result<Vec<Tensor>>,
}

/// The calls that a mistake can befall, by what the op's row says.
pub(crate) enum Befalls {
    /// Those of a group of dtypes.
    Calls(fn(&Row, Group) -> bool),
    /// Those that the op refuses.
    Refusals,
}

/// The layers that are held to another one's bits.
const TO_THE_BIT: &[&str] = &["nif", "compiler"];

/// What most faults have.
const FAULT: Fault = Fault {
    name: "",
    what: "",
    befalls: Befalls::Calls(|_, _| true),
    layers: EVERYWHERE,
    except: &[],
    run,
};

impl Fault {
    /// False where it gives the oracle's answer on every pair of special values: of ops that work
    /// element by element, whose answers depend on nothing else. True of all other ops.
    pub(crate) fn shows(&self, row: &'static Row, asked: Questions) -> bool {
        let (Some(op), Questions::Of(group)) = (elementwise(row), asked) else {
            return true;
        };
        // Any NaN is any other.
        let quiet = |results: Vec<Tensor>| {
            each_float(results, |f, x| if f.is_nan(x) { f.nan() } else { x })
        };
        let differs = |inputs: &Vec<Input>| {
            (self.run)(&op, inputs).and_then(quiet) != run(&op, inputs).and_then(quiet)
        };
        samples(row, &op, group).iter().any(differs)
    }
}

/// The op, where its elements are functions of an element of each operand.
fn elementwise(row: &Row) -> Option<Op> {
    let elementwise = matches!(reach(row.kind), Reach::Place | Reach::Pair);
    let op = || Op::read(row.name, serde_json::json!({})).expect("it needs no attributes");
    elementwise.then(op)
}

/// The special values of every dtype that makes a call of the group, and their pairs; of one operand
/// every value that `f16` has, too. With `u64`, two dtypes meet.
fn samples(row: &Row, op: &Op, group: Group) -> Vec<Vec<Input>> {
    let accepted = |dtype: &DType| row.accepts.contains(*dtype);
    let dtypes = || DType::ALL.into_iter().filter(accepted);
    let unary = row.arity == Arity::Exactly(1);
    let signatures: Vec<Vec<DType>> = match unary {
        true => dtypes().map(|d| vec![d]).collect(),
        false => dtypes()
            .flat_map(|d| [[d, d], [DType::U64, d], [d, DType::U64]])
            .map(Vec::from)
            .collect(),
    };
    let mut samples = Vec::new();
    for signature in signatures {
        let scalars: Vec<_> = signature
            .iter()
            .map(|&dtype| TensorType::new(dtype, Shape::default()))
            .collect();
        if Group::of_call(op, &scalars) != Some(group) {
            continue;
        }
        let operands = signature.iter().enumerate();
        let packs: Vec<Vec<u64>> = operands
            .map(|(i, &dtype)| specials(dtype, domain(row, i)))
            .collect();
        let total: usize = packs.iter().map(Vec::len).product();
        let mut weight = 1;
        let mut inputs = Vec::new();
        for (&dtype, pack) in signature.iter().zip(&packs) {
            let all = (0..total).map(|i| pack[i / weight % pack.len()]).collect();
            weight *= pack.len();
            inputs.push(plain(dtype, all));
        }
        samples.push(inputs);
        if unary && Format::of(signature[0]).is_some() {
            let halves = plain(DType::F16, (0..1 << 16).collect());
            let cast = Op::AsType(AsType {
                dtype: signature[0],
            });
            let cast = run(&cast, &[halves]).expect("floats are cast to floats");
            samples.push(cast.into_iter().map(Input::plain).collect());
        }
    }
    samples
}

fn plain(dtype: DType, elements: Vec<u64>) -> Input {
    let ty = TensorType::new(dtype, [elements.len()]);
    Input::plain(rebuild(&ty, elements).expect("as many as there are"))
}

/// Every fault.
pub(crate) fn faults() -> impl Iterator<Item = &'static Fault> {
    [
        elements::FAULTS,
        contract::FAULTS,
        index::FAULTS,
        ops::FAULTS,
        decompositions::FAULTS,
    ]
    .into_iter()
    .flatten()
}

fn has_operands(row: &Row) -> bool {
    row.arity != Arity::Exactly(0)
}

/// True when results are floats of any size.
fn has_floats(row: &Row, group: Group) -> bool {
    let finite = matches!(row.range, Range::Counts | Range::Finite);
    group != Group::Integers && !speaks_of_operands(row) && !finite
}

/// What the row allows a float of the group; nothing of an op that is judged by what it promises.
fn tolerance(row: &Row, group: Group) -> Option<Tolerance> {
    let dtype = match group {
        Group::Integers => DType::S32,
        Group::Floats => DType::F32,
        Group::SmallFloats => DType::F16,
        Group::Complex => DType::C64,
    };
    match row.judged {
        Judged::Values(of) => Some(of(dtype)),
        Judged::Promise { .. } => None,
    }
}

/// True when no result comes of rounding, or only of the last one.
fn is_near(row: &Row, group: Group) -> bool {
    matches!(
        tolerance(row, group),
        Some(Tolerance::Bits | Tolerance::Exact | Tolerance::Ulp(_))
    )
}

/// The oracle's answer, values only.
fn run(op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
    Oracle.run(op, inputs)
}

fn relabel(tensor: &Tensor, dtype: DType) -> Result<Tensor> {
    let ty = TensorType::new(dtype, tensor.shape().clone());
    Tensor::new(ty, tensor.bytes().to_vec())
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

/// The elements of every result, changed together.
fn each_result(results: Vec<Tensor>, change: impl Fn(DType, &mut [u64])) -> Result<Vec<Tensor>> {
    let change = |tensor: Tensor| {
        let mut all: Vec<u64> = number::elements(&tensor).collect();
        change(tensor.dtype(), &mut all);
        rebuild(tensor.ty(), all)
    };
    results.into_iter().map(change).collect()
}

fn changed(inputs: &[Input], change: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Vec<Input>> {
    inputs
        .iter()
        .map(|input| Ok(Input::plain(change(&input.tensor)?)))
        .collect()
}

/// The operands that the row calls so, or more precisely, changed.
fn changed_operand(
    op: &Op,
    inputs: &[Input],
    name: &str,
    change: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<Vec<Input>> {
    let mut inputs = inputs.to_vec();
    for (input, operand) in inputs.iter_mut().zip(op.row().operands) {
        if operand.ends_with(name) {
            *input = Input::plain(change(&input.tensor)?);
        }
    }
    Ok(inputs)
}

fn types(inputs: &[Input]) -> Vec<TensorType> {
    inputs
        .iter()
        .map(|input| input.tensor.ty().clone())
        .collect()
}
