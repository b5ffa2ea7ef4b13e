//! Where each value is used last: what is dropped there can be written over by what is computed next.

use std::collections::HashSet;

use emily_spec::Id;

use super::{Block, Planned, Work};

/// Writes down after which node each value is dropped, and which of a block's results are its own.
pub(super) fn mark(body: &mut Block) {
    mark_block(body, HashSet::new());
}

/// Goes through a block from its end; `live` is what is used after it.
fn mark_block(block: &mut Block, mut live: HashSet<Id>) {
    live.extend(&block.results);
    let mut own: HashSet<Id> = block.results.iter().copied().collect();
    let mut defined = HashSet::<Id>::new();
    for node in block.nodes.iter_mut().rev() {
        defined.extend(&node.results);
        mark_node(node, &mut live);
    }
    own.retain(|id| defined.contains(id));
    block.own = own.into_iter().collect();
}

/// `live` is what is used after the node, and then what is used from it on.
fn mark_node(node: &mut Planned, live: &mut HashSet<Id>) {
    let used = uses(&node.work);
    match &mut node.work {
        Work::Op { .. } => {}
        Work::If {
            then, otherwise, ..
        } => {
            mark_block(then, live.clone());
            mark_block(otherwise, live.clone());
        }
        Work::While {
            state,
            condition,
            body,
            ..
        } => {
            // What comes from outside is used by the next turn again.
            let mut again = live.clone();
            again.extend(&used);
            let mut within = again.clone();
            // The state is what the loop gives if this turn is its last.
            within.extend(&*state);
            within.extend(block_uses(body));
            mark_block(condition, within);
            mark_block(body, again);
        }
    }
    let last = node.results.iter().chain(&used);
    node.drops = last.filter(|id| !live.contains(id)).copied().collect();
    for id in &node.results {
        live.remove(id);
    }
    live.extend(used);
}

/// What a node uses that it does not make itself.
fn uses(work: &Work) -> HashSet<Id> {
    match work {
        Work::Op { operands, .. } => operands.iter().copied().collect(),
        Work::If {
            predicate,
            then,
            otherwise,
        } => {
            let mut used = block_uses(then);
            used.extend(block_uses(otherwise));
            used.insert(*predicate);
            used
        }
        Work::While {
            initial,
            state,
            condition,
            body,
        } => {
            let mut used = block_uses(body);
            for node in &condition.nodes {
                for id in &node.results {
                    used.remove(id);
                }
            }
            used.extend(block_uses(condition));
            for id in state {
                used.remove(id);
            }
            used.extend(initial);
            used
        }
    }
}

fn block_uses(block: &Block) -> HashSet<Id> {
    let mut used: HashSet<Id> = block.results.iter().copied().collect();
    for node in block.nodes.iter().rev() {
        for id in &node.results {
            used.remove(id);
        }
        used.extend(uses(&node.work));
    }
    used
}

#[cfg(test)]
mod tests {
    use emily_spec::Program;

    use super::super::Prepared;
    use super::*;

    /// What is dropped after each node of a block, sorted.
    fn drops(block: &Block) -> Vec<Vec<u32>> {
        let of = |node: &Planned| {
            let mut ids: Vec<u32> = node.drops.iter().map(|id| id.0).collect();
            ids.sort_unstable();
            ids
        };
        block.nodes.iter().map(of).collect()
    }

    fn prepared(text: &str) -> std::sync::Arc<Prepared> {
        let program: Program = serde_json::from_str(text).expect(text);
        Prepared::new(program).expect("its sizes can be counted")
    }

    #[test]
    fn a_value_is_dropped_after_its_last_use_and_one_without_at_once() {
        let prepared = prepared(
            r#"{"parameters": [{"dtype": "f32", "shape": []}], "body": {"nodes": [
                {"results": [1], "step": {"run": {"op": {"op": "exp"}, "operands": [0]}}},
                {"results": [2], "step": {"run": {"op": {"op": "exp"}, "operands": [0]}}},
                {"results": [3], "step": {"run": {"op": {"op": "add"}, "operands": [1, 1]}}},
                {"results": [4], "step": {"run": {"op": {"op": "exp"}, "operands": [3]}}}],
              "results": [3]}}"#,
        );
        let expected: [&[u32]; 4] = [&[], &[0, 2], &[1], &[4]];
        assert_eq!(drops(prepared.body()), expected);
        assert_eq!(prepared.body().own, [Id(3)]);
    }

    #[test]
    fn a_branch_drops_what_it_uses_last_and_a_loop_what_the_next_turn_does_not_need() {
        let prepared = prepared(
            r#"{"parameters": [{"dtype": "f32", "shape": []}, {"dtype": "f32", "shape": []}], "body": {"nodes": [
                {"results": [2], "step": {"if": {"predicate": 0,
                  "then": {"nodes": [
                    {"results": [3], "step": {"run": {"op": {"op": "exp"}, "operands": [1]}}}], "results": [3]},
                  "else": {"nodes": [], "results": [0]}}}},
                {"results": [4], "step": {"while": {"initial": [2], "state": [5],
                  "condition": {"nodes": [
                    {"results": [6], "step": {"run": {"op": {"op": "less"}, "operands": [5, 0]}}}], "results": [6]},
                  "body": {"nodes": [
                    {"results": [7], "step": {"run": {"op": {"op": "add"}, "operands": [5, 0]}}}], "results": [7]}}}}],
              "results": [4]}}"#,
        );
        // By the order of the text: 2 in the first branch, 3 of the if, 4 the state, 5 and 6 in the loop, 7 of it.
        let nodes = &prepared.body().nodes;
        assert_eq!(drops(prepared.body()), [vec![1], vec![0, 3]]);
        let Work::If { then, .. } = &nodes[0].work else {
            panic!("an if");
        };
        assert_eq!(drops(then), [vec![1]]);
        let Work::While {
            condition, body, ..
        } = &nodes[1].work
        else {
            panic!("a while");
        };
        assert_eq!(drops(condition), [Vec::<u32>::new()]);
        assert_eq!(drops(body), [vec![4]]);
    }
}
