//! Faults of one op or a few, as MLX or a careless port has them.

use emily_conformance::number::{self, Format};
use emily_conformance::values::Values;
use emily_conformance::view::Input;
use emily_spec::{
    ArgReduce, Arithmetic, Direction, Domain, Error, ErrorKind, Op, OpKind, QrMode, Reduce, Result,
    Tensor, TieBreak, Transpose, Typed,
};

use super::{Befalls, Fault, changed, each_float, floats, integers, rebuild, run};

pub(super) static FAULTS: &[Fault] = &[
    Fault {
        name: "permutation_inverted",
        what: "axes are permuted the other way",
        befalls: Befalls::Only(&["transpose"]),
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
    },
    Fault {
        name: "ties_broken_the_other_way",
        what: "the last of equal elements wins where the first should, and the other way round",
        befalls: Befalls::Only(&["argmax", "argsort"]),
        run: ties_broken_the_other_way,
    },
    Fault {
        name: "descending_is_ascending",
        what: "the direction does nothing",
        befalls: Befalls::Only(&["argsort"]),
        run: |op, inputs| {
            let mut op = op.clone();
            if let Op::Argsort(sort) = &mut op {
                sort.direction = Direction::Asc;
            }
            run(&op, inputs)
        },
    },
    Fault {
        name: "halves_to_even",
        what: "round takes halves to even",
        befalls: Befalls::Only(&["round"]),
        run: |op, inputs| halves(op, inputs, f64::round_ties_even),
    },
    Fault {
        name: "halves_up",
        what: "round is floor(x + 1/2)",
        befalls: Befalls::Only(&["round"]),
        run: |op, inputs| halves(op, inputs, |x| (x + 0.5).floor()),
    },
    Fault {
        name: "divisors_sign",
        what: "the remainder has the divisor's sign",
        befalls: Befalls::Only(&["remainder"]),
        run: divisors_sign,
    },
    Fault {
        name: "casts_saturate",
        what: "casts to integers stop at the limits instead of wrapping",
        befalls: Befalls::Only(&["as_type"]),
        run: casts_saturate,
    },
    Fault {
        name: "nan_casts_to_min",
        what: "NaN casts to the smallest integer, as x86 does",
        befalls: Befalls::Only(&["as_type"]),
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
    },
    Fault {
        name: "starts_not_clamped",
        what: "a slice that starts too far reads what is there",
        befalls: Befalls::Only(&["slice", "dynamic_slice"]),
        run: starts_not_clamped,
    },
    Fault {
        name: "strided_slice_packed",
        what: "a slice takes neighbours instead of every n-th element",
        befalls: Befalls::Only(&["slice", "dynamic_slice"]),
        run: |op, inputs| {
            let mut op = op.clone();
            let (lengths, strides) = match &mut op {
                Op::Slice(op) => (&mut op.lengths, &mut op.strides),
                Op::DynamicSlice(op) => (&mut op.lengths, &mut op.strides),
                _ => return run(&op, inputs),
            };
            for (length, stride) in lengths.iter_mut().zip(strides.iter_mut()) {
                if *stride > 0 {
                    *length = length.div_ceil(*stride);
                }
                *stride = 1;
            }
            run(&op, inputs)
        },
    },
    Fault {
        name: "indices_off_by_one",
        what: "gather counts from 1, and stops at 0",
        befalls: Befalls::Only(&["gather"]),
        run: |op, inputs| {
            let mut inputs = inputs.to_vec();
            // What is out of range stays so, or it would be no longer refused.
            run(op, &inputs)?;
            if let Some(last) = inputs.get_mut(1) {
                *last = Input::plain(integers(&last.tensor, |index| (index - 1).max(0))?);
            }
            run(op, &inputs)
        },
    },
    Fault {
        name: "indices_clamped",
        what: "an index out of range is clamped instead of refused",
        befalls: Befalls::Only(&["gather"]),
        run: |op, inputs| {
            let mut inputs = inputs.to_vec();
            if let [data, indices] = &mut inputs[..] {
                let most = data.tensor.shape().iter().min().copied().unwrap_or(0) as i128 - 1;
                let clamp = |index: i128| index.clamp(0, most.max(0));
                *indices = Input::plain(integers(&indices.tensor, clamp)?);
            }
            run(op, &inputs)
        },
    },
    Fault {
        name: "predicate_takes_one_bit",
        what: "only the lowest bit of the predicate counts",
        befalls: Befalls::Only(&["select"]),
        run: |op, inputs| {
            let mut inputs = inputs.to_vec();
            if let Some(pred) = inputs.first_mut() {
                let all = number::elements(&pred.tensor)
                    .map(|element| element & 1)
                    .collect();
                *pred = Input::plain(rebuild(pred.tensor.ty(), all)?);
            }
            run(op, &inputs)
        },
    },
    Fault {
        name: "branches_swapped",
        what: "the branches change places",
        befalls: Befalls::Only(&["select"]),
        run: |op, inputs| match inputs {
            [pred, on_true, on_false] => {
                run(op, &[pred.clone(), on_false.clone(), on_true.clone()])
            }
            _ => run(op, inputs),
        },
    },
    Fault {
        name: "last_term_skipped",
        what: "a reduction of more than 32 elements skips the last one",
        befalls: Befalls::Only(&["sum", "dot", "argmax"]),
        run: |op, inputs| {
            let skip = |tensor: &Tensor| {
                let mut all: Vec<u64> = number::elements(tensor).collect();
                if all.len() > 32 {
                    let low = number::limits(tensor.dtype()).map_or(0, |(low, _)| low);
                    let nothing = match op.kind() == OpKind::ArgReduce(ArgReduce::Argmax) {
                        true => number::wrapped(tensor.dtype(), low),
                        false => 0,
                    };
                    *all.last_mut().unwrap_or(&mut 0) = nothing;
                }
                rebuild(tensor.ty(), all)
            };
            run(op, &changed(inputs, skip)?)
        },
    },
    Fault {
        name: "one_of_4096_terms_skipped",
        what: "a product of 4096 terms or more loses one in the middle",
        befalls: Befalls::Only(&["dot"]),
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
    },
    Fault {
        name: "accumulates_in_the_type",
        what: "f16 and bf16 are added up in their own precision",
        befalls: Befalls::Only(&["sum"]),
        run: accumulates_in_the_type,
    },
    Fault {
        name: "counts_in_the_type",
        what: "f16 and bf16 count by adding 1, and stick where that rounds away",
        befalls: Befalls::Only(&["iota"]),
        run: |op, inputs| {
            each_float(run(op, inputs)?, |f, x| {
                let stuck = f.nearest(2f64.powi(f.fraction as i32 + 1));
                if f.width == 16 { x.min(stuck) } else { x }
            })
        },
    },
    Fault {
        name: "erfc_by_subtraction",
        what: "erfc(x) is 1 − erf(x) in the type, and 0 where that cancels",
        befalls: Befalls::Only(&["erfc"]),
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
    },
    Fault {
        name: "factors_swapped",
        what: "the results change places",
        befalls: Befalls::Only(&["qr"]),
        run: |op, inputs| run(op, inputs).map(|results| results.into_iter().rev().collect()),
    },
    Fault {
        name: "q_not_normalised",
        what: "Q is doubled and R halved",
        befalls: Befalls::Only(&["qr"]),
        run: |op, inputs| {
            let scales = [2.0, 0.5];
            let results = run(op, inputs)?.into_iter().zip(scales);
            results
                .map(|(t, by)| floats(&t, |f, x| f.nearest(f.value(x) * by)))
                .collect()
        },
    },
    Fault {
        name: "below_the_diagonal_not_cleared",
        what: "R keeps rounding errors below its diagonal",
        befalls: Befalls::Only(&["qr"]),
        run: |op, inputs| {
            let mut results = run(op, inputs)?;
            let clear = |f: Format, x: u64| if x & !f.sign() == 0 { 1 } else { x };
            if let Some(r) = results.get_mut(1) {
                *r = floats(r, clear)?;
            }
            Ok(results)
        },
    },
    Fault {
        name: "reduced_and_complete_swapped",
        what: "qr's mode is the other one",
        befalls: Befalls::Only(&["qr"]),
        run: |op, inputs| {
            let mut op = op.clone();
            if let Op::Qr(qr) = &mut op {
                qr.mode = match qr.mode {
                    QrMode::Reduced => QrMode::Complete,
                    QrMode::Complete => QrMode::Reduced,
                };
            }
            run(&op, inputs)
        },
    },
];

fn contracted(tensor: &Tensor, axes: &[usize]) -> usize {
    axes.iter().map(|&axis| tensor.shape()[axis]).product()
}

fn ties_broken_the_other_way(op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
    match op {
        Op::ArgReduce(op, attrs) => {
            let mut attrs = attrs.clone();
            attrs.tie_break = match attrs.tie_break {
                TieBreak::Low => TieBreak::High,
                TieBreak::High => TieBreak::Low,
            };
            run(&Op::ArgReduce(*op, attrs), inputs)
        }
        // A descending sort as the flip of an ascending one, which is what reverses ties.
        Op::Argsort(sort) if sort.direction == Direction::Desc => {
            let mut ascending = sort.clone();
            ascending.direction = Direction::Asc;
            let sorted = run(&Op::Argsort(ascending), inputs)?;
            let flipped = sorted.iter().map(|tensor| flipped(tensor, sort.axis));
            flipped.collect()
        }
        _ => run(op, inputs),
    }
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

/// Elements from beyond the end are other elements: here, what `iota` holds.
fn starts_not_clamped(op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
    let results = run(op, inputs)?;
    let scalar = |input: &Input| {
        let element = number::elements(&input.tensor).next().unwrap_or(0);
        number::integer(input.tensor.dtype(), element).unwrap_or(0)
    };
    let (starts, lengths): (Vec<i128>, _) = match op {
        Op::Slice(op) => (
            op.starts.iter().map(|&start| start.into()).collect(),
            &op.lengths,
        ),
        Op::DynamicSlice(op) => (inputs[1..].iter().map(scalar).collect(), &op.lengths),
        _ => return Ok(results),
    };
    let fits = starts
        .iter()
        .zip(lengths.iter())
        .zip(inputs[0].tensor.shape().iter());
    let mut fits =
        fits.map(|((&start, &length), &dim)| start >= 0 && start + length as i128 <= dim as i128);
    if fits.all(|fits| fits) {
        return Ok(results);
    }
    let ty = results[0].ty();
    let count = ty.shape.size()?;
    let others = Values::Iota.fill(0, ty.dtype, Domain::Any, count);
    let others = others.map_err(|message| Error::new(ErrorKind::Internal, message))?;
    Ok(vec![rebuild(ty, others)?])
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
