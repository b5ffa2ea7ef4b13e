//! Nothing that no result needs.

use std::collections::HashSet;

use emily_spec::{Id, Region, Step};

/// The body without the nodes of which nothing is used.
pub(super) fn removed(body: Region) -> Region {
    region(body, &mut HashSet::new())
}

/// Goes through a region from its end; `live` is what is used after it, and then what is used from its beginning on.
fn region(region: Region, live: &mut HashSet<Id>) -> Region {
    let Region { nodes, results } = region;
    live.extend(&results);
    let mut kept = Vec::with_capacity(nodes.len());
    for mut node in nodes.into_iter().rev() {
        if node.results.iter().any(|id| live.contains(id)) {
            node.step = step(node.step, live);
            live.extend(node.step.operands());
            kept.push(node);
        }
    }
    kept.reverse();
    Region {
        nodes: kept,
        results,
    }
}

fn step(step: Step, live: &mut HashSet<Id>) -> Step {
    match step {
        Step::Op { op, operands } => Step::Op { op, operands },
        Step::If {
            predicate,
            then,
            otherwise,
        } => Step::If {
            predicate,
            then: region(then, live),
            otherwise: region(otherwise, live),
        },
        Step::While {
            initial,
            state,
            condition,
            body,
        } => {
            // The body uses what the condition computed.
            let body = region(body, live);
            Step::While {
                initial,
                state,
                condition: region(condition, live),
                body,
            }
        }
    }
}
