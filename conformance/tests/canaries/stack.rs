//! The exams that faults sit, and the places in which they do.

use std::collections::HashMap;
use std::sync::OnceLock;

use emily_conformance::case::Case;
use emily_conformance::exam::{Exam, Place, Places, Questions, StandIn};
use emily_conformance::mutants::Group;
use emily_spec::{ROWS, Row};

/// One exam per op and kind of call, written when it is first sat.
pub(crate) struct Stack {
    places: Places,
    cases: &'static [Case],
    exams: HashMap<(&'static str, Questions), OnceLock<Exam<'static>>>,
}

/// What came of a fault in a place.
pub(crate) enum Verdict {
    /// This question is red.
    Dies(usize),
    /// None is.
    Lives,
    /// One is red, but also for the oracle.
    Unfit(usize),
}

impl Stack {
    pub(crate) fn new(cases: &'static [Case]) -> Stack {
        let kinds = [Questions::All, Questions::Refused].into_iter();
        let kinds: Vec<Questions> = kinds.chain(Group::ALL.map(Questions::Of)).collect();
        let exams = ROWS.iter().flat_map(|row| {
            let kinds = kinds.iter();
            kinds.map(|kind| ((row.name, *kind), OnceLock::new()))
        });
        Stack {
            places: Places::default(),
            cases,
            exams: exams.collect(),
        }
    }

    pub(crate) fn exam(&self, row: &'static Row, asked: Questions) -> &Exam<'static> {
        self.exams[&(row.name, asked)].get_or_init(|| Exam::new(self.cases, row, asked))
    }

    pub(crate) fn place(&self, name: &str) -> Place<'_> {
        let place = self.places.find(name);
        place.unwrap_or_else(|| panic!("there is no layer {name}"))
    }
}

/// Tries a fault, from the question `first`, and the oracle on the one that is red.
pub(crate) fn tries(
    exam: &Exam<'_>,
    place: Place<'_>,
    faulty: StandIn<'_>,
    healthy: StandIn<'_>,
    first: usize,
) -> Verdict {
    let below = place.below();
    match exam.first_red(faulty, &below, first) {
        Some(at) if exam.is_red(at, healthy, &below) => Verdict::Unfit(at),
        Some(at) => Verdict::Dies(at),
        None => Verdict::Lives,
    }
}
