//! Faults in types, axes, strides and errors, whatever the op.

use emily_conformance::number;
use emily_conformance::view::Input;
use emily_spec::{DType, Error, ErrorKind, Op, OpKind, Result, Shape, Tensor, TensorType};

use super::{Befalls, Fault, changed, has_operands, rebuild, relabel, run, types, with_attributes};

pub(super) static FAULTS: &[Fault] = &[
    Fault {
        name: "result_dtype_wrong",
        what: "a result's dtype is another of the same size",
        befalls: Befalls::All,
        run: |op, inputs| {
            run(op, inputs)?
                .into_iter()
                .map(|tensor| relabel(&tensor, same_size(tensor.dtype())))
                .collect()
        },
    },
    Fault {
        name: "result_flattened",
        what: "a result has one axis too many",
        befalls: Befalls::All,
        run: |op, inputs| {
            run(op, inputs)?
                .into_iter()
                .map(|tensor| {
                    let dims = [tensor.shape().dims(), &[1]].concat();
                    Tensor::new(TensorType::new(tensor.dtype(), dims), tensor.into_bytes())
                })
                .collect()
        },
    },
    Fault {
        name: "strides_ignored",
        what: "the elements of a view are read in the order of its base",
        befalls: Befalls::Where(has_operands),
        run: |op, inputs| {
            let inputs: Vec<Input> = inputs.iter().map(read_linearly).collect::<Result<_>>()?;
            run(op, &inputs)
        },
    },
    Fault {
        name: "broadcast_ignored",
        what: "a smaller operand is repeated from its start instead of along its axes",
        befalls: Befalls::Only(&[
            "add",
            "divide",
            "remainder",
            "pow",
            "equal",
            "select",
            "broadcast",
        ]),
        run: broadcast_ignored,
    },
    Fault {
        name: "empty_tensors_refused",
        what: "an operand without elements is an error",
        befalls: Befalls::Where(|row| {
            // A window has elements, so the tensor has.
            has_operands(row) && !matches!(row.name, "slice" | "dynamic_slice")
        }),
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
        befalls: Befalls::All,
        run: |op, inputs| run(op, inputs).or(Ok(Vec::new())),
    },
    Fault {
        name: "errors_of_the_wrong_kind",
        what: "every error is an internal one",
        befalls: Befalls::All,
        run: |op, inputs| {
            run(op, inputs).map_err(|error| Error::new(ErrorKind::Internal, error.message))
        },
    },
    Fault {
        name: "axis_off_by_one",
        what: "the axis is the next one",
        befalls: Befalls::Only(&["sum", "argmax", "argsort", "concatenate", "iota", "gather"]),
        run: |op, inputs| {
            let rank = match inputs.first() {
                Some(input) => input.tensor.shape().rank(),
                None => op.infer(&[])?[0].shape.rank(),
            };
            run(&with_next_axis(op, rank), inputs)
        },
    },
    Fault {
        name: "kept_axes_dropped",
        what: "keep_axes does nothing",
        befalls: Befalls::Only(&["sum", "argmax"]),
        run: |op, inputs| {
            let dropped = with_attributes(op, |name, value| {
                if matches!(name, "keep_axes" | "keep_axis") {
                    *value = false.into();
                }
            });
            run(&dropped, inputs)
        },
    },
];

fn same_size(dtype: DType) -> DType {
    match dtype {
        DType::U8 => DType::S8,
        DType::S8 => DType::U8,
        DType::U16 | DType::S16 | DType::Bf16 => DType::F16,
        DType::F16 => DType::Bf16,
        DType::U32 | DType::S32 => DType::F32,
        DType::F32 => DType::S32,
        DType::U64 | DType::S64 | DType::C64 => DType::F64,
        DType::F64 => DType::S64,
    }
}

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

fn broadcast_ignored(op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
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

fn with_next_axis(op: &Op, rank: usize) -> Op {
    let next = |axis: usize| match axis < rank {
        true => (axis + 1) % rank,
        false => axis,
    };
    with_attributes(op, |name, value| match name {
        "axis" => {
            if let Some(axis) = value.as_u64() {
                *value = next(axis as usize).into();
            }
        }
        "axes" => {
            let axes = value.as_array().into_iter().flatten();
            let mut axes: Vec<_> = axes
                .filter_map(|axis| Some(next(axis.as_u64()? as usize)))
                .collect();
            axes.sort_unstable();
            *value = axes.into();
        }
        _ => {}
    })
}
