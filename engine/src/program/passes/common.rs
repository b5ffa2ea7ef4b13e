//! Each computation once: an op on the same operands as one that can be seen is that one.

use std::collections::HashMap;
use std::sync::Arc;

use emily_spec::{Id, Op, Region, Step};

use super::Renamed;

/// An op on operands.
type Computation = (Arc<Op>, Vec<Id>);

/// The body with each computation once where it is seen.
pub(super) fn once(body: Region) -> Region {
    Seen::default().region(body)
}

#[derive(Default)]
struct Seen {
    results: HashMap<Computation, Vec<Id>>,
    /// What was seen, in order.
    order: Vec<Computation>,
    renamed: Renamed,
}

impl Seen {
    /// A region, of which nothing is seen after it.
    fn region(&mut self, region: Region) -> Region {
        let outside = self.order.len();
        let region = self.open(region);
        self.close(outside);
        region
    }

    fn close(&mut self, outside: usize) {
        for computation in self.order.drain(outside..) {
            self.results.remove(&computation);
        }
    }

    fn open(&mut self, region: Region) -> Region {
        let Region { nodes, mut results } = region;
        let mut kept = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            self.renamed.operands(&mut node.step);
            node.step = match node.step {
                Step::Op { op, operands } => {
                    let computation = (op.clone(), operands.clone());
                    if let Some(same) = self.results.get(&computation) {
                        self.renamed
                            .0
                            .extend(node.results.into_iter().zip(same.iter().copied()));
                        continue;
                    }
                    self.results
                        .insert(computation.clone(), node.results.clone());
                    self.order.push(computation);
                    Step::Op { op, operands }
                }
                Step::If {
                    predicate,
                    then,
                    otherwise,
                } => Step::If {
                    predicate,
                    then: self.region(then),
                    otherwise: self.region(otherwise),
                },
                Step::While {
                    initial,
                    state,
                    condition,
                    body,
                } => {
                    // The body sees what the condition computed.
                    let outside = self.order.len();
                    let condition = self.open(condition);
                    let body = self.open(body);
                    self.close(outside);
                    Step::While {
                        initial,
                        state,
                        condition,
                        body,
                    }
                }
            };
            kept.push(node);
        }
        self.renamed.all(&mut results);
        Region {
            nodes: kept,
            results,
        }
    }
}
