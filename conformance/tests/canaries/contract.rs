//! Faults in types, axes, strides and errors, whatever the op.

use emily_conformance::mutants::Group;
use emily_conformance::number;
use emily_conformance::view::Input;
use emily_spec::{Arity, Error, ErrorKind, Op, OpKind, Result, Row, Shape, Tensor, TensorType};

use super::{BELOW_NX, Befalls, FAULT, Fault, changed, has_operands, rebuild, run, types};

pub(super) static FAULTS: &[Fault] = &[
    Fault {
        name: "axis_added",
        what: "a result has one axis too many",
        run: |op, inputs| {
            run(op, inputs)?
                .into_iter()
                .map(|tensor| {
                    let dims = [tensor.shape().dims(), &[1]].concat();
                    Tensor::new(TensorType::new(tensor.dtype(), dims), tensor.into_bytes())
                })
                .collect()
        },
        ..FAULT
    },
    Fault {
        name: "results_swapped",
        what: "the results change places",
        befalls: Befalls::Calls(|row, _| row.results > 1),
        run: |op, inputs| run(op, inputs).map(|results| results.into_iter().rev().collect()),
        ..FAULT
    },
    Fault {
        name: "operands_swapped",
        what: "the last two operands change places",
        befalls: Befalls::Calls(|row, _| match row.arity {
            Arity::Exactly(n) => n > 1,
            Arity::AtLeast(_) | Arity::Within(..) => true,
        }),
        run: |op, inputs| {
            let mut swapped = inputs.to_vec();
            if let [.., left, right] = &mut swapped[..] {
                std::mem::swap(left, right);
            }
            run(op, &swapped)
        },
        ..FAULT
    },
    Fault {
        name: "strides_ignored",
        what: "the elements of a view are read in the order of its base",
        befalls: Befalls::Calls(|row, _| has_operands(row)),
        run: |op, inputs| {
            let inputs: Vec<Input> = inputs.iter().map(read_linearly).collect::<Result<_>>()?;
            run(op, &inputs)
        },
        ..FAULT
    },
    Fault {
        name: "broadcast_ignored",
        what: "a smaller operand is repeated from its start instead of along its axes",
        befalls: Befalls::Calls(broadcasts),
        run: broadcast_ignored,
        ..FAULT
    },
    Fault {
        name: "empty_tensors_refused",
        what: "an operand without elements is an error",
        befalls: Befalls::Calls(|row, _| has_operands(row)),
        layers: BELOW_NX,
        except: &[
            (OpKind::Slice, "a window has elements, so the tensor has"),
            (
                OpKind::DynamicSlice,
                "a window has elements, so the tensor has",
            ),
        ],
        run: |op, inputs| {
            if inputs.iter().any(|input| input.tensor.bytes().is_empty()) {
                return Err(Error::new(ErrorKind::Shape, "empty"));
            }
            run(op, inputs)
        },
    },
    Fault {
        name: "errors_swallowed",
        what: "what must fail gives nothing",
        befalls: Befalls::Refusals,
        run: |op, inputs| run(op, inputs).or(Ok(Vec::new())),
        ..FAULT
    },
    Fault {
        name: "errors_of_the_wrong_kind",
        what: "every error is an internal one",
        befalls: Befalls::Refusals,
        run: |op, inputs| {
            run(op, inputs).map_err(|error| Error::new(ErrorKind::Internal, error.message))
        },
        ..FAULT
    },
    Fault {
        name: "errors_are_crashes",
        what: "every error is a function clause that does not match",
        befalls: Befalls::Refusals,
        layers: &["backend", "compiler"],
        run: |op, inputs| {
            let crash = |error: Error| {
                let message = format!("** (FunctionClauseError) no clause matches: {error}");
                Error::new(error.kind, message)
            };
            run(op, inputs).map_err(crash)
        },
        ..FAULT
    },
];

/// A view's elements as they lie in its base, from the start.
fn read_linearly(input: &Input) -> Result<Input> {
    let wanted = input.tensor.bytes().len();
    let bytes: Vec<u8> = input
        .base
        .bytes()
        .iter()
        .copied()
        .cycle()
        .take(wanted)
        .collect();
    Ok(Input::plain(Tensor::new(input.tensor.ty().clone(), bytes)?))
}

/// Whether operands are repeated to the result's shape.
fn broadcasts(row: &Row, _: Group) -> bool {
    matches!(reach(row.kind), Reach::Pair | Reach::Repeated)
}

/// What elements of the operands an element of the result is made of.
#[derive(Clone, Copy)]
pub(super) enum Reach {
    /// The one in its place.
    Place,
    /// Those in its place of two operands, which are repeated to its shape.
    Pair,
    /// Others too, or not all of them, of operands that are repeated to one shape.
    Repeated,
    /// Any, of operands that are taken as they are.
    Any,
}

pub(super) fn reach(kind: OpKind) -> Reach {
    match kind {
        OpKind::Unary(_) => Reach::Place,
        OpKind::Arithmetic(_) | OpKind::Compare(_) => Reach::Pair,
        OpKind::Select | OpKind::AllClose | OpKind::Broadcast => Reach::Repeated,
        OpKind::AsType
        | OpKind::Bitcast
        | OpKind::Iota
        | OpKind::Eye
        | OpKind::Constant
        | OpKind::Transpose
        | OpKind::Reshape
        | OpKind::Squeeze
        | OpKind::Reverse
        | OpKind::Stack
        | OpKind::Pad
        | OpKind::Concatenate
        | OpKind::Slice
        | OpKind::DynamicSlice
        | OpKind::Gather
        | OpKind::Take
        | OpKind::TakeAlongAxis
        | OpKind::PutSlice
        | OpKind::DynamicPutSlice
        | OpKind::Indexed(_)
        | OpKind::Clip
        | OpKind::Quantifier(_)
        | OpKind::Sort
        | OpKind::TopK
        | OpKind::Reduce(_)
        | OpKind::ArgReduce(_)
        | OpKind::Argsort
        | OpKind::Window(_)
        | OpKind::WindowScatter(_)
        | OpKind::Cumulative(_)
        | OpKind::Dot
        | OpKind::Conv
        | OpKind::Fourier(_)
        | OpKind::Fourier2(_)
        | OpKind::Qr
        | OpKind::TriangularSolve
        | OpKind::Determinant
        | OpKind::GatherMm
        | OpKind::Lu
        | OpKind::Eigh
        | OpKind::Svd
        | OpKind::Solve
        | OpKind::Cholesky
        | OpKind::Quantize
        | OpKind::Dequantize
        | OpKind::FpQuantize
        | OpKind::FpDequantize
        | OpKind::FpGatherQmm
        | OpKind::GatherQmm
        | OpKind::FpQuantizedMatmul
        | OpKind::QuantizedMatmul
        | OpKind::Softmax
        | OpKind::Logsumexp
        | OpKind::Norm(_)
        | OpKind::ScaledDotProductAttention
        | OpKind::Rope
        | OpKind::Einsum => Reach::Any,
    }
}

fn broadcast_ignored(op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
    // What is too large stays so.
    run(op, inputs)?;
    let want = op.infer(&types(inputs))?;
    let whole: &Shape = &want[0].shape;
    let repeat = |tensor: &Tensor| {
        let count = whole.size()?;
        let all: Vec<u64> = number::elements(tensor).cycle().take(count).collect();
        rebuild(&TensorType::new(tensor.dtype(), whole.clone()), all)
    };
    if op.kind() == OpKind::Broadcast {
        return Ok(vec![repeat(&inputs[0].tensor)?]);
    }
    run(op, &changed(inputs, repeat)?)
}
