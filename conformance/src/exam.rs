//! Whether the cases tell a layer that is wrong on purpose from one that is right.
//!
//! The wrong layer is a [`StandIn`]: it has a real layer's place, and with it what that layer is
//! asked and what its answers are judged against, but answers as it is told to. So no engine and no
//! VM runs, and what is red shows that a wrong answer at that place is.

use std::fmt;

use emily_spec::{Op, Row, TensorType};

use crate::case::{Body, Case, Reading};
use crate::judge::judge;
use crate::layer::Layer;
use crate::ledger::Ledger;
use crate::mutants::Group;
use crate::outcome::Outcome;
use crate::run::{is_planned, signatures};

mod place;

pub use place::{Answers, BELOW_NX, EVERYWHERE, Gradients, Place, Places, StandIn};

/// The calls of an op that an exam asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Questions {
    /// All of them.
    All,
    /// Those of one group.
    Of(Group),
    /// Those that the op refuses by their types.
    Refused,
}

impl Questions {
    fn has(self, op: &Op, types: &[TensorType]) -> bool {
        match self {
            Questions::All => true,
            Questions::Of(group) => Group::of_call(op, types) == Some(group),
            Questions::Refused => Group::of_call(op, types).is_none(),
        }
    }
}

impl fmt::Display for Questions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Questions::All => f.write_str("all"),
            Questions::Of(group) => group.fmt(f),
            Questions::Refused => f.write_str("refused"),
        }
    }
}

/// Cases of one op, the small ones first.
pub struct Exam<'a> {
    questions: Vec<(&'a Case, Reading)>,
}

impl<'a> Exam<'a> {
    /// The op's facts and combinations that ask such calls.
    pub fn new(cases: &'a [Case], row: &'static Row, asked: Questions) -> Exam<'a> {
        let mut questions = Vec::new();
        for case in cases.iter().filter(|case| case.row.kind == row.kind) {
            for reading in &case.readings {
                let parts = match &reading.body {
                    Body::Fact { .. } => vec![reading.body.clone()],
                    Body::Sweep(plans) => {
                        let alone = |plan: &_| Body::Sweep(vec![Clone::clone(plan)]);
                        plans.iter().map(alone).collect()
                    }
                };
                for body in parts {
                    // A fact and a lone combination are one call.
                    let (op, types) = signatures(&body).swap_remove(0);
                    if asked.has(op, &types) {
                        let size = types.iter().filter_map(|ty| ty.byte_size().ok()).sum();
                        let dtype = reading.dtype.clone();
                        questions.push((size, case, Reading { dtype, body }));
                    }
                }
            }
        }
        questions.sort_by_key(|(size, _, _): &(usize, _, _)| *size);
        let questions = questions.into_iter();
        Exam {
            questions: questions
                .map(|(_, case, reading)| (case, reading))
                .collect(),
        }
    }

    /// The number of the first question to which the layer's answer is red; `None` where it passes.
    /// `below` are the layers that it is judged against, and `first` is the question to begin with.
    pub fn first_red(
        &self,
        layer: StandIn<'_>,
        below: &[StandIn<'_>],
        first: usize,
    ) -> Option<usize> {
        let places = first..self.questions.len();
        let mut places = places.chain(0..first);
        places.find(|&at| self.is_red(at, layer, below))
    }

    /// Whether the layer's answer to this question is red; it is not where its place is not asked.
    pub fn is_red(&self, at: usize, layer: StandIn<'_>, below: &[StandIn<'_>]) -> bool {
        let (case, reading) = &self.questions[at];
        if !is_planned(case, reading, &layer) {
            return false;
        }
        let below = below.iter().map(|layer| layer as &dyn Layer);
        let layers: Vec<&dyn Layer> = below.chain([&layer as &dyn Layer]).collect();
        let results = judge(case, reading, &layers, &Ledger::default());
        let last = results.last().map(|result| result.outcome);
        last == Some(Outcome::Failed)
    }

    /// How many facts and combinations it asks.
    pub fn len(&self) -> usize {
        self.questions.len()
    }

    /// How many of them it asks a layer.
    pub fn asked_of(&self, layer: &dyn Layer) -> usize {
        let planned = |(case, reading): &&(&Case, Reading)| is_planned(case, reading, layer);
        self.questions.iter().filter(planned).count()
    }

    /// True when it asks nothing.
    pub fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }
}
