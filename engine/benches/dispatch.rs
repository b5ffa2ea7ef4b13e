//! What the engine adds to MLX: the same small ops through a worker and through mlx-rs directly.

use std::hint::black_box;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use emily_engine::{Config, Device, Handle, Worker};
use emily_spec::{Arithmetic, DType, Op, TensorType};
use mlx_rs::{Array, Stream, with_stream};
use serde_json::json;

const CHAIN: usize = 150;
const WORKERS: usize = 8;

fn worker() -> Worker {
    let config = Config {
        device: Device::Cpu,
        f64: false,
    };
    Worker::start(config).expect("a CPU worker")
}

fn operand(worker: &Worker, elements: usize) -> Handle {
    let ty = TensorType::new(DType::F32, [elements]);
    let bytes = 1f32.to_le_bytes().repeat(elements);
    worker.from_bytes(ty, &bytes).expect("an operand")
}

/// A chain of adds and one read, through a worker.
fn through_worker(worker: &Worker, one: &Handle) -> usize {
    let mut sum = one.clone();
    for _ in 0..CHAIN {
        let inputs = [sum, one.clone()];
        sum = worker
            .apply(&Op::from(Arithmetic::Add), &inputs)
            .expect("an add")
            .remove(0);
    }
    sum.to_bytes().expect("the sum").len()
}

/// The same on one thread with mlx-rs.
fn through_mlx(one: &Array) -> usize {
    let mut sum = one.add(one).expect("an add");
    for _ in 1..CHAIN {
        sum = sum.add(one).expect("an add");
    }
    sum.eval().expect("the sum");
    sum.nbytes()
}

fn raw_operand(elements: i32) -> Array {
    Array::from_slice(&vec![1f32; elements as usize], &[elements])
}

fn submit(c: &mut Criterion) {
    let worker = worker();
    let one = operand(&worker, 16);
    // Batches stay below the queue's bound; dropping the handles is not part of the call.
    let mut submit = |name: &str, op: Op, inputs: &[Handle]| {
        c.bench_function(name, |b| {
            b.iter_batched(
                || {
                    let (sender, idle) = mpsc::channel();
                    worker.call(move || sender.send(()).expect("the bench waits"));
                    idle.recv().expect("an idle worker");
                    op.clone()
                },
                |op| worker.submit(op, inputs).expect("a result"),
                BatchSize::NumIterations(1000),
            );
        });
    };
    let add = Op::from(Arithmetic::Add);
    submit("submit_add", add, &[one.clone(), one.clone()]);
    let reshape = Op::read("reshape", json!({"shape": [4, 4]})).expect("an op");
    submit("submit_reshape", reshape, std::slice::from_ref(&one));
    let tanh = Op::read("tanh", json!({})).expect("an op");
    submit("submit_tanh", tanh, std::slice::from_ref(&one));
    c.bench_function("read_16", |b| b.iter(|| one.to_bytes().expect("bytes")));
}

fn chain(c: &mut Criterion) {
    let mut group = c.benchmark_group("chain_of_150");
    let worker = worker();
    let one = operand(&worker, 16);
    group.bench_function("emily", |b| {
        b.iter(|| through_worker(&worker, black_box(&one)))
    });
    let stream = Stream::new_with_device(&mlx_rs::Device::cpu());
    with_stream(&stream, || {
        let one = raw_operand(16);
        group.bench_function("mlx_rs", |b| b.iter(|| through_mlx(black_box(&one))));
    });
    group.finish();
}

/// Threads that run one job each when told, and say when they are done.
struct Team {
    start: Vec<mpsc::Sender<()>>,
    done: mpsc::Receiver<()>,
}

impl Team {
    /// `make` runs on each thread and gives its job.
    fn new<J: FnMut()>(make: impl Fn() -> J + Send + Clone + 'static) -> Team {
        let (finished, done) = mpsc::channel();
        let start = (0..WORKERS)
            .map(|_| {
                let (start, started) = mpsc::channel();
                let (make, finished) = (make.clone(), finished.clone());
                std::thread::spawn(move || {
                    let mut job = make();
                    while started.recv().is_ok() {
                        job();
                        finished.send(()).expect("the bench waits");
                    }
                });
                start
            })
            .collect();
        Team { start, done }
    }

    fn run(&self) {
        for start in &self.start {
            start.send(()).expect("the thread waits");
        }
        for _ in &self.start {
            self.done.recv().expect("the thread is done");
        }
    }
}

fn eight_at_once(c: &mut Criterion) {
    let mut group = c.benchmark_group("eight_at_once");
    group.throughput(Throughput::Elements((WORKERS * CHAIN) as u64));
    const ELEMENTS: usize = 4096;
    let emily = Team::new(|| {
        let worker = worker();
        let one = operand(&worker, ELEMENTS);
        move || {
            through_worker(&worker, &one);
        }
    });
    group.bench_function("emily", |b| b.iter(|| emily.run()));
    let raw = Team::new(|| {
        let stream = Stream::new_with_device(&mlx_rs::Device::cpu());
        let one = raw_operand(ELEMENTS as i32);
        move || {
            with_stream(&stream, || through_mlx(&one));
        }
    });
    group.bench_function("mlx_rs", |b| b.iter(|| raw.run()));
    group.finish();
}

/// Reading what is computed: time that does not grow with size.
fn to_bytes(c: &mut Criterion) {
    let mut group = c.benchmark_group("to_bytes");
    let worker = worker();
    for mebibytes in [1, 64] {
        let large = operand(&worker, mebibytes << 18);
        large.eval().expect("an evaluated tensor");
        group.bench_function(format!("{mebibytes}_MiB"), |b| {
            b.iter(|| large.to_bytes().expect("its bytes"));
        });
    }
    group.finish();
}

/// What a caller waits for products: when it reads at once, and after it did something else for twice as long as
/// they take.
fn overlap(c: &mut Criterion) {
    let mut group = c.benchmark_group("overlap");
    group.sample_size(10);
    let worker = worker();
    let square = TensorType::new(DType::F32, [512, 512]);
    let square = worker
        .from_bytes(square, &[0; 4 << 18])
        .expect("an operand");
    let contraction = json!({"contract_left": [1], "contract_right": [0]});
    let dot = Op::read("dot", contraction).expect("a product");
    let products = || -> Vec<Handle> {
        let product = |_| worker.apply(&dot, &[square.clone(), square.clone()]);
        let products = (0..10).map(|at| product(at).expect("a product").remove(0));
        products.collect()
    };
    let read = |products: Vec<Handle>| {
        let began = Instant::now();
        products
            .iter()
            .for_each(|product| drop(product.to_bytes().expect("its bytes")));
        began.elapsed()
    };
    let alone = read(products());
    for (name, pause) in [("read_at_once", Duration::ZERO), ("read_later", 2 * alone)] {
        group.bench_function(name, |b| {
            b.iter_custom(|times| {
                let waits = (0..times).map(|_| {
                    let products = products();
                    std::thread::sleep(pause);
                    read(products)
                });
                waits.sum()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, submit, chain, eight_at_once, to_bytes, overlap);
criterion_main!(benches);
