//! A suite that never failed is unproven: layers with one fault each, which the cases must catch.
//!
//! A canary is the oracle with a fault that real implementations have had. Each is tried on the ops
//! it can befall, one trial `canary::<fault>::<op>`, and must turn at least one case of that op red.
#![forbid(unsafe_code)]

#[path = "canaries/faults.rs"]
mod faults;

use std::process::ExitCode;
use std::sync::Arc;

use emily_conformance::case::Case;
use emily_conformance::fixtures::{Fixtures, repository};
use emily_conformance::judge::judge;
use emily_conformance::layer::{Absent, Layer, Reference};
use emily_conformance::ledger::Ledger;
use emily_conformance::outcome::Outcome;
use emily_conformance::view::Input;
use emily_spec::{Op, Result, Row, Tensor};
use faults::{Fault, faults};
use libtest_mimic::{Arguments, Failed, Trial};

/// The oracle with a fault.
struct Faulty(&'static Fault);

impl Layer for Faulty {
    fn name(&self) -> &'static str {
        "canary"
    }

    fn reference(&self) -> Reference {
        Reference::Oracle
    }

    fn available(&self) -> std::result::Result<(), Absent> {
        Ok(())
    }

    fn run(&self, op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
        (self.0.run)(op, inputs)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let fixtures = match Fixtures::load(&repository()) {
        Ok(fixtures) => Arc::new(fixtures),
        Err(problems) => {
            for problem in &problems {
                eprintln!("error: {problem}");
            }
            return ExitCode::from(101);
        }
    };
    let trials = faults().flat_map(|fault| {
        let fixtures = Arc::clone(&fixtures);
        fault.ops().into_iter().map(move |op| {
            let fixtures = Arc::clone(&fixtures);
            Trial::test(format!("canary::{}::{op}", fault.name), move || {
                is_caught(&fixtures.cases, fault, op)
            })
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Passes when a case of the op tells the faulty layer from the oracle.
fn is_caught(cases: &[Case], fault: &'static Fault, op: &str) -> std::result::Result<(), Failed> {
    let row = Row::named(op).ok_or_else(|| Failed::from(format!("there is no op {op}")))?;
    let layer = Faulty(fault);
    let mut tried = 0;
    for case in cases.iter().filter(|case| case.row.name == row.name) {
        for reading in &case.readings {
            tried += 1;
            let results = judge(case, reading, &[&layer], &Ledger::default());
            if results
                .iter()
                .any(|result| result.outcome == Outcome::Failed)
            {
                return Ok(());
            }
        }
    }
    Err(format!(
        "{tried} trials of {op} passed on an oracle with a fault: {}",
        fault.what
    )
    .into())
}
