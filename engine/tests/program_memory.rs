//! Programs and the memory limit. A process of its own, because the limit is the process's, and one test, because
//! tests of one process run side by side.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::programs::{op, plain, prepared, run, ty};
use common::settle;
use emily_engine::{Handle, Prepared, Reply, Worker, memory};
use emily_spec::{DType, ErrorKind, Node, Op, TensorType};
use serde_json::json;

const MIB: usize = 1 << 20;

/// Adds 0, 1, 2, … to themselves, so many times over; the results are all sums, or the last. It takes nothing.
fn sums(count: u32, elements: usize, all: bool) -> Arc<Prepared> {
    let attrs = json!({"dtype": "f32", "shape": [elements]});
    let sums = (1..=count).map(|at| plain(at, "add", &[0, at - 1]));
    let nodes: Vec<Node> = std::iter::once(op(0, "iota", &attrs, &[]))
        .chain(sums)
        .collect();
    let first = if all { 1 } else { count };
    prepared(&[], &nodes, &(first..=count).collect::<Vec<_>>())
}

/// The last of so many products of a matrix with itself.
fn powers(count: u32, side: usize) -> Arc<Prepared> {
    let attrs = json!({"contract_left": [1], "contract_right": [0]});
    let products = (1..=count).map(|at| op(at, "dot", &attrs, &[at - 1, 0]));
    let nodes: Vec<Node> = products.collect();
    prepared(&[ty(DType::F32, &[side, side])], &nodes, &[count])
}

/// The results of a program that is submitted.
fn results(worker: &Worker, program: &Arc<Prepared>, inputs: &[&Handle]) -> Vec<Handle> {
    run(worker, program, inputs).expect("it is submitted")
}

#[test]
fn a_program_keeps_to_the_limit_and_computes_nothing_for_nobody() {
    let worker = common::worker();
    settle(&worker);
    let before = memory::stats().unwrap().active;
    let usual = memory::set_limit(before + 100 * MIB).unwrap();
    memory::reset_peak().unwrap();

    // Forty results of 8 MiB, some of which fit; what is made of a refused one is refused with it.
    let all = results(&worker, &sums(40, 2 * MIB, true), &[]);
    let errors: Vec<_> = all.iter().filter_map(|sum| sum.eval().err()).collect();
    assert!((28..40).contains(&errors.len()), "{} refused", errors.len());
    assert!(errors.iter().all(|error| error.kind == ErrorKind::Memory));
    let peak = memory::stats().unwrap().peak - before;
    assert!(peak <= 100 * MIB, "{peak} bytes at most");
    drop((all, errors));
    settle(&worker);

    // A chain of the same, of which only the end is kept, goes on within the limit.
    let chain = results(&worker, &sums(40, 2 * MIB, false), &[]);
    assert_eq!(chain[0].to_bytes().unwrap()[4..8], 41f32.to_le_bytes());
    drop(chain);
    memory::set_limit(usual).unwrap();

    // Of products that take seconds nearly all are left when the one who asked has gone.
    let side = 1024;
    let zeros = vec![0; 4 * side * side];
    let ty = TensorType::new(DType::F32, [side, side]);
    let zeros = worker.from_bytes(ty, &zeros).unwrap();
    let started = Instant::now();
    results(&worker, &powers(20, side), &[&zeros])[0]
        .eval()
        .unwrap();
    let alone = started.elapsed();
    let given_up = Arc::new(AtomicBool::new(false));
    let flag = given_up.clone();
    let reply = Reply::new(drop).while_wanted(move || !flag.load(Ordering::SeqCst));
    let products = results(&worker, &powers(1000, side), &[&zeros]);
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
