//! What is done while somebody waits, or does something else.

use std::time::Instant;

use emily_spec::{Dot, Id, Node, Program, Region, Step};

use super::*;

fn square(worker: &Worker, side: usize) -> Handle {
    let ty = TensorType::new(DType::F32, [side, side]);
    worker.from_bytes(ty, &vec![0; 4 * side * side]).unwrap()
}

fn product() -> Op {
    Op::Dot(Dot {
        contract_left: [1].into(),
        batch_left: None,
        contract_right: [0].into(),
        batch_right: None,
        dtype: None,
    })
}

/// The system takes cores away too, so one of several tries is enough.
#[test]
fn what_nobody_reads_is_computed_while_its_caller_does_something_else() {
    let worker = queueing();
    // Less than what is started for its size.
    let square = square(&worker, 600);
    let product = || {
        let inputs = [square.clone(), square.clone()];
        worker.apply(&product(), &inputs).unwrap().remove(0)
    };
    let read = |product: Handle| {
        let began = Instant::now();
        drop(product.to_bytes().unwrap());
        began.elapsed()
    };
    let mut tries = (0..20).map(|_| {
        let alone = read(product());
        let later = product();
        std::thread::sleep(2 * alone + Duration::from_millis(2));
        (read(later), alone)
    });
    assert!(tries.any(|(later, alone)| later < alone / 2));
}

/// A square matrix times itself, so often that it takes a second or two.
const SIDE: usize = 1024;
const PRODUCTS: u32 = 100;

/// The products submitted one by one.
fn products(worker: &Worker, square: &Handle) -> Handle {
    (0..PRODUCTS).fold(square.clone(), |last, _| {
        let inputs = [last, square.clone()];
        worker.apply(&product(), &inputs).unwrap().remove(0)
    })
}

/// The products as one program.
fn program(worker: &Worker, square: &Handle) -> Handle {
    let op = Arc::new(product());
    let nodes = (1..=PRODUCTS).map(|at| Node {
        results: vec![Id(at)],
        step: Step::Op {
            op: op.clone(),
            operands: vec![Id(at - 1), Id(0)],
        },
    });
    let body = Region {
        nodes: nodes.collect(),
        results: vec![Id(PRODUCTS)],
    };
    let program = Program::new(vec![square.ty().clone()], vec![], body).unwrap();
    let prepared = Prepared::new(program).unwrap();
    let (mut results, _) = worker.run(&prepared, std::slice::from_ref(square)).unwrap();
    results.remove(0)
}

/// While a worker computes what somebody reads, others have what was there before: who asked for it as it was submitted,
/// and who asks later.
fn is_used_meanwhile(long: fn(&Worker, &Handle) -> Handle) {
    let (busy, other) = (queueing(), queueing());
    let square = square(&busy, SIDE);
    let (sender, answers) = mpsc::channel();
    let read = |tensor: &Handle, name: &'static str| {
        let sender = sender.clone();
        tensor.read_with(Reply::new(move |bytes| sender.send((name, bytes)).unwrap()));
    };
    let release = hold(&busy);
    let small = add(&busy, &square, &square);
    read(&long(&busy, &square), "long");
    read(&add(&other, &small, &small), "at once");
    drop(release);
    std::thread::sleep(Duration::from_millis(5));
    read(&add(&other, &small, &square), "later");
    let names = [(); 3].map(|()| {
        let (name, bytes) = answers.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(bytes.unwrap().len(), 4 * SIDE * SIDE, "{name}");
        name
    });
    assert_eq!(names, ["at once", "later", "long"]);
}

#[test]
fn what_is_there_is_used_while_its_worker_is_at_a_long_read() {
    is_used_meanwhile(products);
}

#[test]
fn what_is_there_is_used_while_its_worker_runs_a_program() {
    is_used_meanwhile(program);
}

#[test]
fn of_products_that_nobody_waits_for_any_more_few_are_computed() {
    let worker = queueing();
    let square = square(&worker, SIDE);
    let began = Instant::now();
    products(&worker, &square).eval().unwrap();
    let alone = began.elapsed();
    let chains = [(); 10].map(|()| products(&worker, &square));
    std::thread::sleep(Duration::from_millis(50));
    drop(chains);
    let began = Instant::now();
    add(&worker, &square, &square).eval().unwrap();
    let waited = began.elapsed();
    assert!(
        waited < alone,
        "{waited:?}; {PRODUCTS} products take {alone:?}"
    );
}
