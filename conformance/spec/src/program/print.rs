//! A program as a person reads it.

use std::fmt::{self, Display, Formatter, Write as _};

use super::{Id, Node, Program, Region, Step};
use crate::Value;

impl Display for Id {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

impl Display for Program {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut number = 0;
        let mut next = || {
            number += 1;
            Id(number - 1)
        };
        for ty in &self.parameters {
            writeln!(f, "{} = parameter : {ty}", next())?;
        }
        for constant in &self.constants {
            writeln!(f, "{} = constant : {}", next(), constant.ty())?;
        }
        self.region(&self.body, 0, f)
    }
}

impl Program {
    fn region(&self, region: &Region, depth: usize, f: &mut Formatter<'_>) -> fmt::Result {
        for node in &region.nodes {
            indent(depth, f)?;
            self.node(node, depth, f)?;
        }
        indent(depth, f)?;
        writeln!(f, "-> {}", list(&region.results))
    }

    fn node(&self, node: &Node, depth: usize, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} = ", list(&node.results))?;
        match &node.step {
            Step::Op { op, operands } => {
                write!(f, "{}({}", op.name(), list(operands))?;
                let mut told = String::new();
                op.attributes(|name, value| {
                    if value != Value::Absent {
                        // Writing to a string cannot fail.
                        let _ = write!(told, ", {name}: {value}");
                    }
                });
                let told = match operands.is_empty() {
                    true => told.trim_start_matches(", "),
                    false => &told,
                };
                write!(f, "{told}) :")?;
                for id in &node.results {
                    write!(f, " {}", self.ty(*id))?;
                }
                writeln!(f)
            }
            Step::If {
                predicate,
                then,
                otherwise,
            } => {
                writeln!(f, "if {predicate}")?;
                self.region(then, depth + 1, f)?;
                indent(depth, f)?;
                writeln!(f, "else")?;
                self.region(otherwise, depth + 1, f)
            }
            Step::While {
                initial,
                state,
                condition,
                body,
            } => {
                writeln!(f, "while {} = {}", list(state), list(initial))?;
                self.region(condition, depth + 1, f)?;
                indent(depth, f)?;
                writeln!(f, "do")?;
                self.region(body, depth + 1, f)
            }
        }
    }
}

fn indent(depth: usize, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "{:width$}", "", width = 2 * depth)
}

fn list(ids: &[Id]) -> String {
    ids.iter().map(Id::to_string).collect::<Vec<_>>().join(", ")
}
