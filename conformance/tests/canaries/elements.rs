//! Faults in single values, whatever the op.

use emily_conformance::mutants::Group;
use emily_conformance::view::Input;
use emily_spec::{
    Arity, AsType, DType, Op, OpKind, Quantifier, Range, Result, ResultDType, Row, Tensor,
    TensorType, Unary,
};

use super::{
    Befalls, FAULT, Fault, TO_THE_BIT, changed, each_float, each_result, floats, has_floats,
    has_operands, integers, is_near, relabel, run, speaks_of_operands, tolerance, types,
};

pub(super) static FAULTS: &[Fault] = &[
    Fault {
        name: "one_bit_off",
        what: "the lowest bit of one element is another one",
        layers: TO_THE_BIT,
        run: |op, inputs| {
            each_result(run(op, inputs)?, |_, all| {
                let middle = all.len() / 2;
                if let Some(element) = all.get_mut(middle) {
                    *element ^= 1;
                }
            })
        },
        ..FAULT
    },
    Fault {
        name: "nan_operands_are_zero",
        what: "NaN operands count as 0",
        befalls: Befalls::Calls(takes_nan),
        run: |op, inputs| {
            let zeroed = |tensor: &Tensor| floats(tensor, |f, x| if f.is_nan(x) { 0 } else { x });
            run(op, &changed(inputs, zeroed)?)
        },
        except: &[(OpKind::FpDequantize, "its operands are integers")],
        ..FAULT
    },
    Fault {
        name: "infinity_saturates",
        what: "±inf becomes the largest finite value",
        befalls: Befalls::Calls(overflows),
        except: &[(OpKind::Softmax, "a share is 1 at most")],
        run: |op, inputs| {
            each_float(run(op, inputs)?, |f, x| {
                if x & !f.sign() == f.inf() {
                    x & f.sign() | f.max()
                } else {
                    x
                }
            })
        },
        ..FAULT
    },
    Fault {
        name: "denormals_flushed",
        what: "denormal results become 0",
        befalls: Befalls::Calls(|row, group| has_floats(row, group) && is_near(row, group)),
        run: |op, inputs| {
            each_float(run(op, inputs)?, |f, x| {
                if x & !f.sign() < f.tiny() {
                    x & f.sign()
                } else {
                    x
                }
            })
        },
        ..FAULT
    },
    Fault {
        name: "vector_tail_skipped",
        what: "elements beyond the last multiple of 8 stay 0",
        run: |op, inputs| {
            each_result(run(op, inputs)?, |_, all| {
                let whole = all.len() / 8 * 8;
                if whole > 0 {
                    all[whole..].fill(0);
                }
            })
        },
        except: &[
            (OpKind::AllClose, "its result has one element"),
            (
                OpKind::Dequantize,
                "its rows are whole groups of 32 elements or more",
            ),
            (
                OpKind::FpDequantize,
                "its rows are whole groups of 16 elements or more",
            ),
        ],
        ..FAULT
    },
    Fault {
        name: "integers_through_f32",
        what: "integers are computed in f32",
        befalls: Befalls::Calls(|row, group| {
            group == Group::Integers && row.range != Range::Counts
        }),
        run: |op, inputs| {
            let through = |tensor: &Tensor| integers(tensor, |value| value as f32 as i128);
            if speaks_of_operands(op.row()) {
                return run(op, &changed(inputs, through)?);
            }
            run(op, inputs)?.iter().map(through).collect()
        },
        ..FAULT
    },
    Fault {
        name: "u64_as_s64",
        what: "u64 operands are taken for s64",
        befalls: Befalls::Calls(sees_the_sign),
        run: |op, inputs| {
            let signed = |tensor: &Tensor| {
                if tensor.dtype() == DType::U64 {
                    relabel(tensor, DType::S64)
                } else {
                    Ok(tensor.clone())
                }
            };
            with_true_types(op, inputs, &changed(inputs, signed)?)
        },
        except: &[
            (OpKind::Bitcast, "the bits are the same"),
            (
                OpKind::Quantifier(Quantifier::All),
                "0 stays 0, and what is not 0 stays so",
            ),
            (
                OpKind::Quantifier(Quantifier::Any),
                "0 stays 0, and what is not 0 stays so",
            ),
        ],
        ..FAULT
    },
];

/// Whether what NaN becomes is known: a decomposition promises finite residuals only, and where results
/// are finite it is refused.
fn takes_nan(row: &Row, group: Group) -> bool {
    let taken = has_operands(row) && row.range != Range::Finite;
    taken && group != Group::Integers && tolerance(row, group).is_some()
}

/// Whether an infinite result is nothing else: no rule says what a complex one is, where it is
/// computed.
fn overflows(row: &Row, group: Group) -> bool {
    let known = match group {
        Group::Complex => is_near(row, group),
        Group::Integers | Group::Floats | Group::SmallFloats => tolerance(row, group).is_some(),
    };
    known && has_floats(row, group)
}

/// Whether an integer's sign is more than one of its bits: moves, casts and wrapping sums give the
/// same bits in integers, but not where an integer is cast to a float first.
fn sees_the_sign(row: &Row, group: Group) -> bool {
    let computes = if let OpKind::Unary(kind) = row.kind {
        !of_bits(kind)
    } else {
        matches!(row.kind, OpKind::Arithmetic(_))
    };
    let meet = row.arity != Arity::Exactly(1);
    let casts = match row.result {
        ResultDType::Asked => true,
        // Alone, it becomes f32.
        ResultDType::Floating | ResultDType::RealFloating | ResultDType::Parts => {
            meet || group == Group::Floats
        }
        ResultDType::Complex => true,
        ResultDType::Merged => meet,
        ResultDType::Same
        | ResultDType::Real
        | ResultDType::Aggregate
        | ResultDType::Predicate
        | ResultDType::Codes
        | ResultDType::Index => false,
    };
    row.accepts.integer
        && has_operands(row)
        && match group {
            Group::Integers => (computes || speaks_of_operands(row)) && !row.vanishes.integer,
            Group::Floats | Group::SmallFloats | Group::Complex => casts,
        }
}

/// Whether an integer's bits decide the result's, whatever they stand for.
fn of_bits(kind: Unary) -> bool {
    matches!(
        kind,
        Unary::Negate | Unary::BitwiseNot | Unary::CountLeadingZeros | Unary::PopulationCount
    )
}

/// The op on changed operands, with the results' types as for the true ones.
fn with_true_types(op: &Op, inputs: &[Input], changed: &[Input]) -> Result<Vec<Tensor>> {
    let types = types(inputs);
    let want = op.infer(&types)?;
    let cast = |(tensor, ty): (Tensor, &TensorType)| {
        run(
            &Op::AsType(AsType { dtype: ty.dtype }),
            &[Input::plain(tensor)],
        )
        .map(|mut all| all.remove(0))
    };
    run(op, changed)?.into_iter().zip(&want).map(cast).collect()
}
