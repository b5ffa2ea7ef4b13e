//! Random calls of every op, held against the oracle, one trial each: `property::<layer>::<op>`. The
//! engine and the backend answer; what they share with the other layers, the cases judge.
//!
//! The calls are the same in every run. `cargo xtask fuzz` makes others.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use emily_conformance::fuzz::{Find, fuzz};
use emily_conformance::layer::{self, Layer};
use emily_spec::{ROWS, Row};
use libtest_mimic::{Arguments, Failed, Trial};

/// Holds random calls on the engine and the backend against the oracle, and shrinks what fails.
#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
struct Options {
    #[command(flatten)]
    libtest: Arguments,
}

/// The layers, and how many calls of each op each answers: on the beam a call takes longer.
const LAYERS: [(&str, u32); 2] = [("native", 100), ("backend", 20)];

const SEED: u64 = 20_261_127;

fn main() -> ExitCode {
    let options = Options::parse();
    let mut trials = Vec::new();
    let mut absences = Vec::new();
    for layer in layer::all() {
        let named = |(name, _): &&(&str, u32)| *name == layer.name() && layer.device() == "cpu";
        let Some((name, calls)) = LAYERS.iter().find(named) else {
            continue;
        };
        if let Err(absent) = layer.available() {
            absences.push(format!(
                "{name} did not run: {}\n  to enable it: {}",
                absent.reason, absent.remedy
            ));
            continue;
        }
        let layer: Arc<dyn Layer> = layer.into();
        trials.extend(
            ROWS.iter()
                .map(|row| of_op(row, Arc::clone(&layer), *calls)),
        );
    }
    assert_eq!(
        trials.len() + absences.len() * ROWS.len(),
        LAYERS.len() * ROWS.len(),
        "every layer has its trials, or says why not"
    );
    let conclusion = libtest_mimic::run(&options.libtest, trials);
    absences.iter().for_each(|absence| println!("{absence}"));
    conclusion.exit_code()
}

fn of_op(row: &'static Row, layer: Arc<dyn Layer>, calls: u32) -> Trial {
    let name = format!("property::{}::{}", layer.name(), row.name);
    Trial::test(name, move || {
        match fuzz(row, &*layer, calls, SEED).map_err(|error| error.to_string())? {
            None => Ok(()),
            Some(find) => Err(told(&find, layer.name())),
        }
    })
}

fn told(find: &Find, layer: &str) -> Failed {
    let case = find.specimen.to_case(layer, "the day it was red");
    let case = case.unwrap_or_else(|error| error.to_string());
    let op = find.specimen.op.name();
    format!(
        "{}\n{case}  remedy: fix {layer}; the case belongs into fixtures/cases/found/{op}.toml, where\n  \
         cargo xtask fuzz --op {op} --layer {layer} writes what it finds",
        find.message
    )
    .into()
}
