//! Which layers a case is for.

use std::collections::BTreeSet;

use emily_spec::{DType, Op, Role, TensorType};

use crate::case::{Body, Case, Reading};
use crate::gradients;
use crate::layer::{Layer, Question, Reference};

/// True when a case at a dtype is for this layer.
pub(crate) fn is_planned(case: &Case, reading: &Reading, layer: &dyn Layer) -> bool {
    is_meant(case, reading, layer) && takes_one(layer, reading)
}

/// True when it would be, but none of its calls can be said in the layer's words.
pub(super) fn is_left_out(case: &Case, reading: &Reading, layer: &dyn Layer) -> bool {
    is_meant(case, reading, layer) && !takes_one(layer, reading)
}

fn is_meant(case: &Case, reading: &Reading, layer: &dyn Layer) -> bool {
    let judged = layer.reference() != Reference::Differences || differentiates(case, reading);
    case.is_for(layer.asked_as()) && judged && (layer.has(DType::F64) || !uses_f64(reading))
}

/// True when the layer takes one of the reading's calls.
fn takes_one(layer: &dyn Layer, reading: &Reading) -> bool {
    signatures(&reading.body).iter().any(|(op, types)| {
        layer.takes(&Question {
            op,
            types,
            generated: matches!(reading.body, Body::Sweep(_)),
            inputs: None,
        })
    })
}

/// The ops of the calls with their operands' types.
pub(crate) fn signatures(body: &Body) -> Vec<(&Op, Vec<TensorType>)> {
    match body {
        Body::Sweep(plans) => plans.iter().map(|plan| (plan.op(), plan.types())).collect(),
        Body::Fact { call, .. } => vec![(&call.op, call.types())],
    }
}

/// The dtypes that a trial counts at: its own; of an op without data, whose trials are named after its
/// words of codes, those of what it gives.
pub(super) fn counted(case: &Case, reading: &Reading) -> BTreeSet<String> {
    let of_codes = |(op, types): (&Op, Vec<TensorType>)| {
        let role = |index| case.row.role(index);
        let is_of_codes = !types.is_empty() && (0..types.len()).all(|i| role(i) == Role::Codes);
        let results = op.infer(&types).ok().filter(|_| is_of_codes)?;
        Some(results.first()?.dtype.name().to_owned())
    };
    let named: BTreeSet<String> = signatures(&reading.body)
        .into_iter()
        .filter_map(of_codes)
        .collect();
    match named.is_empty() {
        true => BTreeSet::from([reading.dtype.clone()]),
        false => named,
    }
}

/// True when the case has gradients at this dtype.
fn differentiates(case: &Case, reading: &Reading) -> bool {
    let Some(grad) = &case.grad else {
        return false;
    };
    let wide = |ty: &TensorType| gradients::DTYPES.contains(&ty.dtype);
    signatures(&reading.body).iter().all(|(op, types)| {
        let wrt = grad.operands(op, types);
        !wrt.is_empty() && wrt.iter().all(|&index| types.get(index).is_some_and(wide))
    })
}

fn uses_f64(reading: &Reading) -> bool {
    match &reading.body {
        Body::Sweep(plans) => plans.iter().any(|plan| plan.uses(DType::F64)),
        Body::Fact { call, .. } => call.uses(DType::F64),
    }
}
