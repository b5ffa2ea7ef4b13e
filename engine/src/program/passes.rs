//! What makes a program smaller without changing a bit of what it gives: functions of its parts, which are checked and
//! numbered anew once they are done.

mod common;
mod constants;
mod dead;

use std::collections::HashMap;

use emily_spec::{Id, Program, Result, Step};

/// The same program with each constant once, each computation once where it is seen, and nothing that no result needs.
///
/// # Errors
/// None that the program does not have.
pub fn optimised(program: Program) -> Result<Program> {
    let (parameters, constants, body) = program.into_parts();
    let (constants, body) = constants::once(parameters.len(), constants, body);
    Program::new(parameters, constants, dead::removed(common::once(body)))
}

/// Values that stand for others.
#[derive(Default)]
struct Renamed(HashMap<Id, Id>);

impl Renamed {
    fn name_of(&self, id: Id) -> Id {
        self.0.get(&id).copied().unwrap_or(id)
    }

    fn all(&self, ids: &mut [Id]) {
        for id in ids {
            *id = self.name_of(*id);
        }
    }

    /// What a step uses by itself; its regions are the caller's.
    fn operands(&self, step: &mut Step) {
        match step {
            Step::Op { operands, .. } => self.all(operands),
            Step::If { predicate, .. } => *predicate = self.name_of(*predicate),
            Step::While { initial, .. } => self.all(initial),
        }
    }
}

#[cfg(test)]
mod tests;
