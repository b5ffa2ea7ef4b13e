//! What the engine does to memory. A process of its own, because MLX's counters are process-wide,
//! and one test, because tests of one process run side by side.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::settle;
use emily_engine::{Handle, Reply, Worker, memory};
use emily_spec::{
    Arithmetic, DType, ErrorKind, Iota, Op, Shape, Slice, TensorType, Transpose, Unary,
};

const MIB: usize = 1 << 20;

fn iota(worker: &Worker, dtype: DType, elements: usize) -> Handle {
    let op = Op::Iota(Iota {
        dtype,
        shape: Shape::from([elements]),
        axis: None,
    });
    worker.apply(&op, &[]).unwrap().remove(0)
}

/// The first elements of a vector.
fn slice(worker: &Worker, vector: &Handle, elements: usize) -> Handle {
    let op = Op::Slice(Slice {
        starts: [0].into(),
        lengths: [elements].into(),
        strides: [1].into(),
    });
    worker
        .apply(&op, std::slice::from_ref(vector))
        .unwrap()
        .remove(0)
}

/// The end of a chain of sums, each of 16 MiB.
fn chain(worker: &Worker) -> Handle {
    let mut sum = iota(worker, DType::S32, 4 * MIB);
    for _ in 0..8 {
        let inputs = [sum.clone(), sum];
        let add = Op::from(Arithmetic::Add);
        sum = worker.apply(&add, &inputs).unwrap().remove(0);
    }
    sum
}

#[test]
fn memory_is_shared_freed_and_limited() {
    let worker = common::worker();

    // Reading a contiguous tensor aliases it.
    let large = iota(&worker, DType::S32, 16 * MIB);
    large.eval().unwrap();
    settle(&worker);
    let before = memory::stats().unwrap().active;
    let bytes = large.to_bytes().unwrap();
    let after = memory::stats().unwrap().active;
    assert_eq!(bytes.len(), 64 * MIB);
    assert!(after - before < MIB, "{} bytes more", after - before);

    // The bytes keep the buffer; once they go too it is freed at once.
    assert!(large.release());
    assert_eq!(bytes[4..8], 1i32.to_le_bytes());
    drop(bytes);
    let freed = memory::stats().unwrap().active;
    assert!(before - freed >= 64 * MIB, "{before} to {freed}");

    // Work that nobody waits for when its turn comes is never computed, nor what it alone needs: a chain
    // whose end is dropped, one whose read is given up, and both when that happens as the worker is
    // at other work.
    settle(&worker);
    memory::reset_peak().unwrap();
    let given_up = Arc::new(AtomicBool::new(false));
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    worker.call(move || held.recv().unwrap());
    drop(chain(&worker));
    let flag = given_up.clone();
    let wanted = move || !flag.load(Ordering::SeqCst);
    chain(&worker).read_with(Reply::new(drop).while_wanted(wanted));
    given_up.store(true, Ordering::SeqCst);
    let_go.send(()).unwrap();
    settle(&worker);
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let (enter, entered) = std::sync::mpsc::channel::<()>();
    worker.call(move || {
        enter.send(()).unwrap();
        held.recv().unwrap();
    });
    let dropped = chain(&worker);
    entered.recv().unwrap();
    drop(dropped);
    // The worker looks again at what it took a millisecond ago.
    std::thread::sleep(Duration::from_millis(2));
    let_go.send(()).unwrap();
    settle(&worker);
    let peak = memory::stats().unwrap().peak;
    assert!(peak < freed + MIB, "peak {peak}");

    // A small part of a large tensor does not keep it, nor does a binary of the part; a large part is a
    // view.
    let active = || memory::stats().unwrap().active;
    let large = iota(&worker, DType::S32, 16 * MIB);
    let half = slice(&worker, &large, 8 * MIB);
    let small = slice(&worker, &half, MIB / 4);
    half.eval().unwrap();
    small.eval().unwrap();
    settle(&worker);
    assert!(
        active() < freed + 66 * MIB,
        "{} bytes more",
        active() - freed
    );
    let bytes = small.to_bytes().unwrap();
    drop((large, half));
    settle(&worker);
    assert!(
        active() < freed + 2 * MIB,
        "{} bytes more",
        active() - freed
    );
    drop(small);
    assert_eq!(bytes[4..8], 1i32.to_le_bytes());
    assert!(
        active() < freed + 2 * MIB,
        "{} bytes more",
        active() - freed
    );
    drop(bytes);

    // What nobody reads is begun all the same, when the worker has nothing else to do.
    let unread = [
        iota(&worker, DType::S32, 2 * MIB),
        iota(&worker, DType::S32, 256),
    ];
    let begun = || memory::stats().unwrap().active >= freed + 8 * MIB + 1024;
    let patience = Instant::now() + Duration::from_secs(20);
    while !begun() {
        assert!(Instant::now() < patience, "nothing was begun");
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(unread);
    settle(&worker);

    // A loop over a large tensor runs in bounded memory.
    let mut sum = iota(&worker, DType::S32, MIB);
    for _ in 0..200 {
        let inputs = [sum.clone(), sum.clone()];
        sum = worker
            .apply(&Op::from(Arithmetic::Add), &inputs)
            .unwrap()
            .remove(0);
    }
    sum.eval().unwrap();
    drop(sum);
    settle(&worker);
    let peak = memory::stats().unwrap().peak;
    assert!(peak < freed + 400 * MIB, "peak {peak}");

    // A limit is kept, and lifted again: by one result, by what is held beside it, by what is needed on
    // the way, by many small ones.
    settle(&worker);
    let limit = memory::set_limit(100 * MIB).unwrap();
    assert_eq!(memory::limit(), 100 * MIB);
    let upload = |bytes: usize| {
        let ty = TensorType::new(DType::U8, [bytes]);
        worker.from_bytes(ty, &vec![0; bytes])
    };
    let kind = |error: emily_spec::Error| error.kind;
    let negated = |tensor: &Handle| {
        let negate = Op::from(Unary::Negate);
        worker
            .apply(&negate, std::slice::from_ref(tensor))
            .and_then(|negated| negated[0].eval())
    };
    assert_eq!(kind(upload(101 * MIB).unwrap_err()), ErrorKind::Memory);
    let held = upload(60 * MIB).unwrap();
    held.eval().unwrap();
    let part = slice(&worker, &held, 20 * MIB);
    let refused = negated(&part).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Memory, "{refused}");
    assert_eq!(kind(upload(60 * MIB).unwrap_err()), ErrorKind::Memory);
    let mut small = Vec::new();
    let refused = loop {
        assert!(small.len() < 1000, "60 MiB and {} more", small.len());
        let tensor = iota(&worker, DType::S32, 25 * 1024);
        match tensor.eval() {
            Ok(()) => small.push(tensor),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind, ErrorKind::Memory, "{refused}");
    assert!(active() <= 100 * MIB, "{} bytes", active());
    drop((held, part, small));
    settle(&worker);
    memory::reset_peak().unwrap();
    let ty = TensorType::new(DType::F16, [20 * MIB]);
    let halves = worker.from_bytes(ty, &vec![0; 40 * MIB]).unwrap();
    // MLX computes it in f32.
    let round = Op::from(Unary::Round);
    let refused = worker.apply(&round, &[halves]);
    let refused = refused.and_then(|round| round[0].eval());
    assert_eq!(kind(refused.unwrap_err()), ErrorKind::Memory);
    let peak = memory::stats().unwrap().peak;
    assert!(peak <= 100 * MIB, "peak {peak}");

    // So is what reading needs, of a tensor that does not lie row by row.
    let ty = TensorType::new(DType::U8, [30, MIB]);
    let wide = worker.from_bytes(ty, &vec![0; 30 * MIB]).unwrap();
    let axes = [1, 0].into();
    let across = worker.apply(&Op::Transpose(Transpose { axes }), &[wide]);
    let across = across.unwrap().remove(0);
    across.eval().unwrap();
    let other = upload(50 * MIB).unwrap();
    assert_eq!(kind(across.to_bytes().unwrap_err()), ErrorKind::Memory);
    drop(other);
    assert_eq!(across.to_bytes().unwrap().len(), 30 * MIB);
    drop(across);
    settle(&worker);

    // What can be let go of is, before anything is refused.
    let garbage = Arc::new(Mutex::new(None));
    let bin = garbage.clone();
    memory::on_pressure(move || {
        let bin = bin.clone();
        let other = std::thread::spawn(move || drop(bin.lock().unwrap().take()));
        other.join().unwrap();
    });
    *garbage.lock().unwrap() = Some(upload(60 * MIB).unwrap());
    negated(&upload(20 * MIB).unwrap()).unwrap();
    assert!(garbage.lock().unwrap().is_none());
    // Also what was computed on the way to something else, which only its own thread may drop.
    let between = iota(&worker, DType::U8, 30 * MIB);
    slice(&worker, &between, 8).eval().unwrap();
    let _other = upload(10 * MIB).unwrap();
    *garbage.lock().unwrap() = Some(between);
    negated(&upload(20 * MIB).unwrap()).unwrap();
    assert!(garbage.lock().unwrap().is_none());
    assert_eq!(memory::set_limit(limit).unwrap(), 100 * MIB);
    assert_eq!(memory::set_limit(0).unwrap_err().kind, ErrorKind::Argument);
}
