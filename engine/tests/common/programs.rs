//! Programs, node by node.
#![allow(dead_code, reason = "only tests of programs need it")]

use std::sync::Arc;

use emily_engine::{Handle, Prepared, Worker};
use emily_spec::{DType, Id, Node, Program, Region, Result, Step, Tensor, TensorType};
use serde_json::{Value, json};

pub(crate) fn ty(dtype: DType, shape: &[usize]) -> TensorType {
    TensorType::new(dtype, shape.to_vec())
}

pub(crate) fn ids(numbers: &[u32]) -> Vec<Id> {
    numbers.iter().copied().map(Id).collect()
}

pub(crate) fn op(result: u32, name: &str, attrs: &Value, operands: &[u32]) -> Node {
    let text = format!(r#"{{"op": "{name}", "attrs": {attrs}}}"#);
    let op = serde_json::from_str(&text).expect("an op");
    Node {
        results: ids(&[result]),
        step: Step::Op {
            op: Arc::new(op),
            operands: ids(operands),
        },
    }
}

pub(crate) fn plain(result: u32, name: &str, operands: &[u32]) -> Node {
    op(result, name, &json!({}), operands)
}

pub(crate) fn region(nodes: &[Node], results: &[u32]) -> Region {
    Region {
        nodes: nodes.to_vec(),
        results: ids(results),
    }
}

pub(crate) fn with_constants(
    parameters: &[TensorType],
    constants: Vec<Arc<Tensor>>,
    body: Region,
) -> Arc<Prepared> {
    let program = Program::new(parameters.to_vec(), constants, body).expect("it fits");
    Prepared::new(program).expect("its sizes can be counted")
}

pub(crate) fn prepared(
    parameters: &[TensorType],
    nodes: &[Node],
    results: &[u32],
) -> Arc<Prepared> {
    with_constants(parameters, vec![], region(nodes, results))
}

pub(crate) fn run(
    worker: &Worker,
    program: &Arc<Prepared>,
    inputs: &[&Handle],
) -> Result<Vec<Handle>> {
    let inputs: Vec<Handle> = inputs.iter().map(|&input| input.clone()).collect();
    Ok(worker.run(program, &inputs)?.0)
}
