//! From parts that anyone may have written to a program that is checked, numbered and typed.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Id, Node, Program, Region, Step};
use crate::{Error, ErrorKind, Op, Result, Tensor, TensorType};

impl Program {
    /// A program of these parts. Parameters are the values from 0 on, constants those after them; nodes may give
    /// their results any other numbers, each once where it can be seen.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for a value that is not known where it is used or is given twice, a wrong number of
    /// results, and regions that are too deep or too many; [`ErrorKind::Dtype`] or [`ErrorKind::Shape`] for regions
    /// whose results do not fit; what [`Op::infer`] says of a node.
    pub fn new(
        parameters: Vec<TensorType>,
        constants: Vec<Arc<Tensor>>,
        body: Region,
    ) -> Result<Program> {
        let mut builder = Builder::default();
        for ty in &parameters {
            ty.byte_size()?;
            builder.leaf(ty)?;
        }
        for tensor in &constants {
            builder.leaf(tensor.ty())?;
        }
        let body = builder.region(body, 0)?;
        Ok(Program {
            parameters,
            constants,
            body,
            types: builder.types,
        })
    }
}

#[derive(Default)]
struct Builder {
    types: Vec<TensorType>,
    /// The values that can be seen here, by the numbers that they came with.
    known: HashMap<Id, Id>,
    /// Those numbers, in the order in which they were given.
    given: Vec<Id>,
}

impl Builder {
    fn leaf(&mut self, ty: &TensorType) -> Result<()> {
        let id = self.next()?;
        self.give(id, ty.clone())?;
        Ok(())
    }

    fn next(&self) -> Result<Id> {
        match u32::try_from(self.types.len()) {
            Ok(number) if self.types.len() < Program::MAX_VALUES => Ok(Id(number)),
            Ok(_) | Err(_) => Err(argument(format!(
                "a program has at most {} values",
                Program::MAX_VALUES
            ))),
        }
    }

    /// A value that came with this number, and has another one now.
    fn give(&mut self, came: Id, ty: TensorType) -> Result<Id> {
        let id = self.next()?;
        if self.known.insert(came, id).is_some() {
            return Err(argument(format!("{came} is given twice")));
        }
        self.given.push(came);
        self.types.push(ty);
        Ok(id)
    }

    fn see(&self, came: Id) -> Result<Id> {
        let unknown = || {
            argument(format!(
                "{came} is not known here; a value stands before its use"
            ))
        };
        self.known.get(&came).copied().ok_or_else(unknown)
    }

    fn see_all(&self, came: &mut [Id]) -> Result<()> {
        for id in came {
            *id = self.see(*id)?;
        }
        Ok(())
    }

    fn types_of(&self, ids: &[Id]) -> Vec<TensorType> {
        ids.iter()
            .map(|id| self.types[id.index()].clone())
            .collect()
    }

    /// A region whose values end with it.
    fn region(&mut self, region: Region, depth: usize) -> Result<Region> {
        let outside = self.given.len();
        let region = self.open(region, depth)?;
        self.close(outside);
        Ok(region)
    }

    /// What was given since then is seen no more.
    fn close(&mut self, outside: usize) {
        for came in self.given.drain(outside..) {
            self.known.remove(&came);
        }
    }

    /// A region whose values are still seen after it.
    fn open(&mut self, region: Region, depth: usize) -> Result<Region> {
        if depth > Program::MAX_DEPTH {
            let most = Program::MAX_DEPTH;
            return Err(argument(format!("regions are at most {most} deep")));
        }
        let Region { nodes, mut results } = region;
        let nodes = nodes.into_iter().map(|node| self.node(node, depth));
        let nodes = nodes.collect::<Result<_>>()?;
        self.see_all(&mut results)?;
        Ok(Region { nodes, results })
    }

    fn node(&mut self, node: Node, depth: usize) -> Result<Node> {
        let Node { results, step } = node;
        let (step, types) = match step {
            Step::Op { op, operands } => self.op(op, operands)?,
            Step::If {
                predicate,
                then,
                otherwise,
            } => self.branches(predicate, [then, otherwise], depth + 1)?,
            Step::While {
                initial,
                state,
                condition,
                body,
            } => self.repeated(initial, state, [condition, body], depth + 1)?,
        };
        if results.len() != types.len() {
            let text = format!(
                "{} gives {}, named {}",
                step.name(),
                types.len(),
                results.len()
            );
            return Err(argument(text));
        }
        let named = results.into_iter().zip(types);
        let results = named
            .map(|(came, ty)| self.give(came, ty))
            .collect::<Result<_>>()?;
        Ok(Node { results, step })
    }

    fn op(&self, op: Arc<Op>, mut operands: Vec<Id>) -> Result<(Step, Vec<TensorType>)> {
        self.see_all(&mut operands)?;
        let types = op.infer(&self.types_of(&operands))?;
        Ok((Step::Op { op, operands }, types))
    }

    fn branches(
        &mut self,
        predicate: Id,
        [then, otherwise]: [Region; 2],
        depth: usize,
    ) -> Result<(Step, Vec<TensorType>)> {
        let predicate = self.see(predicate)?;
        check_predicate(&self.types[predicate.index()])?;
        let then = self.region(then, depth)?;
        let otherwise = self.region(otherwise, depth)?;
        let types = self.types_of(&then.results);
        check_same(
            "the branches of an if",
            &types,
            &self.types_of(&otherwise.results),
        )?;
        let step = Step::If {
            predicate,
            then,
            otherwise,
        };
        Ok((step, types))
    }

    fn repeated(
        &mut self,
        mut initial: Vec<Id>,
        state: Vec<Id>,
        [condition, body]: [Region; 2],
        depth: usize,
    ) -> Result<(Step, Vec<TensorType>)> {
        self.see_all(&mut initial)?;
        let types = self.types_of(&initial);
        if state.len() != types.len() {
            let text = format!("a state of {} begins with {}", state.len(), types.len());
            return Err(argument(text));
        }
        let outside = self.given.len();
        let named = state.into_iter().zip(&types);
        let state = named.map(|(came, ty)| self.give(came, ty.clone()));
        let state = state.collect::<Result<_>>()?;
        let condition = self.open(condition, depth)?;
        match condition.results[..] {
            [predicate] => check_predicate(&self.types[predicate.index()])?,
            _ => return Err(argument("the condition of a while gives one value")),
        }
        let body = self.open(body, depth)?;
        check_same(
            "a while's state and its body",
            &types,
            &self.types_of(&body.results),
        )?;
        self.close(outside);
        let step = Step::While {
            initial,
            state,
            condition,
            body,
        };
        Ok((step, types))
    }
}

impl Step {
    fn name(&self) -> &'static str {
        match self {
            Step::Op { op, .. } => op.name(),
            Step::If { .. } => "if",
            Step::While { .. } => "while",
        }
    }
}

fn check_predicate(ty: &TensorType) -> Result<()> {
    if ty.shape.rank() == 0 {
        return Ok(());
    }
    let text = format!("what decides is a scalar, got {ty}");
    Err(Error::new(ErrorKind::Shape, text))
}

fn check_same(what: &str, a: &[TensorType], b: &[TensorType]) -> Result<()> {
    if a.len() != b.len() {
        return Err(argument(format!(
            "{what} give {} and {} values",
            a.len(),
            b.len()
        )));
    }
    match a.iter().zip(b).find(|(a, b)| a != b) {
        None => Ok(()),
        Some((a, b)) => {
            let kind = match a.dtype == b.dtype {
                true => ErrorKind::Shape,
                false => ErrorKind::Dtype,
            };
            Err(Error::new(kind, format!("{what} give {a} and {b}")))
        }
    }
}

fn argument(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Argument, message)
}
