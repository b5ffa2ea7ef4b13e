//! Faults of gradients, in the place of the layer that differentiates.

use emily_conformance::exam::{Gradients, Questions, StandIn};
use emily_conformance::number::{self, Format};
use emily_conformance::view::Input;
use emily_oracle::grad::{Slope, finite_difference};
use emily_spec::{Arity, Error, ErrorKind, Grad, Op, ROWS, Result, ResultDType, Role, Row, Tensor};
use libtest_mimic::{Failed, Trial};

use super::stack::{Stack, Verdict, tries};
use super::{survives, unfit};

/// The slopes by each operand, row-major.
type Slopes = Vec<Vec<Slope>>;

/// A mistake in gradients.
struct Fault {
    name: &'static str,
    what: &'static str,
    befalls: fn(&Row) -> bool,
    /// Changes them; the number is how far off they may be, relative to the largest magnitude.
    change: fn(&mut Slopes, f64),
}

/// What most faults have.
const FAULT: Fault = Fault {
    name: "",
    what: "",
    befalls: |_| true,
    change: |_, _| {},
};

static FAULTS: &[Fault] = &[
    Fault {
        name: "sign_flipped",
        what: "gradients have the other sign",
        change: |slopes, _| each(slopes, |x| -x),
        ..FAULT
    },
    Fault {
        name: "doubled",
        what: "gradients are twice as large",
        change: |slopes, _| each(slopes, |x| 2.0 * x),
        ..FAULT
    },
    Fault {
        name: "zero",
        what: "gradients are zero",
        change: |slopes, _| each(slopes, |_| 0.0),
        ..FAULT
    },
    Fault {
        name: "nan",
        what: "one slope is NaN",
        change: |slopes, _| {
            if let Some(slope) = slopes.iter_mut().flatten().next() {
                slope.value = f64::NAN;
            }
        },
        ..FAULT
    },
    Fault {
        name: "one_slope_off",
        what: "one slope is twice as far off as the row allows",
        change: |slopes, allowed| {
            for slopes in slopes {
                let largest = slopes.iter().map(|slope| slope.magnitude);
                let largest = largest.fold(0.0, f64::max);
                if let Some(slope) = slopes.last_mut() {
                    slope.value += 2.0 * (allowed * largest + slope.error);
                }
            }
        },
        ..FAULT
    },
    Fault {
        name: "last_slope_stale",
        what: "the last slope of two or more is never written",
        change: |slopes, _| {
            for slopes in slopes {
                if let [.., _, last] = &mut slopes[..] {
                    last.value = 0.0;
                }
            }
        },
        ..FAULT
    },
    Fault {
        name: "factor_missing",
        what: "the last operand's gradient lacks a factor of 3/2",
        befalls: differentiates_two,
        change: |slopes, _| {
            if let Some(last) = slopes.last_mut() {
                last.iter_mut().for_each(|slope| slope.value /= 1.5);
            }
        },
    },
    Fault {
        name: "operands_swapped",
        what: "the operands' gradients change places",
        befalls: differentiates_two,
        change: |slopes, _| slopes.reverse(),
    },
];

fn each(slopes: &mut Slopes, change: fn(f64) -> f64) {
    let all = slopes.iter_mut().flatten();
    all.for_each(|slope| slope.value = change(slope.value));
}

/// Whether slopes by two operands are asked: where their dtypes meet in the result's.
fn differentiates_two(row: &Row) -> bool {
    let meet = matches!(row.result, ResultDType::Merged | ResultDType::Floating);
    let another = (1..row.operands.len().max(2)).any(|at| row.role(at) == Role::Data);
    meet && another && row.arity != Arity::Exactly(1)
}

/// A trial per fault and differentiable op.
pub(crate) fn trials(stack: &'static Stack) -> Vec<Trial> {
    let mut trials = Vec::new();
    for row in ROWS.iter().copied() {
        let Some(grad) = row.grad else { continue };
        for fault in FAULTS.iter().filter(|fault| (fault.befalls)(row)) {
            let name = format!("canary::gradients_{}::{}", fault.name, row.name);
            trials.push(Trial::test(name, move || dies(stack, fault, row, grad)));
        }
    }
    trials
}

fn dies(
    stack: &Stack,
    fault: &'static Fault,
    row: &'static Row,
    grad: Grad,
) -> std::result::Result<(), Failed> {
    let place = stack.place("grad");
    let exam = stack.exam(row, Questions::All);
    let faulty = |op: &Op, inputs: &[Input], wrt: &[usize], weights: &[Tensor]| {
        gradients(op, inputs, wrt, weights, |slopes| {
            (fault.change)(slopes, grad.eps * coarsest(op, inputs))
        })
    };
    let healthy = |op: &Op, inputs: &[Input], wrt: &[usize], weights: &[Tensor]| {
        gradients(op, inputs, wrt, weights, |_| {})
    };
    let [faulty, healthy] = [&faulty as &Gradients<'_>, &healthy]
        .map(|answers| StandIn::differentiating(place.layer, answers));
    match tries(exam, place, faulty, healthy, 0) {
        Verdict::Dies(_) => Ok(()),
        Verdict::Unfit(at) => Err(unfit(place.layer.name(), at)),
        Verdict::Lives => {
            let asked = exam.asked_of(place.layer);
            let alive = format!("{}, in {asked} facts and combinations", place.layer.name());
            Err(survives(fault.what, row, &[alive]))
        }
    }
}

/// The eps of the narrowest dtype among the operands and results.
fn coarsest(op: &Op, inputs: &[Input]) -> f64 {
    let mut types: Vec<_> = inputs
        .iter()
        .map(|input| input.tensor.ty().clone())
        .collect();
    types.extend(op.infer(&types).unwrap_or_default());
    let formats = types
        .iter()
        .filter_map(|ty| Format::of(ty.dtype.to_floating()));
    formats.fold(0.0, |eps: f64, format| eps.max(format.value(format.eps())))
}

/// Finite differences, changed, in the dtypes of the operands.
fn gradients(
    op: &Op,
    inputs: &[Input],
    wrt: &[usize],
    weights: &[Tensor],
    change: impl Fn(&mut Slopes),
) -> Result<Vec<Tensor>> {
    let tensors: Vec<Tensor> = inputs.iter().map(|input| input.tensor.clone()).collect();
    let mut slopes = finite_difference(op, &tensors, wrt, weights)?;
    let sizes: Vec<usize> = slopes.iter().map(Vec::len).collect();
    change(&mut slopes);
    let odd = || Error::new(ErrorKind::Internal, "a canary lost slopes");
    let operands = wrt.iter().map(|&index| &tensors[index]);
    let gradient = |((operand, slopes), size): ((&Tensor, &Vec<Slope>), usize)| {
        let format = Format::of(operand.dtype()).ok_or_else(odd)?;
        // A swapped gradient has another shape; to be seen it must have other slopes, too.
        let slopes = slopes.iter().cycle().take(size);
        let all = slopes.map(|slope| format.nearest(slope.value));
        number::tensor(operand.ty().clone(), all).ok_or_else(odd)
    };
    operands.zip(&slopes).zip(sizes).map(gradient).collect()
}
