//! Every op has a fact, and every dtype that its row takes has a case with an answer.
#![forbid(unsafe_code)]

use std::collections::{BTreeSet, HashSet};

use emily_conformance::case::{Body, Case, Want};
use emily_conformance::fixtures::{Fixtures, repository};
use emily_conformance::fuzz::{self, Specimen};
use emily_conformance::view::View;
use emily_spec::{DType, ErrorKind, Judged, Op, ROWS, Role, Row, TensorType};

#[test]
fn every_op_has_a_fact_with_an_answer() {
    let cases = cases();
    let states = |case: &Case| {
        case.readings.iter().any(|reading| match &reading.body {
            Body::Fact { want, .. } => match want {
                Want::Values(_) => true,
                // What is judged by what it promises has no other answer.
                Want::Oracle | Want::Recorded => matches!(case.row.judged, Judged::Promise { .. }),
                Want::Error(_) => false,
            },
            Body::Sweep(_) => false,
        })
    };
    let without: Vec<&str> = ROWS
        .iter()
        .filter(|row| !cases_of(row, &cases).any(states))
        .map(|row| row.name)
        .collect();
    assert!(without.is_empty(), "no fact says what {without:?} answers");
}

#[test]
fn every_dtype_that_an_op_takes_has_a_case_with_an_answer() {
    let cases = cases();
    let mut missing = Vec::new();
    for row in ROWS.iter() {
        let covered: BTreeSet<DType> = cases_of(row, &cases).flat_map(answered).collect();
        let taken = DType::ALL.into_iter().filter(|dtype| row.takes(*dtype));
        let open: Vec<&str> = taken
            .filter(|dtype| !covered.contains(dtype))
            .map(DType::name)
            .collect();
        if !open.is_empty() {
            missing.push(format!("{}: {}", row.name, open.join(" ")));
        }
    }
    assert!(
        missing.is_empty(),
        "no case has an answer for:\n{}",
        missing.join("\n")
    );
}

#[test]
fn every_dtype_that_an_op_takes_is_swept_in_every_view() {
    let cases = cases();
    let mut missing = Vec::new();
    // Without data there is nothing to come to be in one way or another.
    let has_data = |row: &&'static Row| (0..row.operands.len()).any(|i| row.role(i) == Role::Data);
    for row in ROWS.iter().copied().filter(has_data) {
        let swept: HashSet<(DType, View)> = cases_of(row, &cases).flat_map(swept).collect();
        let taken = DType::ALL.into_iter().filter(|dtype| row.takes(*dtype));
        for (dtype, (view, name)) in taken.flat_map(|d| View::ALL.map(|view| (d, view))) {
            if !swept.contains(&(dtype, view)) {
                missing.push(format!("{} {} {name}", row.name, dtype.name()));
            }
        }
    }
    let cells = missing.len();
    assert!(
        missing.is_empty(),
        "no sweep touches {cells} cells:\n{}",
        missing.join("\n")
    );
}

#[test]
fn every_op_whose_results_outgrow_its_operands_has_a_memory_error() {
    let cases = cases();
    let refused = |case: &Case| {
        let mut bodies = case.readings.iter().map(|reading| &reading.body);
        bodies.any(|body| match body {
            Body::Fact {
                want: Want::Error(refusal),
                ..
            } => refusal.kind == ErrorKind::Memory,
            Body::Fact { .. } | Body::Sweep(_) => false,
        })
    };
    let outgrows = |row: &'static Row| fuzz::calls(row, 1).take(200).any(|call| outgrown(&call));
    let without: Vec<&str> = ROWS
        .iter()
        .filter(|row| outgrows(row) && !cases_of(row, &cases).any(refused))
        .map(|row| row.name)
        .collect();
    assert!(
        without.is_empty(),
        "no fact says that {without:?} refuses results that are too large"
    );
}

/// Whether a result has more elements than the operands together, which have some.
fn outgrown(call: &Specimen) -> bool {
    let size = |ty: &TensorType| ty.shape.size().expect("is counted");
    let types: Vec<TensorType> = call.tensors.iter().map(|t| t.ty().clone()).collect();
    let operands: usize = types.iter().map(size).sum();
    let results = call.op.infer(&types);
    operands > 0 && results.is_ok_and(|results| results.iter().map(size).any(|n| n > operands))
}

/// The dtypes of the data in a case's sweeps, with how it came to be.
fn swept(case: &Case) -> HashSet<(DType, View)> {
    let plans = case
        .readings
        .iter()
        .flat_map(|reading| match &reading.body {
            Body::Sweep(plans) => plans.as_slice(),
            Body::Fact { .. } => &[],
        });
    let cells = plans.flat_map(|plan| {
        let data = plan
            .viewed()
            .filter(|(index, _)| case.row.role(*index) == Role::Data);
        data.map(|(_, dtype)| (dtype, plan.view()))
    });
    cells.collect()
}

fn cases() -> Vec<Case> {
    Fixtures::load(&repository())
        .expect("the fixtures can be read")
        .cases
}

fn cases_of<'a>(row: &'static Row, cases: &'a [Case]) -> impl Iterator<Item = &'a Case> {
    cases
        .iter()
        .filter(move |case| case.row.name == row.name && case.is_for("native"))
}

/// The dtypes of a case's data: of the operands, or of what is made out of none that is data.
fn answered(case: &Case) -> BTreeSet<DType> {
    let mut found = BTreeSet::new();
    for reading in &case.readings {
        match &reading.body {
            Body::Fact {
                want: Want::Error(_),
                ..
            } => {}
            Body::Fact { call, .. } => found.extend(data(case.row, &call.op, &call.types())),
            Body::Sweep(plans) => {
                for plan in plans {
                    found.extend(data(case.row, plan.op(), &plan.types()));
                }
            }
        }
    }
    found
}

fn data(row: &Row, op: &Op, operands: &[TensorType]) -> Vec<DType> {
    if !(0..operands.len()).any(|index| row.role(index) == Role::Data) {
        let results = op.infer(operands).expect("the case has an answer");
        return results.iter().map(|ty| ty.dtype).collect();
    }
    let data = operands
        .iter()
        .enumerate()
        .filter(|(index, _)| row.role(*index) == Role::Data);
    data.map(|(_, ty)| ty.dtype).collect()
}
