//! Faults in single values, whatever the op.

use emily_conformance::number;
use emily_conformance::view::Input;
use emily_spec::{AsType, DType, Op, Result, ResultDType, Tensor, TensorType};

use super::{
    Befalls, Fault, changed, computes, each_float, floats, has_operands, integers, is_exact,
    is_library, rebuild, relabel, run, tolerance, types,
};

pub(super) static FAULTS: &[Fault] = &[
    Fault {
        name: "sign_of_zero_dropped",
        what: "−0 becomes +0",
        befalls: Befalls::Results(|row| is_exact(row) && has_operands(row)),
        run: |op, inputs| each_float(run(op, inputs)?, |f, x| if x == f.sign() { 0 } else { x }),
    },
    Fault {
        name: "one_ulp_off",
        what: "every finite float is one place further from zero",
        befalls: Befalls::Where(is_exact),
        run: |op, inputs| {
            each_float(
                run(op, inputs)?,
                |f, x| if f.is_finite(x) { x + 1 } else { x },
            )
        },
    },
    Fault {
        name: "sixteen_ulp_off",
        what: "every f32 and f64 is sixteen places further from zero",
        befalls: Befalls::Where(is_library),
        run: |op, inputs| {
            each_float(run(op, inputs)?, |f, x| {
                if f.width > 16 && f.is_finite(x) {
                    x + 16
                } else {
                    x
                }
            })
        },
    },
    Fault {
        name: "nan_swallowed",
        what: "NaN becomes 0",
        befalls: Befalls::Results(|row| computes(row) && has_operands(row)),
        run: |op, inputs| each_float(run(op, inputs)?, |f, x| if f.is_nan(x) { 0 } else { x }),
    },
    Fault {
        name: "nan_operands_are_zero",
        what: "NaN operands count as 0",
        befalls: Befalls::Only(&["equal", "argmax", "argsort", "as_type", "add", "sum"]),
        run: |op, inputs| {
            let zeroed = |tensor: &Tensor| floats(tensor, |f, x| if f.is_nan(x) { 0 } else { x });
            run(op, &changed(inputs, zeroed)?)
        },
    },
    Fault {
        name: "infinity_saturates",
        what: "±inf becomes the largest finite value",
        befalls: Befalls::Results(|row| {
            // A remainder is smaller than the dividend.
            is_exact(row) && has_operands(row) && row.name != "remainder"
        }),
        run: |op, inputs| {
            each_float(run(op, inputs)?, |f, x| {
                if x & !f.sign() == f.inf() {
                    x & f.sign() | f.max()
                } else {
                    x
                }
            })
        },
    },
    Fault {
        name: "denormals_flushed",
        what: "denormal results become 0",
        befalls: Befalls::Results(|row| (is_exact(row) || is_library(row)) && has_operands(row)),
        run: |op, inputs| {
            each_float(run(op, inputs)?, |f, x| {
                if x & !f.sign() < f.tiny() {
                    x & f.sign()
                } else {
                    x
                }
            })
        },
    },
    Fault {
        name: "last_element_stale",
        what: "the last element of a result of two or more is never written",
        befalls: Befalls::All,
        run: |op, inputs| {
            run(op, inputs)?
                .into_iter()
                .map(|tensor| {
                    let mut all: Vec<u64> = number::elements(&tensor).collect();
                    if let [.., last] = &mut all[..] {
                        *last = !*last & (u64::MAX >> (64 - 8 * tensor.dtype().size()));
                    }
                    rebuild(tensor.ty(), all)
                })
                .collect()
        },
    },
    Fault {
        name: "vector_tail_skipped",
        what: "elements beyond the last multiple of 8 stay 0",
        befalls: Befalls::Where(|row| matches!(row.family, "unary" | "binary")),
        run: |op, inputs| {
            run(op, inputs)?
                .into_iter()
                .map(|tensor| {
                    let mut all: Vec<u64> = number::elements(&tensor).collect();
                    let whole = all.len() / 8 * 8;
                    if whole > 0 {
                        all[whole..].fill(0);
                    }
                    rebuild(tensor.ty(), all)
                })
                .collect()
        },
    },
    Fault {
        name: "integers_through_f32",
        what: "integers are computed in f32",
        befalls: Befalls::Only(&[
            "add",
            "remainder",
            "pow",
            "sum",
            "dot",
            "select",
            "concatenate",
            "as_type",
        ]),
        run: |op, inputs| {
            run(op, inputs)?
                .into_iter()
                .map(|tensor| integers(&tensor, |value| value as f32 as i128))
                .collect()
        },
    },
    Fault {
        name: "u64_as_s64",
        what: "u64 operands are taken for s64",
        befalls: Befalls::Where(|row| {
            // Sums, products and moves have the same bits.
            let tells = !matches!(
                row.result,
                ResultDType::Same | ResultDType::Merged | ResultDType::Aggregate
            );
            tells && row.accepts.integer && has_operands(row) && tolerance(row).is_some()
                || row.name == "remainder"
        }),
        run: |op, inputs| {
            let signed = |tensor: &Tensor| match tensor.dtype() {
                DType::U64 => relabel(tensor, DType::S64),
                _ => Ok(tensor.clone()),
            };
            relabelled_results(op, inputs, &changed(inputs, signed)?)
        },
    },
];

/// The op on changed operands, with the results' types as for the true ones.
fn relabelled_results(op: &Op, inputs: &[Input], changed: &[Input]) -> Result<Vec<Tensor>> {
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
