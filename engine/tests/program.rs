//! Programs on a worker: the bits, errors and memory of the ops that they are made of.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::programs::{ids, op, plain, prepared, region, run, ty, with_constants};
use emily_engine::{Handle, Prepared, Reply, Worker};
use emily_spec::{DType, Error, ErrorKind, Id, Node, Op, Region, Step, Tensor, TensorType};
use serde_json::json;

fn branch(result: u32, predicate: u32, then: Region, otherwise: Region) -> Node {
    Node {
        results: ids(&[result]),
        step: Step::If {
            predicate: Id(predicate),
            then,
            otherwise,
        },
    }
}

fn repeat(results: &[u32], [initial, state]: [&[u32]; 2], condition: Region, body: Region) -> Node {
    Node {
        results: ids(results),
        step: Step::While {
            initial: ids(initial),
            state: ids(state),
            condition,
            body,
        },
    }
}

fn f32s(worker: &Worker, shape: &[usize], values: &[f32]) -> Handle {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let ty = TensorType::new(DType::F32, shape.to_vec());
    worker.from_bytes(ty, &bytes).expect("a tensor")
}

fn s32(worker: &Worker, value: i32) -> Handle {
    let ty = TensorType::new(DType::S32, []);
    worker
        .from_bytes(ty, &value.to_le_bytes())
        .expect("a tensor")
}

fn read_f32(handle: &Handle) -> Vec<f32> {
    let bytes = handle.to_bytes().expect("its value");
    let values = bytes
        .chunks(4)
        .map(|word| f32::from_le_bytes(word.try_into().expect("four")));
    values.collect()
}

fn read_s32(handle: &Handle) -> i32 {
    let bytes = handle.to_bytes().expect("its value");
    i32::from_le_bytes(bytes[..4].try_into().expect("four"))
}

fn error(handle: &Handle) -> Error {
    handle.to_bytes().expect_err("an error")
}

/// `n` by Collatz: the number of steps to 1.
fn collatz() -> Arc<Prepared> {
    let constant = |result, value: i32| {
        let attrs = json!({"dtype": "s32", "shape": [], "value": value});
        op(result, "constant", &attrs, &[])
    };
    let even = region(&[plain(20, "quotient", &[10, 2])], &[20]);
    let odd = region(
        &[plain(21, "multiply", &[10, 3]), plain(22, "add", &[21, 1])],
        &[22],
    );
    let nodes = [
        constant(1, 1),
        constant(2, 2),
        constant(3, 3),
        constant(4, 0),
        repeat(
            &[5, 6],
            [&[0, 4], &[10, 11]],
            region(&[plain(12, "not_equal", &[10, 1])], &[12]),
            region(
                &[
                    plain(13, "remainder", &[10, 2]),
                    branch(14, 13, odd, even),
                    plain(15, "add", &[11, 1]),
                ],
                &[14, 15],
            ),
        ),
    ];
    prepared(&[ty(DType::S32, &[])], &nodes, &[6])
}

#[test]
fn a_program_gives_the_bits_of_its_ops() {
    let worker = common::worker();
    let x: Vec<f32> = (0..96).map(|i| (i as f32 - 48.0) / 7.0).collect();
    let x = f32s(&worker, &[8, 12], &x);
    let names = ["tanh", "exp", "sigmoid", "sin", "erf"];
    let mut nodes = Vec::new();
    let mut eager = vec![x.clone()];
    for (place, name) in names.iter().cycle().take(150).enumerate() {
        let last = u32::try_from(place).expect("few");
        nodes.push(plain(last + 1, name, &[last]));
        let op: Op = serde_json::from_value(json!({"op": name})).expect("an op");
        let next = worker
            .apply(&op, &eager[place..=place])
            .expect("it is submitted");
        eager.extend(next);
    }
    let program = prepared(&[ty(DType::F32, &[8, 12])], &nodes, &[150, 75, 0]);
    let results = run(&worker, &program, &[&x]).expect("it is submitted");
    for (result, place) in results.iter().zip([150, 75, 0]) {
        let expected = eager[place].to_bytes().expect("its value");
        assert_eq!(*result.to_bytes().expect("its value"), *expected, "{place}");
    }
}

#[test]
fn loops_and_branches_run_on_the_worker_and_again() {
    let worker = common::worker();
    let program = collatz();
    for (n, steps) in [(27, 111), (1, 0), (6, 8), (27, 111)] {
        let results = run(&worker, &program, &[&s32(&worker, n)]).expect("it is submitted");
        assert_eq!(read_s32(&results[0]), steps, "{n}");
    }
}

#[test]
fn another_thread_s_tensor_is_waited_for() {
    let (here, there) = (common::worker(), common::worker());
    let x = f32s(&there, &[3], &[1.0, 2.0, 3.0]);
    let doubled = there.apply(&Op::from(emily_spec::Arithmetic::Add), &[x.clone(), x]);
    let program = prepared(&[ty(DType::F32, &[3])], &[plain(1, "negate", &[0])], &[1]);
    let results = run(&here, &program, &[&doubled.expect("it is submitted")[0]]);
    assert_eq!(read_f32(&results.expect("it fits")[0]), [-2.0, -4.0, -6.0]);
}

#[test]
fn what_fails_on_values_is_told_by_what_needs_it_and_names_the_op() {
    let worker = common::worker();
    let nodes = [
        plain(2, "quotient", &[0, 1]),
        plain(3, "add", &[2, 0]),
        plain(4, "multiply", &[0, 1]),
    ];
    let program = prepared(&[ty(DType::S32, &[]), ty(DType::S32, &[])], &nodes, &[3, 4]);
    let (seven, zero) = (s32(&worker, 7), s32(&worker, 0));
    let results = run(&worker, &program, &[&seven, &zero]).expect("it is submitted");
    assert_eq!(read_s32(&results[1]), 0);
    let failed = error(&results[0]);
    assert_eq!(failed.kind, ErrorKind::Numeric);
    let context = failed.context.expect("the call");
    assert_eq!(context.op.name(), "quotient");
    assert_eq!(context.worker.as_deref(), Some(worker.name()));
    // What decides a branch fails all that the branch gives.
    let chosen = branch(3, 2, region(&[], &[0]), region(&[], &[1]));
    let program = prepared(
        &[ty(DType::S32, &[]), ty(DType::S32, &[])],
        &[plain(2, "quotient", &[0, 1]), chosen],
        &[3],
    );
    let results = run(&worker, &program, &[&seven, &zero]).expect("it is submitted");
    assert_eq!(error(&results[0]).kind, ErrorKind::Numeric);
}

#[test]
fn inputs_of_other_types_and_numbers_are_refused_at_the_call() {
    let worker = common::worker();
    let program = prepared(&[ty(DType::F32, &[2])], &[plain(1, "exp", &[0])], &[1]);
    let kind = |inputs: &[&Handle]| run(&worker, &program, inputs).expect_err("a refusal").kind;
    assert_eq!(kind(&[]), ErrorKind::Argument);
    assert_eq!(kind(&[&s32(&worker, 1)]), ErrorKind::Dtype);
    assert_eq!(kind(&[&f32s(&worker, &[1], &[0.0])]), ErrorKind::Shape);
    let released = f32s(&worker, &[2], &[0.0, 0.0]);
    released.release();
    assert_eq!(kind(&[&released]), ErrorKind::Argument);
    worker.stop();
    assert_eq!(
        kind(&[&f32s(&common::worker(), &[2], &[0.0, 0.0])]),
        ErrorKind::Stopped
    );
}

#[test]
fn what_does_not_fit_is_refused_at_the_call_and_in_a_branch_when_it_runs() {
    let worker = common::worker();
    let huge = json!({"dtype": "f32", "shape": [1 << 20, 1 << 20]});
    let iota = op(5, "iota", &huge, &[]);
    let sum = plain(6, "sum", &[5]);
    let program = prepared(&[ty(DType::F32, &[])], &[iota.clone(), sum.clone()], &[6]);
    let x = f32s(&worker, &[], &[1.0]);
    let refused = run(&worker, &program, &[&x]).expect_err("a refusal");
    assert_eq!(refused.kind, ErrorKind::Memory);
    assert_eq!(refused.context.expect("the call").op.name(), "iota");
    let chosen = branch(9, 0, region(&[iota, sum], &[6]), region(&[], &[0]));
    let program = prepared(&[ty(DType::F32, &[])], &[chosen], &[9]);
    let results = run(&worker, &program, &[&x]).expect("it is submitted");
    assert_eq!(error(&results[0]).kind, ErrorKind::Memory);
    let zero = f32s(&worker, &[], &[0.0]);
    let results = run(&worker, &program, &[&zero]).expect("it is submitted");
    assert_eq!(read_f32(&results[0]), [0.0]);
}

/// A loop that never ends.
fn endless() -> Arc<Prepared> {
    let body = region(&[plain(2, "negate", &[1])], &[2]);
    let endless = repeat(&[9], [&[0], &[1]], region(&[], &[0]), body);
    prepared(&[ty(DType::F32, &[])], &[endless], &[9])
}

#[test]
fn a_loop_ends_when_nobody_waits_and_when_its_worker_is_stopped() {
    let worker = common::worker();
    let one = f32s(&worker, &[], &[1.0]);
    let results = run(&worker, &endless(), &[&one]).expect("it is submitted");
    // A read that was given up holds them.
    results[0]
        .clone()
        .read_with(Reply::new(drop).while_wanted(|| false));
    std::thread::sleep(Duration::from_millis(50));
    drop(results);
    let sum = worker.apply(
        &Op::from(emily_spec::Unary::Negate),
        std::slice::from_ref(&one),
    );
    assert_eq!(read_f32(&sum.expect("it is submitted")[0]), [-1.0]);
    let results = run(&worker, &endless(), &[&one]).expect("it is submitted");
    std::thread::sleep(Duration::from_millis(50));
    worker.stop();
    assert_eq!(error(&results[0]).kind, ErrorKind::Stopped);
}

#[test]
fn constants_are_uploaded_once_and_are_what_they_say() {
    let bytes = [1f32, 2.0].iter().flat_map(|value| value.to_le_bytes());
    let constant = Tensor::new(ty(DType::F32, &[2]), bytes.collect()).expect("eight bytes");
    let body = region(&[plain(2, "add", &[0, 1])], &[2, 1]);
    let program = with_constants(&[ty(DType::F32, &[2])], vec![Arc::new(constant)], body);
    for worker in [common::worker(), common::worker()] {
        let x = f32s(&worker, &[2], &[10.0, 20.0]);
        let results = run(&worker, &program, &[&x]).expect("it is submitted");
        assert_eq!(read_f32(&results[0]), [11.0, 22.0]);
        assert_eq!(read_f32(&results[1]), [1.0, 2.0]);
    }
}

#[test]
fn a_long_loop_keeps_neither_its_graph_nor_its_past() {
    let worker = common::worker();
    // Only the counter decides: the other state is started by the budget.
    let attrs = json!({"dtype": "f32", "shape": [], "value": 1});
    let nodes = [
        op(2, "constant", &attrs, &[]),
        repeat(
            &[8, 9],
            [&[0, 1], &[10, 11]],
            region(&[plain(12, "greater", &[10, 2])], &[12]),
            region(
                &[plain(13, "subtract", &[10, 2]), plain(14, "add", &[11, 2])],
                &[13, 14],
            ),
        ),
    ];
    let program = prepared(
        &[ty(DType::F32, &[]), ty(DType::F32, &[4096])],
        &nodes,
        &[9],
    );
    let count = f32s(&worker, &[], &[2000.0]);
    let x = f32s(&worker, &[4096], &[0.5; 4096]);
    let started = Instant::now();
    let results = run(&worker, &program, &[&count, &x]).expect("it is submitted");
    assert_eq!(read_f32(&results[0]), [1999.5; 4096]);
    assert!(started.elapsed() < Duration::from_secs(60));
}
