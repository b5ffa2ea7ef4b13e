//! What small ops that are computed in the call take of the process's memory. `EMILY_INLINE=off` asks the same of the
//! queue.

use std::thread;
use std::time::{Duration, Instant};

use emily_engine::{Config, Device, Handle, Worker, memory};
use emily_spec::{Arithmetic, DType, ErrorKind, Op, Result, TensorType};

const ELEMENTS: usize = 4096;

fn worker() -> Worker {
    Worker::start(Config {
        device: Device::Cpu,
        f64: false,
    })
    .expect("a CPU worker")
}

fn add(worker: &Worker, x: &Handle) -> Result<Handle> {
    let sum = worker.apply(&Op::from(Arithmetic::Add), &[x.clone(), x.clone()])?;
    sum[0].eval()?;
    Ok(sum[0].clone())
}

/// What a queue's thread lets go of is given back a moment later.
fn settled(active: usize) {
    let begun = Instant::now();
    loop {
        let now = memory::stats().unwrap().active;
        if now == active {
            return;
        }
        let patience = Duration::from_secs(20);
        assert!(begun.elapsed() < patience, "{now} bytes, not {active}");
        thread::yield_now();
    }
}

/// One test, as the figures are the whole process's.
#[test]
fn small_ops_count_against_the_limit_and_are_given_back() {
    let worker = worker();
    let ty = TensorType::new(DType::F32, [ELEMENTS]);
    let x = worker.from_bytes(ty, &[0; 4 * ELEMENTS]).unwrap();
    add(&worker, &x).unwrap();
    thread::sleep(Duration::from_millis(100));
    let active = || memory::stats().unwrap().active;
    let before = active();
    let sums: Vec<Handle> = (0..1000).map(|_| add(&worker, &x).unwrap()).collect();
    settled(before + 1000 * 4 * ELEMENTS);
    drop(sums);
    settled(before);

    // More than that is not held, however much was made and let go.
    let limit = memory::set_limit(before + (1 << 20)).unwrap();
    for _ in 0..1000 {
        add(&worker, &x).unwrap();
    }
    let mut held = Vec::new();
    let refused = loop {
        match add(&worker, &x) {
            Ok(sum) => held.push(sum),
            Err(error) => break error,
        }
        assert!(held.len() < 1000, "the limit does not hold");
    };
    assert_eq!(refused.kind, ErrorKind::Memory, "{refused}");
    assert!(
        refused
            .to_string()
            .starts_with("add(f32[4096], f32[4096]): "),
        "{refused}"
    );
    assert!(active() <= before + (1 << 20));
    assert!(held.len() > 30, "{} fit", held.len());
    // There is room again.
    held.clear();
    settled(before);
    add(&worker, &x).unwrap();
    memory::set_limit(limit).unwrap();
}
