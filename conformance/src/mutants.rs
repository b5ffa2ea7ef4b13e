//! Systematic mistakes: the oracle with one of them, over every op, which the cases must tell from it.
//!
//! A [`Mutant`] derives from the op's row, and an [`Exam`](crate::exam::Exam) asks the calls of one
//! [`Group`] of dtypes, so that no other group's cases stand in for them. Where the row says that a
//! mistake changes nothing, it is *equivalent*. All others have to be caught; one that is not lacks a
//! case.

use emily_spec::{Op, Result, Row, Tensor, TensorType};

use crate::exam::{BELOW_NX, EVERYWHERE};
use crate::view::Input;

mod attributes;
mod elements;
mod group;
mod perturbed;
mod swapped;
mod table;

pub use attributes::Change;
pub use elements::{Loss, floats, rebuild};
pub use group::{Group, speaks_of_operands};
pub use table::{Idea, Tried, Verdict, table};

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
pub type Reason = &'static str;

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
    pub fn equivalent(self, row: &Row, group: Group) -> Option<Reason> {
        match self {
            Mutant::Lost(loss) => loss.equivalent(row, group),
            Mutant::Swapped(by) => swapped::equivalent(by, row, group),
            Mutant::Attribute("equal_nan", _) if group == Group::Integers => {
                Some("no integer is NaN")
            }
            Mutant::Attribute(..) | Mutant::Perturbed => None,
        }
    }

    /// The layers that would notice it: not those of Nx where it speaks of a result's dtype, which Nx
    /// infers.
    pub fn layers(self) -> &'static [&'static str] {
        match self {
            Mutant::Attribute("dtype", Change::LeftOut) => BELOW_NX,
            Mutant::Swapped(_) | Mutant::Attribute(..) | Mutant::Perturbed | Mutant::Lost(_) => {
                EVERYWHERE
            }
        }
    }

    /// The idea, a column of the table.
    pub const fn idea(self) -> Idea {
        match self {
            Mutant::Swapped(_) => Idea::OpSwapped,
            Mutant::Attribute(_, change) => change.idea(),
            Mutant::Perturbed => Idea::Perturbed,
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
    ///
    /// # Errors
    /// The oracle's, of the call as it is mistaken.
    pub fn run(self, op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
        match self {
            Mutant::Swapped(by) => swapped::run(by, op, inputs),
            Mutant::Attribute(name, change) => run(&change.made(name, op, inputs), inputs),
            Mutant::Perturbed => perturbed::run(op, inputs),
            Mutant::Lost(loss) => {
                let results = run(op, inputs)?;
                results
                    .iter()
                    .map(|tensor| loss.taken_from(tensor))
                    .collect()
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
