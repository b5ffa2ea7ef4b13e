//! A suite that never failed is unproven: layers with one fault each, which the cases must catch.
//!
//! A canary is the oracle with a fault that real implementations have had. A fault chooses its ops by
//! their rows; a trial `canary::<fault>::<op>` puts it in the place of every layer that would notice,
//! once per group of dtypes, and at each place in each group a case must turn red. Where the fault
//! shows on no special value at all, as a swap of a sum's operands, it is *equivalent*; the line at
//! the end counts those. Gradients have canaries of their own.
#![deny(clippy::wildcard_enum_match_arm)]
#![forbid(unsafe_code)]

#[path = "canaries/faults.rs"]
mod faults;
#[path = "canaries/gradients.rs"]
mod gradients;
#[path = "canaries/stack.rs"]
mod stack;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use emily_conformance::exam::{Questions, StandIn};
use emily_conformance::fixtures::{Fixtures, repository};
use emily_conformance::mutants::Group;
use emily_conformance::view::Input;
use emily_spec::{Op, ROWS, Row};
use faults::{Befalls, Fault, faults};
use libtest_mimic::{Arguments, Failed, Trial};
use stack::{Stack, Verdict, tries};

/// Deaths of canaries, and faults that change nothing.
#[derive(Default)]
struct Count {
    died: AtomicUsize,
    equivalent: AtomicUsize,
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let fixtures: &'static Fixtures = match Fixtures::load(&repository()) {
        Ok(fixtures) => Box::leak(Box::new(fixtures)),
        Err(problems) => {
            for problem in &problems {
                eprintln!("error: {problem}");
            }
            return ExitCode::from(101);
        }
    };
    let stack: &'static Stack = Box::leak(Box::new(Stack::new(&fixtures.cases)));
    let count: &'static Count = Box::leak(Box::default());
    let mut trials = gradients::trials(stack);
    for fault in faults() {
        for row in ROWS.iter().copied().filter(|row| fault.asks(row)) {
            let name = format!("canary::{}::{}", fault.name, row.name);
            trials.push(Trial::test(name, move || dies(stack, count, fault, row)));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list && !arguments.exact {
        let [died, equivalent] =
            [&count.died, &count.equivalent].map(|count| count.load(Ordering::Relaxed));
        println!("canaries: died {died} times, {equivalent} faults are equivalent");
    }
    conclusion.exit_code()
}

impl Fault {
    fn asks(&self, row: &Row) -> bool {
        !self.exams(row).is_empty() || self.exception(row).is_some()
    }

    /// The calls that it can befall.
    fn exams(&self, row: &Row) -> Vec<Questions> {
        match self.befalls {
            Befalls::Refusals => vec![Questions::Refused],
            Befalls::Calls(befalls) => {
                let groups = Group::of_row(row).into_iter();
                let befallen = groups.filter(|group| befalls(row, *group));
                befallen.map(Questions::Of).collect()
            }
        }
    }

    fn exception(&self, row: &Row) -> Option<&'static str> {
        let entry = self.except.iter().find(|(kind, _)| *kind == row.kind);
        entry.map(|(_, reason)| *reason)
    }
}

/// Passes when the canary dies wherever it should, and of an op that is excepted nowhere.
fn dies(stack: &Stack, count: &Count, fault: &Fault, row: &'static Row) -> Result<(), Failed> {
    let answers = |op: &Op, inputs: &[Input]| (fault.run)(op, inputs);
    let exams = fault.exams(row);
    let mut alive = Vec::new();
    let mut died = 0;
    for asked in &exams {
        let exam = stack.exam(row, *asked);
        let mut first = 0;
        let mut lives = Vec::new();
        for name in fault.layers {
            let place = stack.place(name);
            // Nx's own types refuse what the contract does.
            if *asked == Questions::Refused && exam.asked_of(place.layer) == 0 {
                continue;
            }
            let faulty = StandIn::answering(place.layer, &answers);
            match tries(exam, place, faulty, StandIn::healthy(place.layer), first) {
                Verdict::Dies(at) => {
                    first = at;
                    died += 1;
                }
                Verdict::Unfit(at) => return Err(unfit(name, at)),
                Verdict::Lives if !fault.shows(row, *asked) => {
                    count.equivalent.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Verdict::Lives => lives.push(*name),
            }
        }
        if !lives.is_empty() {
            let (lives, questions) = (lives.join(", "), exam.len());
            alive.push(format!(
                "{lives}, in {questions} facts and combinations, {asked}"
            ));
        }
    }
    count.died.fetch_add(died, Ordering::Relaxed);
    match fault.exception(row) {
        Some(reason) if exams.is_empty() || died > 0 => Err(stale(row, reason)),
        Some(_) => Ok(()),
        None if alive.is_empty() => Ok(()),
        None => Err(survives(fault.what, row, &alive)),
    }
}

/// What kills has to be the fault.
fn unfit(place: &str, at: usize) -> Failed {
    format!("question {at} is red for the oracle itself in the place of {place}").into()
}

fn stale(row: &Row, reason: &str) -> Failed {
    let name = row.name;
    format!(
        "{name} is excepted because {reason}; but its row excepts it already, or a case is red\n  \
         remedy: delete the exception"
    )
    .into()
}

fn survives(what: &str, row: &Row, alive: &[String]) -> Failed {
    let (name, family, alive) = (row.name, row.family, alive.join("\n  "));
    format!(
        "no case of {name} is red where {what}:\n  {alive}\n  \
         remedy: a case in fixtures/cases/{family}/{name}.toml that tells it from the true one"
    )
    .into()
}
