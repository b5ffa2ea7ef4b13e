//! Every mutant of every op, one trial each: `mutant::<op>::<mutant>::<group of dtypes>`. It takes the
//! place of each layer that would notice.
//!
//! `cargo xtask mutants` is this. Equivalent mutants are no trials; the table at the end counts them.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use clap::Parser;
use emily_conformance::exam::{Exam, Places, Questions, StandIn};
use emily_conformance::fixtures::{Fixtures, repository};
use emily_conformance::mutants::{Group, Mutant, Tried, Verdict, table};
use emily_conformance::view::Input;
use emily_spec::{Op, ROWS, Row};
use libtest_mimic::{Arguments, Failed, Trial};

/// Plants systematic mistakes in the oracle, and demands that the cases catch each one.
#[derive(Debug, Parser)]
#[command(disable_version_flag = true)]
struct Options {
    /// Only this op. May be given again.
    #[arg(long = "op", value_name = "OP")]
    ops: Vec<String>,
    #[command(flatten)]
    libtest: Arguments,
}

type Verdicts = Arc<Mutex<Vec<Tried>>>;

fn main() -> ExitCode {
    let options = Options::parse();
    let fixtures: &'static Fixtures = match Fixtures::load(&repository()) {
        Ok(fixtures) => Box::leak(Box::new(fixtures)),
        Err(problems) => {
            for problem in &problems {
                eprintln!("error: {problem}");
            }
            return ExitCode::from(101);
        }
    };
    if let Some(op) = options.ops.iter().find(|op| Row::named(op).is_none()) {
        eprintln!("error: there is no op {op}");
        return ExitCode::from(101);
    }
    let places: &'static Places = Box::leak(Box::default());
    let verdicts = Verdicts::default();
    let mut trials = Vec::new();
    let chosen =
        |row: &&&'static Row| options.ops.is_empty() || options.ops.iter().any(|op| op == row.name);
    for row in ROWS.iter().filter(chosen) {
        for group in Group::of_row(row) {
            trials.extend(of_group(fixtures, places, row, group, &verdicts));
        }
    }
    let conclusion = libtest_mimic::run(&options.libtest, trials);
    if !options.libtest.list && !options.libtest.exact {
        let mut verdicts = verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        let place = |tried: &Tried| ROWS.iter().position(|row| row.name == tried.op);
        verdicts.sort_by_key(place);
        print!("{}", table(&verdicts));
    }
    conclusion.exit_code()
}

/// The trials of one op in one group; equivalents are noted at once.
fn of_group(
    fixtures: &'static Fixtures,
    places: &'static Places,
    row: &'static Row,
    group: Group,
    verdicts: &Verdicts,
) -> Vec<Trial> {
    let exam: Arc<OnceLock<Exam<'static>>> = Arc::default();
    let mut trials = Vec::new();
    for mutant in Mutant::all(row) {
        if mutant.equivalent(row, group).is_some() {
            note(verdicts, row, mutant, Verdict::Equivalent);
            continue;
        }
        let (exam, verdicts) = (Arc::clone(&exam), Arc::clone(verdicts));
        let name = format!("mutant::{}::{}::{group}", row.name, mutant.name());
        trials.push(Trial::test(name, move || {
            let exam = exam.get_or_init(|| Exam::new(&fixtures.cases, row, Questions::Of(group)));
            let lives = lives(places, exam, mutant);
            let caught = lives.is_empty();
            let verdict = if caught {
                Verdict::Caught
            } else {
                Verdict::Missed
            };
            note(&verdicts, row, mutant, verdict);
            if caught {
                Ok(())
            } else {
                Err(missed(row, group, exam, &lives))
            }
        }));
    }
    trials
}

/// The layers in whose places no case is red for the mutant.
fn lives(places: &Places, exam: &Exam<'_>, mutant: Mutant) -> Vec<&'static str> {
    let answers = |op: &Op, inputs: &[Input]| mutant.run(op, inputs);
    let mut first = 0;
    let mut lives = Vec::new();
    for name in mutant.layers() {
        let place = places.find(name).expect("every layer has a place");
        let layer = StandIn::answering(place.layer, &answers);
        match exam.first_red(layer, &place.below(), first) {
            Some(at) => first = at,
            None => lives.push(*name),
        }
    }
    lives
}

fn note(verdicts: &Verdicts, row: &'static Row, mutant: Mutant, verdict: Verdict) {
    let mut all = verdicts.lock().unwrap_or_else(PoisonError::into_inner);
    all.push(Tried {
        op: row.name,
        idea: mutant.idea(),
        verdict,
    });
}

fn missed(row: &Row, group: Group, exam: &Exam<'_>, lives: &[&str]) -> Failed {
    let (count, lives) = (exam.len(), lives.join(", "));
    let (family, name) = (row.family, row.name);
    format!(
        "all {count} facts and combinations of {name} on {group} take this for the oracle, in the \
         place of {lives}\n  \
         remedy: a case in fixtures/cases/{family}/{name}.toml that tells them apart"
    )
    .into()
}
