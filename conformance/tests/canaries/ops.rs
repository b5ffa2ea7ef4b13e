//! Faults of one op or a few, as MLX or a careless port has them.

use emily_conformance::mutants::Group;
use emily_conformance::number::{self, Format};
use emily_conformance::view::Input;
use emily_spec::{
    ArgReduce, Arithmetic, Cumulative, DType, Error, ErrorKind, Op, OpKind, Quantifier, Reduce,
    Result, ResultDType, Row, Tensor, Typed, Unary, Window,
};

use super::{Befalls, FAULT, Fault, changed, each_float, floats, rebuild, run};

pub(super) static FAULTS: &[Fault] = &[
    Fault {
        name: "descending_is_ascending_flipped",
        what: "the descending order is the ascending one from its end, which turns ties round",
        befalls: Befalls::Calls(|row, _| {
            let directed = row.attributes.iter().any(|a| a.name == "direction");
            directed && row.result == ResultDType::Index
        }),
        run: descending_is_ascending_flipped,
        ..FAULT
    },
    Fault {
        name: "halves_to_even",
        what: "round takes halves to even",
        befalls: Befalls::Calls(|row, _| row.kind == ROUND),
        run: |op, inputs| halves(op, inputs, f64::round_ties_even),
        ..FAULT
    },
    Fault {
        name: "halves_up",
        what: "round is floor(x + 1/2)",
        befalls: Befalls::Calls(|row, _| row.kind == ROUND),
        run: |op, inputs| halves(op, inputs, |x| (x + 0.5).floor()),
        ..FAULT
    },
    Fault {
        name: "divisors_sign",
        what: "the remainder has the divisor's sign",
        befalls: Befalls::Calls(|row, _| row.kind == OpKind::Arithmetic(Arithmetic::Remainder)),
        run: divisors_sign,
        ..FAULT
    },
    Fault {
        name: "casts_saturate",
        what: "casts to integers stop at the limits instead of wrapping",
        befalls: Befalls::Calls(|row, group| {
            row.kind == OpKind::AsType && group == Group::Integers
        }),
        run: casts_saturate,
        ..FAULT
    },
    Fault {
        name: "nan_casts_to_min",
        what: "NaN casts to the smallest integer, as x86 does",
        befalls: Befalls::Calls(|row, group| {
            row.kind == OpKind::AsType && group == Group::Integers
        }),
        run: |op, inputs| {
            let results = run(op, inputs)?;
            let Some((low, _)) = number::limits(results[0].dtype()) else {
                return Ok(results);
            };
            let Some(format) = Format::of(inputs[0].tensor.dtype()) else {
                return Ok(results);
            };
            let minimum = number::wrapped(results[0].dtype(), low);
            let pairs = number::elements(&inputs[0].tensor).zip(number::elements(&results[0]));
            let all = pairs.map(|(from, to)| if format.is_nan(from) { minimum } else { to });
            Ok(vec![rebuild(results[0].ty(), all.collect())?])
        },
        ..FAULT
    },
    Fault {
        name: "last_term_skipped",
        what: "a reduction of more than 32 elements skips the last one",
        befalls: Befalls::Calls(|row, _| adds_up(row)),
        run: |op, inputs| {
            let skip = |tensor: &Tensor| {
                let mut all: Vec<u64> = number::elements(tensor).collect();
                if all.len() > 32 {
                    *all.last_mut().unwrap_or(&mut 0) = nothing(op, tensor.dtype());
                }
                rebuild(tensor.ty(), all)
            };
            run(op, &changed(inputs, skip)?)
        },
        ..FAULT
    },
    Fault {
        name: "one_of_4096_terms_skipped",
        what: "a product of 4096 terms or more loses one in the middle",
        // One of so many is less than a small float's rounding.
        befalls: Befalls::Calls(|row, group| {
            row.kind == OpKind::Dot && group != Group::SmallFloats
        }),
        run: |op, inputs| {
            let mut inputs = inputs.to_vec();
            if let (Op::Dot(dot), [left, ..]) = (op, &mut inputs[..])
                && contracted(&left.tensor, &dot.contract_left) >= 4096
            {
                let mut all: Vec<u64> = number::elements(&left.tensor).collect();
                let middle = all.len() / 2;
                all[middle] = 0;
                *left = Input::plain(rebuild(left.tensor.ty(), all)?);
            }
            run(op, &inputs)
        },
        ..FAULT
    },
    Fault {
        name: "accumulates_in_the_type",
        what: "f16 and bf16 are added up in their own precision",
        befalls: Befalls::Calls(|row, group| {
            row.kind == OpKind::Reduce(Reduce::Sum) && group == Group::SmallFloats
        }),
        run: accumulates_in_the_type,
        ..FAULT
    },
    Fault {
        name: "nan_keeps_to_its_slot",
        what: "the largest up to an element is NaN only where that is",
        befalls: Befalls::Calls(|row, group| {
            let chooses = [Cumulative::CumulativeMax, Cumulative::CumulativeMin];
            chooses.map(OpKind::Cumulative).contains(&row.kind) && group != Group::Integers
        }),
        run: nan_keeps_to_its_slot,
        ..FAULT
    },
    Fault {
        name: "counts_in_the_type",
        what: "f16 and bf16 count by adding 1, and stick where that rounds away",
        befalls: Befalls::Calls(|row, group| {
            row.kind == OpKind::Iota && group == Group::SmallFloats
        }),
        run: |op, inputs| {
            each_float(run(op, inputs)?, |f, x| {
                let stuck = f.nearest(2f64.powi(f.fraction as i32 + 1));
                if f.width == 16 { x.min(stuck) } else { x }
            })
        },
        ..FAULT
    },
    Fault {
        name: "erfc_by_subtraction",
        what: "erfc(x) is 1 − erf(x) in the type, and 0 where that cancels",
        befalls: Befalls::Calls(|row, _| row.kind == OpKind::Unary(Unary::Erfc)),
        run: |op, inputs| {
            each_float(run(op, inputs)?, |f, x| {
                let half_ulp_of_one = f.value(f.eps()) / 2.0;
                let steps = (f.value(x) / half_ulp_of_one).round();
                if f.is_finite(x) {
                    f.nearest(steps * half_ulp_of_one)
                } else {
                    x
                }
            })
        },
        ..FAULT
    },
];

const ROUND: OpKind = OpKind::Unary(Unary::Round);

/// Whether an element of a result is made of many.
fn adds_up(row: &Row) -> bool {
    matches!(
        row.kind,
        OpKind::Reduce(_)
            | OpKind::Quantifier(_)
            | OpKind::ArgReduce(_)
            | OpKind::Dot
            | OpKind::Conv
            | OpKind::Window(_)
            | OpKind::Cumulative(_)
            | OpKind::Softmax
            | OpKind::Logsumexp
    )
}

/// The element that changes nothing of a reduction's result.
fn nothing(op: &Op, dtype: DType) -> u64 {
    let format = Format::of(dtype);
    let limit = |of_integers: i128, of_floats: fn(Format) -> u64| {
        format.map_or(number::wrapped(dtype, of_integers), of_floats)
    };
    let (low, high) = number::limits(dtype).unwrap_or_default();
    let kind = op.kind();
    if GREATEST.contains(&kind) {
        limit(low, |format| format.sign() | format.inf())
    } else if LEAST.contains(&kind) {
        limit(high, Format::inf)
    } else if PRODUCTS.contains(&kind) {
        limit(1, Format::one)
    } else {
        0
    }
}

/// Of exponentials, that of −∞ is 0.
const GREATEST: &[OpKind] = &[
    OpKind::Softmax,
    OpKind::Logsumexp,
    OpKind::ArgReduce(ArgReduce::Argmax),
    OpKind::Reduce(Reduce::ReduceMax),
    OpKind::Window(Window::WindowMax),
    OpKind::Cumulative(Cumulative::CumulativeMax),
];
const LEAST: &[OpKind] = &[
    OpKind::ArgReduce(ArgReduce::Argmin),
    OpKind::Reduce(Reduce::ReduceMin),
    OpKind::Window(Window::WindowMin),
    OpKind::Cumulative(Cumulative::CumulativeMin),
];
const PRODUCTS: &[OpKind] = &[
    OpKind::Reduce(Reduce::Product),
    OpKind::Quantifier(Quantifier::All),
    OpKind::Window(Window::WindowProduct),
    OpKind::Cumulative(Cumulative::CumulativeProduct),
];

fn contracted(tensor: &Tensor, axes: &[usize]) -> usize {
    axes.iter().map(|&axis| tensor.shape()[axis]).product()
}

fn descending_is_ascending_flipped(op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
    let text = serde_json::to_value(op).unwrap_or_default();
    let mut attrs = text.get("attrs").cloned().unwrap_or_default();
    let axis = attrs.get("axis").and_then(serde_json::Value::as_u64);
    if attrs.get("direction") != Some(&"desc".into()) {
        return run(op, inputs);
    }
    attrs["direction"] = "asc".into();
    let ascending = Op::read(op.name(), attrs);
    let ascending = ascending.map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
    let sorted = run(&ascending, inputs)?;
    let axis = axis.unwrap_or(0) as usize;
    sorted.iter().map(|tensor| flipped(tensor, axis)).collect()
}

fn flipped(tensor: &Tensor, axis: usize) -> Result<Tensor> {
    let strides = emily_spec::row_major_strides(tensor.shape());
    let all: Vec<u64> = number::elements(tensor).collect();
    let (Some(&stride), Some(&dim)) = (strides.get(axis), tensor.shape().get(axis)) else {
        return Ok(tensor.clone());
    };
    let from = |i: usize| {
        let at = i / stride % dim;
        i - at * stride + (dim - 1 - at) * stride
    };
    rebuild(tensor.ty(), (0..all.len()).map(|i| all[from(i)]).collect())
}

fn halves(op: &Op, inputs: &[Input], rule: fn(f64) -> f64) -> Result<Vec<Tensor>> {
    run(op, inputs)?;
    let round = |f: Format, x: u64| {
        if f.is_finite(x) {
            f.nearest(rule(f.value(x))) | x & f.sign()
        } else {
            x
        }
    };
    inputs
        .iter()
        .map(|input| floats(&input.tensor, round))
        .collect()
}

fn divisors_sign(op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
    let mut result = run(op, inputs)?;
    let again = [Input::plain(result.remove(0)), inputs[1].clone()];
    // (r + b) mod b has b's sign wherever r is not 0.
    let attrs = Typed {
        dtype: Some(again[0].tensor.dtype()),
    };
    let plus = run(&Op::Arithmetic(Arithmetic::Add, attrs), &again)?;
    run(op, &[Input::plain(plus[0].clone()), inputs[1].clone()])
}

fn casts_saturate(op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
    let results = run(op, inputs)?;
    let Some((low, high)) = number::limits(results[0].dtype()) else {
        return Ok(results);
    };
    let from = inputs[0].tensor.dtype();
    let value = |element: u64| match (Format::of(from), number::integer(from, element)) {
        (Some(_), _) if from.is_complex() => None,
        (Some(format), _) => Some(format.value(element) as i128),
        (None, value) => value,
    };
    let pairs = number::elements(&inputs[0].tensor).zip(number::elements(&results[0]));
    let saturated = pairs.map(|(element, wrapped)| match value(element) {
        Some(value) => number::wrapped(results[0].dtype(), value.clamp(low, high)),
        None => wrapped,
    });
    Ok(vec![rebuild(results[0].ty(), saturated.collect())?])
}

fn nan_keeps_to_its_slot(op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
    run(op, inputs)?;
    let tensor = &inputs[0].tensor;
    let least = nothing(op, tensor.dtype());
    let numbers = floats(tensor, |f, x| if f.is_nan(x) { least } else { x })?;
    let mut results = run(op, &[Input::plain(numbers)])?;
    let Some(format) = Format::of(tensor.dtype()) else {
        return Ok(results);
    };
    for result in &mut results {
        let pairs = number::elements(tensor).zip(number::elements(result));
        let all = pairs.map(|(x, result)| if format.is_nan(x) { x } else { result });
        *result = rebuild(result.ty(), all.collect())?;
    }
    Ok(results)
}

/// Sums over everything, one element after the other, rounding each time.
fn accumulates_in_the_type(op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
    let results = run(op, inputs)?;
    let tensor = &inputs[0].tensor;
    let (Op::Reduce(Reduce::Sum, _), [result]) = (op, &results[..]) else {
        return Ok(results);
    };
    let Some(format) = Format::of(tensor.dtype()).filter(|format| format.width == 16) else {
        return Ok(results);
    };
    if result.shape().size()? != 1 || result.dtype() != tensor.dtype() {
        return Ok(results);
    }
    let add = |sum: u64, element: u64| format.nearest(format.value(sum) + format.value(element));
    let sum = number::elements(tensor).fold(0, add);
    Ok(vec![rebuild(result.ty(), vec![sum])?])
}
