//! More elements than MLX counts on the CPU are refused, and may be cut into parts.

mod common;

use emily_engine::{Handle, Worker, memory};
use emily_spec::{DType, Error, ErrorKind, Op, Result, TensorType};

/// Over 2³¹ − 1 elements, in no memory: a scalar, seen so many times.
const MANY: &str = r#"{"op": "broadcast", "attrs": {"shape": [3, 2, 450000000], "axes": []}}"#;

fn worker() -> Worker {
    memory::set_limit(1 << 40).expect("a limit");
    common::worker()
}

fn apply(worker: &Worker, op: &str, inputs: &[&Handle]) -> Result<Handle> {
    let op: Op = serde_json::from_str(op).expect(op);
    let inputs: Vec<Handle> = inputs.iter().map(|&input| input.clone()).collect();
    Ok(worker.apply(&op, &inputs)?.remove(0))
}

fn scalar(worker: &Worker) -> Handle {
    let ty = TensorType::new(DType::U8, []);
    worker.from_bytes(ty, &[7]).expect("a scalar")
}

fn refused(result: Result<Handle>) -> Error {
    let error = result.and_then(|handle| handle.eval()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Memory, "{error}");
    error
}

#[test]
fn what_is_computed_from_too_many_elements_is_refused() {
    let worker = worker();
    let scalar = scalar(&worker);
    let many = &apply(&worker, MANY, &[&scalar]).expect("a view");
    for (op, inputs) in [
        (r#"{"op": "sum", "attrs": {"axes": [0]}}"#, &[many] as &[_]),
        (r#"{"op": "reduce_max", "attrs": {"axes": [2]}}"#, &[many]),
        (r#"{"op": "bitwise_not"}"#, &[many]),
        (r#"{"op": "add"}"#, &[many, &scalar]),
        (r#"{"op": "equal"}"#, &[many, many]),
        (r#"{"op": "as_type", "attrs": {"dtype": "s8"}}"#, &[many]),
        (
            r#"{"op": "reshape", "attrs": {"shape": [2, 3, 450000000]}}"#,
            &[many],
        ),
        (r#"{"op": "sort", "attrs": {"axis": 0}}"#, &[many]),
    ] {
        let error = refused(apply(&worker, op, inputs)).to_string();
        assert!(error.contains("2700000000 elements"), "{error}");
        assert!(error.contains("cut it into parts"), "{error}");
    }
}

#[test]
fn too_many_elements_may_be_sliced_and_computed_in_parts() {
    let worker = worker();
    let many = apply(&worker, MANY, &[&scalar(&worker)]).expect("a view");
    let part = r#"{"op": "slice", "attrs": {"starts": [2, 1, 449999990], "lengths": [1, 1, 10], "strides": [1, 1, 1]}}"#;
    let part = apply(&worker, part, &[&many]).expect("a slice");
    refused(many.to_bytes().map(|_| many));
    let sum = apply(
        &worker,
        r#"{"op": "sum", "attrs": {"axes": [0, 1, 2]}}"#,
        &[&part],
    );
    let bytes = sum.expect("a sum").to_bytes().expect("its bytes");
    assert_eq!(bytes[..2], [70, 0]);
}

#[test]
fn what_an_op_has_on_its_way_is_counted_too() {
    let worker = worker();
    // A matrix for each of 65,536 indices is 2^32 elements, and the result 65,536.
    let ones = |shape: &str| {
        let shape = format!(r#"{{"op": "broadcast", "attrs": {{"shape": {shape}, "axes": []}}}}"#);
        apply(&worker, &shape, &[&scalar(&worker)]).expect("a view")
    };
    let (rows, columns) = (ones("[8, 1, 65536]"), ones("[8, 65536, 1]"));
    let indices = ones("[65536]");
    let product = r#"{"op": "gather_mm"}"#;
    let inputs = [&rows, &columns, &indices, &indices];
    refused(apply(&worker, product, &inputs));
}
