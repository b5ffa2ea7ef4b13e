//! Faults in which elements are taken, by windows, indices, predicates and permutations.

use emily_conformance::number;
use emily_conformance::values::Values;
use emily_conformance::view::Input;
use emily_spec::{AsType, Domain, Error, ErrorKind, Op, OpKind, Result, Row, Tensor, Transpose};

use super::{Befalls, FAULT, Fault, changed_operand, integers, rebuild, run};

pub(super) static FAULTS: &[Fault] = &[
    Fault {
        name: "permutation_inverted",
        what: "axes are permuted the other way",
        befalls: Befalls::Calls(|row, _| row.kind == OpKind::Transpose),
        run: |op, inputs| {
            let Op::Transpose(Transpose { axes }) = op else {
                return run(op, inputs);
            };
            let mut inverse = vec![0; axes.len()];
            for (i, &axis) in axes.iter().enumerate() {
                if let Some(place) = inverse.get_mut(axis) {
                    *place = i;
                }
            }
            let inverse = Transpose {
                axes: inverse.into(),
            };
            run(&Op::Transpose(inverse), inputs)
        },
        ..FAULT
    },
    Fault {
        name: "starts_not_clamped",
        what: "a slice that starts too far reads what is there",
        befalls: Befalls::Calls(|row, _| is_window(row)),
        run: starts_not_clamped,
        ..FAULT
    },
    Fault {
        name: "writes_not_clamped",
        what: "a slice that starts too far is not written",
        befalls: Befalls::Calls(|row, _| has_operand(row, "slice")),
        run: writes_not_clamped,
        ..FAULT
    },
    Fault {
        name: "strided_slice_packed",
        what: "a slice takes neighbours instead of every n-th element",
        befalls: Befalls::Calls(|row, _| is_window(row)),
        run: |op, inputs| {
            let mut op = op.clone();
            let (lengths, strides) = if let Op::Slice(op) = &mut op {
                (&mut op.lengths, &mut op.strides)
            } else if let Op::DynamicSlice(op) = &mut op {
                (&mut op.lengths, &mut op.strides)
            } else {
                return run(&op, inputs);
            };
            for (length, stride) in lengths.iter_mut().zip(strides.iter_mut()) {
                if *stride > 0 {
                    *length = length.div_ceil(*stride);
                }
                *stride = 1;
            }
            run(&op, inputs)
        },
        ..FAULT
    },
    Fault {
        name: "indices_off_by_one",
        what: "gather counts from 1, and stops at 0",
        befalls: Befalls::Calls(|row, _| has_operand(row, "indices")),
        run: |op, inputs| {
            // What is out of range stays so, or it would be no longer refused.
            run(op, inputs)?;
            let before = |tensor: &Tensor| integers(tensor, |index| (index - 1).max(0));
            run(op, &changed_operand(op, inputs, "indices", before)?)
        },
        ..FAULT
    },
    Fault {
        name: "indices_clamped",
        what: "an index out of range is clamped instead of refused",
        befalls: Befalls::Calls(|row, _| has_operand(row, "indices")),
        run: |op, inputs| {
            let dims = inputs
                .iter()
                .take(1)
                .flat_map(|data| data.tensor.shape().iter());
            let most = dims.min().copied().unwrap_or(0) as i128 - 1;
            let clamp = |tensor: &Tensor| integers(tensor, |index| index.clamp(0, most.max(0)));
            run(op, &changed_operand(op, inputs, "indices", clamp)?)
        },
        ..FAULT
    },
    Fault {
        name: "predicate_takes_one_bit",
        what: "only the lowest bit of the predicate counts",
        befalls: Befalls::Calls(|row, _| has_operand(row, "pred")),
        run: |op, inputs| {
            let low = |tensor: &Tensor| {
                let all = number::elements(tensor).map(|element| element & 1);
                rebuild(tensor.ty(), all.collect())
            };
            run(op, &changed_operand(op, inputs, "pred", low)?)
        },
        ..FAULT
    },
];

/// Whether the op reads a window of its operand.
fn is_window(row: &Row) -> bool {
    matches!(row.kind, OpKind::Slice | OpKind::DynamicSlice)
}

/// Whether an operand is called so, or more precisely.
fn has_operand(row: &Row, name: &str) -> bool {
    row.operands.iter().any(|operand| operand.ends_with(name))
}

/// The tensor as it was, where the slice does not fit where it is to start.
fn writes_not_clamped(op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
    let results = run(op, inputs)?;
    let starts: Vec<i128> = if let Op::PutSlice(op) = op {
        op.starts.iter().map(|&start| start.into()).collect()
    } else {
        inputs[2..].iter().map(scalar).collect()
    };
    if fits(&starts, inputs[1].tensor.shape(), inputs[0].tensor.shape()) {
        return Ok(results);
    }
    let cast = AsType {
        dtype: results[0].dtype(),
    };
    run(&Op::AsType(cast), &inputs[..1])
}

/// The first element, an integer.
fn scalar(input: &Input) -> i128 {
    let element = number::elements(&input.tensor).next().unwrap_or(0);
    number::integer(input.tensor.dtype(), element).unwrap_or(0)
}

/// Whether a window is inside a tensor.
fn fits(starts: &[i128], lengths: &[usize], dims: &[usize]) -> bool {
    let mut axes = starts.iter().zip(lengths).zip(dims);
    axes.all(|((&start, &length), &dim)| start >= 0 && start + length as i128 <= dim as i128)
}

/// Elements from beyond the end are other elements: here, what `iota` holds.
fn starts_not_clamped(op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
    let results = run(op, inputs)?;
    let (starts, lengths): (Vec<i128>, _) = if let Op::Slice(op) = op {
        let starts = op.starts.iter().map(|&start| start.into());
        (starts.collect(), &op.lengths)
    } else if let Op::DynamicSlice(op) = op {
        (inputs[1..].iter().map(scalar).collect(), &op.lengths)
    } else {
        return Ok(results);
    };
    if fits(&starts, lengths, inputs[0].tensor.shape()) {
        return Ok(results);
    }
    let ty = results[0].ty();
    let count = ty.shape.size()?;
    let others = Values::Iota.fill(0, ty.dtype, Domain::Any, count);
    let others = others.map_err(|message| Error::new(ErrorKind::Internal, message))?;
    Ok(vec![rebuild(ty, others)?])
}
