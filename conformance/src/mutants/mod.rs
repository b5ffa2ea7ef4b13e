//! Systematic mistakes: the oracle with one of them, over every op, which the cases must tell from it.
//!
//! A [`Mutant`] derives from the op's row and befalls the calls of one [`Group`] of dtypes only, so
//! that no other group's cases stand in for them. Where the row says that a mistake changes nothing,
//! it is *equivalent*. All others have to be caught; one that is not lacks a case.

use emily_spec::{Op, Result, Row, Tensor, TensorType};

use crate::case::{Body, Case, Reading};
use crate::judge::{judge, trial_name};
use crate::layer::{Absent, Layer, Reference};
use crate::ledger::Ledger;
use crate::outcome::Outcome;
use crate::view::Input;

mod attributes;
mod elements;
mod group;
mod perturbed;
mod swapped;
mod table;

pub use attributes::Change;
pub use elements::Loss;
pub use group::Group;
pub use table::{Judged, Verdict, table};

/// A mistake in an op.
#[derive(Clone, Copy, Debug)]
pub enum Mutant {
    /// Another op runs in its place.
    Swapped(&'static Row),
    /// An attribute is not as it was given.
    Attribute(&'static str, Change),
    /// One element is twice as far off as the row allows, or in another bit where it allows nothing.
    Perturbed,
    /// Something of every result is lost.
    Lost(Loss),
}

/// Why a mistake changes nothing.
pub type Equivalent = &'static str;

impl Mutant {
    /// Every mistake that the row knows of.
    pub fn all(row: &'static Row) -> Vec<Mutant> {
        let swapped = swapped::others(row).into_iter().map(Mutant::Swapped);
        let attributes = row.attributes.iter().flat_map(|attribute| {
            let changes = Change::of(attribute).into_iter();
            changes.map(|change| Mutant::Attribute(attribute.name, change))
        });
        let lost = Loss::ALL.into_iter().map(Mutant::Lost);
        swapped
            .chain(attributes)
            .chain([Mutant::Perturbed])
            .chain(lost)
            .collect()
    }

    /// Why it changes nothing, where the row says so.
    pub fn equivalent(self, row: &Row, group: Group) -> Option<Equivalent> {
        match self {
            Mutant::Lost(loss) => loss.equivalent(row, group),
            Mutant::Swapped(_) | Mutant::Attribute(..) | Mutant::Perturbed => None,
        }
    }

    /// The idea, a column of the table.
    pub const fn idea(self) -> &'static str {
        match self {
            Mutant::Swapped(_) => "op swapped",
            Mutant::Attribute(_, change) => change.idea(),
            Mutant::Perturbed => "2 units off",
            Mutant::Lost(loss) => loss.idea(),
        }
    }

    /// The last part but one of its trials' names.
    pub fn name(self) -> String {
        match self {
            Mutant::Swapped(by) => format!("is_{}", by.name),
            Mutant::Attribute(attribute, change) => format!("{attribute}_{}", change.name()),
            Mutant::Perturbed => "one_element_2_units_off".to_owned(),
            Mutant::Lost(loss) => loss.name().to_owned(),
        }
    }

    /// The oracle's answer with the mistake.
    fn run(self, op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
        match self {
            Mutant::Swapped(by) => swapped::run(by, op, inputs),
            Mutant::Attribute(name, change) => run(&change.made(name, op, inputs), inputs),
            Mutant::Perturbed => perturbed::run(op, inputs),
            Mutant::Lost(loss) => {
                let results = run(op, inputs)?;
                results.iter().map(|tensor| loss.of(tensor)).collect()
            }
        }
    }
}

/// The oracle's answer.
fn run(op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
    let answers = emily_oracle::run(op, &tensors(inputs))?;
    Ok(answers.into_iter().map(|answer| answer.tensor).collect())
}

fn tensors(inputs: &[Input]) -> Vec<Tensor> {
    inputs.iter().map(|input| input.tensor.clone()).collect()
}

fn types(inputs: &[Input]) -> Vec<TensorType> {
    let types = inputs.iter().map(|input| input.tensor.ty().clone());
    types.collect()
}

/// The oracle, mistaken in the calls of one group.
struct Mistaken {
    mutant: Mutant,
    group: Group,
}

impl Layer for Mistaken {
    fn name(&self) -> &'static str {
        "mutant"
    }

    fn reference(&self) -> Reference {
        Reference::Oracle
    }

    fn available(&self) -> std::result::Result<(), Absent> {
        Ok(())
    }

    fn run(&self, op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
        if Group::of_call(op, &types(inputs)) == Some(self.group) {
            self.mutant.run(op, inputs)
        } else {
            run(op, inputs)
        }
    }
}

/// The cases of one op that ask calls of one group, the small ones first.
pub struct Exam<'a> {
    /// The op's row.
    pub row: &'static Row,
    /// The group of its calls.
    pub group: Group,
    questions: Vec<(&'a Case, Reading)>,
}

impl<'a> Exam<'a> {
    /// The exam that these cases set. A sweep is asked a combination at a time.
    pub fn new(cases: &'a [Case], row: &'static Row, group: Group) -> Exam<'a> {
        let mut questions = Vec::new();
        let asked = |case: &&Case| case.row.kind == row.kind && case.is_for("oracle");
        for case in cases.iter().filter(asked) {
            for reading in &case.readings {
                let parts = match &reading.body {
                    Body::Fact { .. } => vec![reading.body.clone()],
                    Body::Sweep(plans) => {
                        let alone = |plan: &_| Body::Sweep(vec![Clone::clone(plan)]);
                        plans.iter().map(alone).collect()
                    }
                };
                for body in parts {
                    let (op, types) = signature(&body);
                    if Group::of_call(&op, &types) == Some(group) {
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
            row,
            group,
            questions: questions
                .map(|(_, case, reading)| (case, reading))
                .collect(),
        }
    }

    /// The first trial that is red for the mutant; `None` where all take it for the oracle.
    pub fn caught_by(&self, mutant: Mutant) -> Option<String> {
        let group = self.group;
        let layer = Mistaken { mutant, group };
        let red = |(case, reading): &&(&Case, Reading)| {
            let results = judge(case, reading, &[&layer], &Ledger::default());
            let mut outcomes = results.iter().map(|result| result.outcome);
            outcomes.any(|outcome| outcome == Outcome::Failed)
        };
        let (case, reading) = self.questions.iter().find(red)?;
        Some(trial_name(layer.name(), case, reading))
    }

    /// How many facts and combinations it asks.
    pub fn len(&self) -> usize {
        self.questions.len()
    }

    /// True when it asks nothing.
    pub fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }
}

/// The op of a fact or of a lone combination, and its operands' types.
fn signature(body: &Body) -> (Op, Vec<TensorType>) {
    match body {
        Body::Fact { call, .. } => (call.op.clone(), call.types()),
        Body::Sweep(plans) => {
            let plan = &plans[0];
            (plan.op().clone(), plan.types())
        }
    }
}
