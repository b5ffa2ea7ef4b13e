//! Random calls of every op, one trial each: `property::<layer>::<op>`. The engine is held against the
//! oracle; the backend against the oracle and, where that answers, `Nx.BinaryBackend`; the compiler
//! against the backend.
//!
//! The calls are the same in every run. `cargo xtask fuzz` makes others.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use emily_conformance::fuzz::{Find, fuzz};
use emily_conformance::layer::{self, Layer};
use emily_conformance::report::today;
use emily_flags::Required;
use emily_spec::{ROWS, Row};
use libtest_mimic::{Arguments, Failed, Trial};

/// Holds random calls on the engine and the backend against the oracle, and shrinks what fails.
#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
struct Options {
    #[command(flatten)]
    require: Required,
    #[command(flatten)]
    libtest: Arguments,
}

/// The layers, those that they are judged by, and how many calls of each op each answers: on the beam a
/// call takes longer.
const LAYERS: [(&str, &[&str], u32); 3] = [
    ("native", &[], 100),
    ("backend", &["nx"], 20),
    ("compiler", &["backend"], 10),
];

/// What Nx gives under defn otherwise than without, as the ledger says: an integer vector of an integer
/// alone, and no constant of an integer type from a float.
const OTHERWISE_UNDER_DEFN: [&str; 3] = ["constant", "eigh", "svd"];

const SEED: u64 = 20_261_127;

fn main() -> ExitCode {
    let options = Options::parse();
    let mut trials = Vec::new();
    let mut absences = Vec::new();
    let on_cpu = layer::all()
        .into_iter()
        .filter(|layer| layer.device() == "cpu");
    let all: Vec<Arc<dyn Layer>> = on_cpu.map(Arc::from).collect();
    for (name, below, calls) in LAYERS {
        let named = |name: &&str| {
            let layer = all.iter().find(|layer| layer.name() == *name);
            Arc::clone(layer.expect("there is such a layer"))
        };
        let layers: Vec<Arc<dyn Layer>> = below.iter().chain([&name]).map(named).collect();
        let absent = layers.iter().find_map(|layer| layer.available().err());
        if let Some(absent) = absent {
            let message = format!(
                "{name} did not run: {}\n  to enable it: {}",
                absent.reason, absent.remedy
            );
            if options.require.required.iter().any(|layer| layer == name) {
                let required = move || Err(format!("{name} is required: {message}").into());
                trials.push(Trial::test(format!("require::{name}"), required));
            } else {
                absences.push(message);
            }
            continue;
        }
        let differs = |row: &&&Row| OTHERWISE_UNDER_DEFN.contains(&row.name);
        let rows = ROWS
            .iter()
            .filter(|row| name != "compiler" || !differs(row));
        trials.extend(rows.map(|row| of_op(row, layers.clone(), name, calls)));
    }
    let conclusion = libtest_mimic::run(&options.libtest, trials);
    absences.iter().for_each(|absence| println!("{absence}"));
    conclusion.exit_code()
}

fn of_op(row: &'static Row, layers: Vec<Arc<dyn Layer>>, name: &'static str, calls: u32) -> Trial {
    Trial::test(format!("property::{name}::{}", row.name), move || {
        let layers: Vec<&dyn Layer> = layers.iter().map(|layer| &**layer).collect();
        match fuzz(row, &layers, calls, SEED).map_err(|error| error.to_string())? {
            None => Ok(()),
            Some(find) => Err(told(&find, name)),
        }
    })
}

fn told(find: &Find, layer: &str) -> Failed {
    let case = find.specimen.to_case(layer, &today());
    let case = case.unwrap_or_else(|error| error.to_string());
    let op = find.specimen.op.name();
    format!(
        "{}\n{case}  remedy: fix {layer}; the case belongs into fixtures/cases/found/{op}.toml, where\n  \
         cargo xtask fuzz --op {op} --layer {layer} writes what it finds",
        find.message
    )
    .into()
}
