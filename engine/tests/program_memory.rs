//! Programs and the memory limit. A process of its own, because the limit is the process's, and one test, because
//! tests of one process run side by side.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::settle;
use emily_engine::{Handle, Prepared, Reply, Worker, memory};
use emily_spec::{DType, ErrorKind, Op, Program, TensorType};
use serde_json::{Value, json};

const MIB: usize = 1 << 20;

/// A program of one parameter.
fn prepared(parameter: &Value, nodes: &[String], results: &[usize]) -> Arc<Prepared> {
    let nodes = nodes.join(", ");
    let body = format!(r#"{{"nodes": [{nodes}], "results": {results:?}}}"#);
    let text = format!(r#"{{"parameters": [{parameter}], "body": {body}}}"#);
    let program: Program = serde_json::from_str(&text).expect("a program");
    Prepared::new(program).expect("its sizes can be counted")
}

fn node(result: usize, name: &str, attrs: &Value, operands: &[usize]) -> String {
    let op = format!(r#"{{"op": "{name}", "attrs": {attrs}}}"#);
    let step = format!(r#"{{"run": {{"op": {op}, "operands": {operands:?}}}}}"#);
    format!(r#"{{"results": [{result}], "step": {step}}}"#)
}

/// Adds 0, 1, 2, … to themselves, so many times over; the results are all sums, or the last. The parameter is not used.
fn sums(count: usize, elements: usize, all: bool) -> Arc<Prepared> {
    let numbers = node(
        1,
        "iota",
        &json!({"dtype": "f32", "shape": [elements]}),
        &[],
    );
    let sums = (2..2 + count).map(|at| node(at, "add", &json!({}), &[1, at - 1]));
    let first = if all { 2 } else { 1 + count };
    let results: Vec<usize> = (first..2 + count).collect();
    let nodes: Vec<String> = std::iter::once(numbers).chain(sums).collect();
    prepared(&json!({"dtype": "f32", "shape": []}), &nodes, &results)
}

/// The last of so many products of a matrix with itself.
fn powers(count: usize, side: usize) -> Arc<Prepared> {
    let attrs = json!({"contract_left": [1], "contract_right": [0]});
    let products = (1..=count).map(|at| node(at, "dot", &attrs, &[at - 1, 0]));
    let matrix = json!({"dtype": "f32", "shape": [side, side]});
    prepared(&matrix, &products.collect::<Vec<_>>(), &[count])
}

fn run(worker: &Worker, program: &Arc<Prepared>, input: &Handle) -> Vec<Handle> {
    let inputs = std::slice::from_ref(input);
    worker.run(program, inputs).expect("it is submitted").0
}

fn one(worker: &Worker) -> Handle {
    let ty = TensorType::new(DType::F32, []);
    worker.from_bytes(ty, &1f32.to_le_bytes()).unwrap()
}

#[test]
fn a_program_keeps_to_the_limit_and_computes_nothing_for_nobody() {
    let worker = common::worker();
    let x = one(&worker);
    x.eval().unwrap();
    settle(&worker);
    let before = memory::stats().unwrap().active;
    let usual = memory::set_limit(before + 100 * MIB).unwrap();
    memory::reset_peak().unwrap();

    // Forty results of 8 MiB, some of which fit; what is made of a refused one is refused with it.
    let results = run(&worker, &sums(40, 2 * MIB, true), &x);
    let errors: Vec<_> = results.iter().filter_map(|sum| sum.eval().err()).collect();
    assert!((28..40).contains(&errors.len()), "{} refused", errors.len());
    assert!(errors.iter().all(|error| error.kind == ErrorKind::Memory));
    let peak = memory::stats().unwrap().peak - before;
    assert!(peak <= 100 * MIB, "{peak} bytes at most");
    drop((results, errors));
    settle(&worker);

    // A chain of the same, of which only the end is kept, goes on within the limit.
    let chain = run(&worker, &sums(40, 2 * MIB, false), &x);
    assert_eq!(chain[0].to_bytes().unwrap()[4..8], 41f32.to_le_bytes());
    drop(chain);
    memory::set_limit(usual).unwrap();

    // Of products that take seconds nearly all are left when the one who asked has gone.
    let side = 1024;
    let zeros = vec![0; 4 * side * side];
    let ty = TensorType::new(DType::F32, [side, side]);
    let zeros = worker.from_bytes(ty, &zeros).unwrap();
    let started = Instant::now();
    run(&worker, &powers(20, side), &zeros)[0].eval().unwrap();
    let alone = started.elapsed();
    let given_up = Arc::new(AtomicBool::new(false));
    let flag = given_up.clone();
    let reply = Reply::new(drop).while_wanted(move || !flag.load(Ordering::SeqCst));
    let products = run(&worker, &powers(1000, side), &zeros);
    products[0].clone().read_with(reply);
    std::thread::sleep(Duration::from_millis(50));
    given_up.store(true, Ordering::SeqCst);
    drop(products);
    let started = Instant::now();
    let next = worker.apply(&Op::from(emily_spec::Unary::Negate), &[zeros]);
    next.unwrap()[0].eval().unwrap();
    let waited = started.elapsed();
    assert!(
        waited < 5 * alone,
        "{waited:?}; twenty products take {alone:?}"
    );
}
