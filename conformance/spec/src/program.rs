//! Programs: many ops as one value, with their constants, branches and loops.
//!
//! A [`Program`] is what a whole function becomes once it is compiled. It is plain data: it prints, compares, and
//! can be read from text. A node uses values that stand before it, so there are no cycles; a region sees the values of
//! the regions around it, and nobody sees those of a region from outside but as its results. [`Program::new`] checks
//! all of that, infers every type once, and numbers the values in the order of the text, so that two programs that say
//! the same are equal.

mod build;
mod print;
mod text;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Op, Tensor, TensorType};

/// The number of a value: parameters first, then constants, then what the nodes give, in the order of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(pub u32);

/// A function of tensors, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    parameters: Vec<TensorType>,
    constants: Vec<Arc<Tensor>>,
    body: Region,
    types: Vec<TensorType>,
}

/// Nodes in the order in which they run, and what they are run for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// The nodes; each uses what stands before it, here or in a region around.
    pub nodes: Vec<Node>,
    /// The values that the region gives.
    pub results: Vec<Id>,
}

/// A step, and the values that it gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The values.
    pub results: Vec<Id>,
    /// How they come about.
    pub step: Step,
}

/// What a node does. In text a step is `{"run": {"op": {"op": "add"}, "operands": [0, 1]}}`,
/// `{"if": {"predicate": 2, "then": {…}, "else": {…}}}` or
/// `{"while": {"initial": [0], "state": [3], "condition": {…}, "body": {…}}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// An op on these operands.
    #[serde(rename = "run")]
    Op {
        /// The op with its attributes.
        #[serde(with = "text::op")]
        op: Arc<Op>,
        /// Its operands.
        operands: Vec<Id>,
    },
    /// One of two regions, whose results are of the same types. The other one does not run.
    If {
        /// A scalar: anything but zero is true, NaN too.
        predicate: Id,
        /// What runs where it is true.
        then: Region,
        /// What runs where it is false.
        #[serde(rename = "else")]
        otherwise: Region,
    },
    /// A region again and again, while a condition is true.
    While {
        /// The first state.
        initial: Vec<Id>,
        /// The state within the regions: of the types of the first one.
        state: Vec<Id>,
        /// Gives a scalar: anything but zero is true, NaN too.
        condition: Region,
        /// Gives the next state. It sees what the condition computed for this turn.
        body: Region,
    },
}

impl Program {
    /// Regions may stand so deep within each other.
    pub const MAX_DEPTH: usize = 32;

    /// A program may have so many values.
    pub const MAX_VALUES: usize = 1 << 22;

    /// The parameters' types: the values from 0 on.
    pub fn parameters(&self) -> &[TensorType] {
        &self.parameters
    }

    /// The constants: the values after the parameters.
    pub fn constants(&self) -> &[Arc<Tensor>] {
        &self.constants
    }

    /// What runs.
    pub fn body(&self) -> &Region {
        &self.body
    }

    /// The type of every value, by its number.
    pub fn types(&self) -> &[TensorType] {
        &self.types
    }

    /// The type of a value of this program.
    pub fn ty(&self, id: Id) -> &TensorType {
        &self.types[id.index()]
    }

    /// The results' types.
    pub fn results(&self) -> impl ExactSizeIterator<Item = &TensorType> {
        self.body.results.iter().map(|&id| self.ty(id))
    }

    /// The number of nodes, those in regions too.
    pub fn node_count(&self) -> usize {
        self.body.node_count()
    }

    /// The parameters, constants and body, to make another program of.
    pub fn into_parts(self) -> (Vec<TensorType>, Vec<Arc<Tensor>>, Region) {
        (self.parameters, self.constants, self.body)
    }
}

impl Region {
    /// The number of nodes, those in regions within too.
    pub fn node_count(&self) -> usize {
        let within = |node: &Node| node.step.regions().map(Region::node_count).sum::<usize>();
        self.nodes.iter().map(|node| 1 + within(node)).sum()
    }
}

impl Step {
    /// The regions within, in the order of the text.
    pub fn regions(&self) -> impl Iterator<Item = &Region> {
        let regions = match self {
            Step::Op { .. } => [None, None],
            Step::If {
                then, otherwise, ..
            } => [Some(then), Some(otherwise)],
            Step::While {
                condition, body, ..
            } => [Some(condition), Some(body)],
        };
        regions.into_iter().flatten()
    }

    /// The same, to change.
    pub fn regions_mut(&mut self) -> impl Iterator<Item = &mut Region> {
        let regions = match self {
            Step::Op { .. } => [None, None],
            Step::If {
                then, otherwise, ..
            } => [Some(then), Some(otherwise)],
            Step::While {
                condition, body, ..
            } => [Some(condition), Some(body)],
        };
        regions.into_iter().flatten()
    }

    /// The values that the step uses by itself; what its regions use is theirs.
    pub fn operands(&self) -> &[Id] {
        match self {
            Step::Op { operands, .. } => operands,
            Step::If { predicate, .. } => std::slice::from_ref(predicate),
            Step::While { initial, .. } => initial,
        }
    }
}

impl Id {
    /// The number as a place in a list.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

#[cfg(test)]
mod tests;
