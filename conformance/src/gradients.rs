//! Gradient sweeps: of every differentiable op, wherever its other cases are.
//!
//! Each way in which an op's cases call it, by its attributes and its operands' shapes, is
//! differentiated once, by all operands that it can be differentiated by, at values drawn from the
//! row's `Grad.domain`. An op gets its gradients judged by having cases at all.

use std::collections::HashSet;

use emily_spec::{
    DType, Domain, Fourier, Indexed, Op, QrMode, Role, Row, Tensor, TensorType, TransformA,
};

use crate::case::{Body, Case, GradCase, Reading, Want};
use crate::number::{self, Format};
use crate::plan::{Operand, Plan};
use crate::values::Values;
use crate::view::View;

/// The name of the cases made here, which no case in a file has.
pub(crate) const NAME: &str = "gradients";

/// The dtypes that gradients are judged in: those of narrower floats are rounded to more than a
/// gradient's tolerance.
pub(crate) const DTYPES: [DType; 2] = [DType::F32, DType::F64];

/// The most elements that an operand or a result may have. Differences take twenty evaluations an
/// element, and the sums in gradients keep to the few roundings that the row's tolerance is made of.
const LARGEST: usize = 100;

/// The weights by which results count in the sum that is differentiated: neighbours differ, so that a
/// gradient that arrives at another element shows, in steps that every float has. Singular vectors,
/// whose signs are open, count nothing.
pub fn weights(op: &Op, results: &[TensorType]) -> Vec<Tensor> {
    let weights = |(result, ty): (usize, &TensorType)| {
        let format = Format::of(ty.dtype)?;
        let counts = !matches!(op, Op::Svd(_)) || result == 1;
        let weight = |i: usize| match counts {
            true => format.nearest((((5 * i) % 13) as f64 - 6.5) / 4.0),
            false => 0,
        };
        number::tensor(ty.clone(), (0..ty.shape.size().ok()?).map(weight))
    };
    results.iter().enumerate().filter_map(weights).collect()
}

/// Whether Nx's gradient of the call is its slope, on any backend.
fn has_gradient(op: &Op, operands: &[Operand]) -> bool {
    let types: Vec<TensorType> = operands
        .iter()
        .map(|operand| operand.ty().clone())
        .collect();
    let types = &types[..];
    let shape = types.first().map_or(&[][..], |ty| &ty.shape);
    let (rows, last) = match *shape {
        [.., rows, last] => (rows, last),
        [last] => (1, last),
        [] => (1, 1),
    };
    let lacks = [
        // No slope is a number.
        matches!(op, Op::ScaledDotProductAttention(op) if op.has_fully_masked_queries(types)),
        // Nx takes the last axis for the one that is cut or filled up.
        matches!(op, Op::Fourier(kind, op)
            if op.axis + 1 < shape.len() && op.length(*kind, shape[op.axis]) != last),
        matches!(op, Op::Fourier2(_, op) if op.lengths(shape).iter().any(|&(_, n)| n != last)),
        // It mirrors all elements but two, and cannot mirror none.
        matches!(op, Op::Fourier(Fourier::Irfft, op)
            if op.length(Fourier::Irfft, shape[op.axis]) <= 2),
        // It inverts R.
        matches!(op, Op::Qr(op) if rows < last || rows > last && op.mode == QrMode::Complete),
        // It has none of wide matrices and batches.
        matches!(op, Op::Svd(_) if rows < last || shape.len() > 2),
        // It makes complex numbers of real ones.
        matches!(op, Op::TriangularSolve(op) if op.transform == TransformA::Conjugate),
        // It adds 10⁻¹⁰ to the diagonal.
        matches!(op, Op::Cholesky(_) if types[0].dtype == DType::F64),
        // It has one of updates that do not stay, too.
        matches!((op, operands), (Op::Indexed(Indexed::IndexedPut, _), [_, Operand::Fixed(indices), _])
            if repeats(indices)),
    ];
    !lacks.contains(&true)
}

/// Whether two of the indices, along the last axis, are equal.
fn repeats(indices: &Tensor) -> bool {
    let length = indices.ty().shape.last().copied().unwrap_or(1).max(1);
    let elements: Vec<_> = number::elements(indices).collect();
    let mut seen = HashSet::new();
    elements.chunks(length).any(|index| !seen.insert(index))
}

/// What an upper triangular system's operands are drawn from.
const UPPER: &[Domain] = &[Domain::Triangular { upper: true }, Domain::Range(-2.0, 2.0)];

/// One case per differentiable op that these cases are about.
pub fn cases(cases: &[Case]) -> Vec<Case> {
    let mut seen = HashSet::new();
    let differentiable = cases.iter().filter(|case| case.row.grad.is_some());
    let firsts = differentiable.filter(|case| seen.insert(case.row.name));
    firsts.filter_map(|first| case(first, cases)).collect()
}

/// The case of the op that `first` is about, at the place of that.
fn case(first: &Case, cases: &[Case]) -> Option<Case> {
    let row = first.row;
    let of_op: Vec<&Case> = cases
        .iter()
        .filter(|case| case.row.name == row.name)
        .collect();
    let reading = |dtype: DType| {
        let plans = plans(row, &of_op, dtype);
        (!plans.is_empty()).then(|| Reading {
            dtype: dtype.name().to_owned(),
            body: Body::Sweep(plans),
        })
    };
    let readings: Vec<Reading> = DTYPES.into_iter().filter_map(reading).collect();
    (!readings.is_empty()).then(|| Case {
        name: NAME.to_owned(),
        why: Some("the ways in which the op's other cases call it".to_owned()),
        tolerance: None,
        layers: Some(vec!["grad".to_owned()]),
        grad: Some(GradCase { wrt: None }),
        example: false,
        readings,
        ..first.clone()
    })
}

/// The op's calls at a dtype, each once.
fn plans(row: &Row, cases: &[&Case], dtype: DType) -> Vec<Plan> {
    let domain = row.grad.map_or(&[][..], |grad| grad.domain);
    let mut seen = HashSet::new();
    let mut plans = Vec::new();
    for case in cases {
        for reading in &case.readings {
            for (op, operands) in calls(reading) {
                let Some(operands) = differentiable(&op, operands, domain, dtype) else {
                    continue;
                };
                let Ok(Some(plan)) = Plan::new(&op, &operands, View::Plain) else {
                    continue;
                };
                if is_small(&plan) && seen.insert(format!("{op:?} {:?}", plan.types())) {
                    plans.push(plan);
                }
            }
        }
    }
    plans
}

/// The ops of the reading's calls with their operands; none where the call is an error.
fn calls(reading: &Reading) -> Vec<(Op, Vec<Operand>)> {
    match &reading.body {
        Body::Sweep(plans) => plans
            .iter()
            .map(|plan| (plan.op().clone(), plan.operands().to_vec()))
            .collect(),
        Body::Fact {
            want: Want::Error(_),
            ..
        } => Vec::new(),
        Body::Fact { call, .. } => {
            let operands = call.inputs.iter();
            let operands = operands.map(|input| Operand::Fixed(input.tensor.clone()));
            vec![(call.op.clone(), operands.collect())]
        }
    }
}

/// The operands with every number drawn from the domain, floats at this dtype; indices stay as they
/// are. `None` where there is a complex number or a float of fewer bits, nothing to differentiate by, or a
/// result that is NaN.
fn differentiable(
    op: &Op,
    operands: Vec<Operand>,
    domain: &[Domain],
    dtype: DType,
) -> Option<Vec<Operand>> {
    let row = op.row();
    let upper = matches!(op, Op::TriangularSolve(op) if op.upper);
    let domain = if upper { UPPER } else { domain };
    let drawn = |(index, operand): (usize, Operand)| {
        let ty = operand.ty();
        let dtype = match row.role(index) {
            Role::Index | Role::Codes => return Some(operand),
            Role::Data | Role::Predicate if ty.dtype.is_integer() => ty.dtype,
            Role::Data | Role::Predicate => dtype,
        };
        let domain = domain.get(index).or(domain.last())?;
        let fits = ty.dtype.is_integer() || DTYPES.contains(&ty.dtype);
        fits.then(|| Operand::Filled {
            ty: TensorType::new(dtype, ty.shape.clone()),
            values: Values::Domain { seed: 0 },
            domain: *domain,
        })
    };
    let operands: Vec<Operand> = operands
        .into_iter()
        .enumerate()
        .map(drawn)
        .collect::<Option<_>>()?;
    let types: Vec<TensorType> = operands
        .iter()
        .map(|operand| operand.ty().clone())
        .collect();
    let results = op.infer(&types).ok()?;
    if !has_gradient(op, &operands) {
        return None;
    }
    let by = emily_oracle::grad::operands(op, &types);
    // A gradient that comes back through a narrower float is f32 in Nx, whatever the operand.
    let wide = |ty: &TensorType| match dtype == DType::F64 {
        true => ty.dtype == dtype,
        false => !ty.dtype.is_integer(),
    };
    // Indices beside a first result have no slope.
    let slopes = results.iter().enumerate();
    let mut slopes = slopes.filter(|(i, ty)| *i == 0 || !ty.dtype.is_integer());
    (!by.is_empty() && slopes.all(|(_, ty)| wide(ty))).then_some(operands)
}

fn is_small(plan: &Plan) -> bool {
    let results = plan.op().infer(&plan.types()).unwrap_or_default();
    let mut types = plan.types().into_iter().chain(results);
    types.all(|ty| {
        ty.shape
            .size()
            .is_ok_and(|size| (1..=LARGEST).contains(&size))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use emily_spec::{Arity, ROWS, ResultDType};

    use super::*;
    use crate::fixtures::{Fixtures, repository};

    #[test]
    fn every_differentiable_op_is_differentiated_by_each_of_its_operands() {
        let fixtures = Fixtures::load(&repository()).unwrap();
        for row in ROWS.iter().filter(|row| row.grad.is_some()) {
            let case = fixtures
                .cases
                .iter()
                .find(|case| case.row.name == row.name && case.name == NAME);
            let case = case.unwrap_or_else(|| panic!("{} has no gradients", row.name));
            let dtypes: Vec<_> = case.readings.iter().map(|reading| &reading.dtype).collect();
            // Of f64 there is no complex dtype, and `has_gradient` says the rest.
            let narrow = matches!(row.result, ResultDType::Complex | ResultDType::Parts);
            let narrow = narrow || row.name == "cholesky";
            assert_eq!(
                dtypes.len(),
                if narrow { 1 } else { DTYPES.len() },
                "{}",
                row.name
            );
            for reading in &case.readings {
                let Body::Sweep(plans) = &reading.body else {
                    panic!("a sweep")
                };
                let by = |plan: &Plan| emily_oracle::grad::operands(plan.op(), &plan.types());
                let mut named = row.operands.len();
                match row.arity {
                    Arity::Exactly(n) | Arity::Within(_, n) => {
                        assert_eq!(n, named, "{} names its operands", row.name);
                    }
                    // One more than there are names is the last one's second.
                    Arity::AtLeast(_) => named += 1,
                }
                let found: BTreeSet<usize> = plans.iter().flat_map(by).collect();
                let found = found.into_iter().filter(|&operand| operand < named);
                let data = (0..named).filter(|&operand| row.role(operand) == Role::Data);
                assert!(found.eq(data), "{}", row.name);
            }
        }
    }
}
