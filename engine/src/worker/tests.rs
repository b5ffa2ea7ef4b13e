//! What a worker promises besides right answers.

use std::collections::VecDeque;
use std::sync::mpsc;
use std::time::Duration;

use emily_spec::{Arithmetic, AsType, Iota, Shape, Tensor, Transpose, Unary};

use super::*;

mod meanwhile;
mod several;

pub(super) fn worker() -> Worker {
    Worker::start(Config {
        device: Device::Cpu,
        f64: false,
    })
    .unwrap()
}

/// A worker that queues small ops as well.
pub(super) fn queueing() -> Worker {
    Worker {
        inline: false,
        ..worker()
    }
}

fn add(worker: &Worker, a: &Handle, b: &Handle) -> Handle {
    let outputs = worker.apply(&Op::from(Arithmetic::Add), &[a.clone(), b.clone()]);
    outputs.unwrap().remove(0)
}

fn vector(worker: &Worker, values: &[f32]) -> Handle {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let ty = TensorType::new(DType::F32, [values.len()]);
    worker.from_bytes(ty, &bytes).unwrap()
}

fn integers(worker: &Worker, values: &[i32]) -> Handle {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let ty = TensorType::new(DType::S32, [values.len()]);
    worker.from_bytes(ty, &bytes).unwrap()
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    let chunks = tensor.bytes().chunks_exact(4);
    chunks
        .map(|c| f32::from_le_bytes(c.try_into().unwrap()))
        .collect()
}

/// Keeps the worker's thread busy until the returned sender is used or dropped.
pub(super) fn hold(worker: &Worker) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel();
    let (entered, running) = mpsc::channel();
    worker.call(move || {
        entered.send(()).unwrap();
        // Ends when the test lets go, one way or the other.
        let _ = held.recv();
    });
    running.recv().unwrap();
    release
}

fn ones(elements: usize) -> Op {
    Op::Iota(Iota {
        dtype: DType::U8,
        shape: Shape::from([elements]),
        axis: None,
    })
}

#[test]
fn a_chain_of_ops_gives_its_sum() {
    let worker = worker();
    let one = vector(&worker, &[1.0, -1.0]);
    let mut sum = one.clone();
    for _ in 0..1000 {
        sum = add(&worker, &sum, &one);
    }
    assert_eq!(floats(&sum.read().unwrap()), [1001.0, -1001.0]);
    assert_eq!(floats(&sum.read().unwrap()), [1001.0, -1001.0]);
}

#[test]
fn a_wrong_call_is_an_error_at_the_call() {
    let worker = worker();
    let a = vector(&worker, &[1.0, 2.0]);
    let b = vector(&worker, &[1.0, 2.0, 3.0]);
    let error = worker
        .submit(Op::from(Arithmetic::Add), &[a.clone(), b])
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Shape);
    assert!(error.to_string().starts_with("add(f32[2], f32[3]): "));
    let error = worker.submit(Op::from(Unary::Exp), &[]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Argument);
    let ty = TensorType::new(DType::F32, [2]);
    let error = worker.from_bytes(ty, &[0; 7]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Argument);
}

#[test]
fn a_value_error_is_reported_as_the_first_cause_by_all_that_follows() {
    let worker = worker();
    let seven = integers(&worker, &[7, 7]);
    let zero = integers(&worker, &[1, 0]);
    let remainder = worker
        .apply(&Op::from(Arithmetic::Remainder), &[seven.clone(), zero])
        .unwrap()
        .remove(0);
    let after = add(&worker, &remainder, &seven);
    for handle in [&after, &remainder, &after] {
        let error = handle.read().unwrap_err();
        assert_eq!(error.kind, ErrorKind::Numeric, "{error}");
        let context = error.context.unwrap();
        assert_eq!(context.op, Op::from(Arithmetic::Remainder));
        assert_eq!(context.inputs.len(), 2);
        assert!(context.worker.is_some());
    }
    // The operand and the worker are none the worse.
    let double = add(&worker, &seven, &seven);
    assert_eq!(double.read().unwrap().bytes()[0], 14);
}

#[test]
fn work_that_nobody_waits_for_is_not_done() {
    let worker = worker();
    let held = hold(&worker);
    let handle = worker.apply(&ones(8), &[]).unwrap().remove(0);
    let weak = Arc::downgrade(&handle.0);
    let consumer = worker
        .apply(&Op::from(Unary::Round), &[vector(&worker, &[0.5])])
        .unwrap();
    drop(handle);
    assert!(weak.upgrade().is_none(), "the queue does not hold results");
    drop(held);
    assert_eq!(floats(&consumer[0].read().unwrap()), [1.0]);
}

#[test]
fn a_full_queue_asks_callers_to_wait() {
    let worker = queueing();
    let one = vector(&worker, &[1.0]);
    let held = hold(&worker);
    let mut handles = Vec::new();
    let backlog = loop {
        let inputs = [one.clone(), one.clone()];
        let (outputs, backlog) = worker.submit(Op::from(Arithmetic::Add), &inputs).unwrap();
        handles.extend(outputs);
        if let Some(backlog) = backlog {
            break backlog;
        }
    };
    assert!(handles.len() > 1000);
    let (sender, told) = mpsc::channel();
    backlog.notify(move || sender.send(()).unwrap());
    assert!(told.recv_timeout(Duration::from_millis(50)).is_err());
    drop(held);
    told.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(floats(&handles.pop().unwrap().read().unwrap()), [2.0]);
}

/// What is asked of a worker is queued whatever the bound; who asks for much without waiting is told of the backlog.
#[test]
fn who_asks_for_much_is_told_to_wait() {
    let worker = worker();
    let release = hold(&worker);
    assert!(worker.backlog().is_none());
    let backlog = (0..10_000).find_map(|_| {
        worker.flush(Reply::new(drop));
        worker.backlog()
    });
    let backlog = backlog.expect("a bound");
    drop(release);
    backlog.wait();
    assert!(worker.backlog().is_none());
}

#[test]
fn stopping_fails_queued_work_and_waits_for_nothing() {
    let worker = queueing();
    let one = vector(&worker, &[1.0]);
    let built = add(&worker, &one, &one);
    built.eval().unwrap();
    let held = hold(&worker);
    let queued = add(&worker, &one, &one);
    worker.stop();
    let error = worker
        .submit(Op::from(Unary::Exp), std::slice::from_ref(&one))
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Stopped);
    assert!(error.to_string().starts_with("exp(f32[1]): "), "{error}");
    drop(held);
    assert_eq!(queued.read().unwrap_err().kind, ErrorKind::Stopped);
    assert_eq!(floats(&built.read().unwrap()), [2.0]);
}

#[test]
fn a_released_tensor_is_refused_and_queued_uses_still_work() {
    let worker = queueing();
    let one = vector(&worker, &[1.0]);
    let held = hold(&worker);
    let before = add(&worker, &one, &one);
    assert!(one.release());
    assert!(!one.release());
    let error = worker
        .submit(Op::from(Unary::Exp), std::slice::from_ref(&one))
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Argument);
    assert!(error.message.contains("deallocated"), "{error}");
    drop(held);
    assert_eq!(floats(&before.read().unwrap()), [2.0]);
    assert_eq!(one.read().unwrap_err().kind, ErrorKind::Argument);
}

#[test]
fn a_panic_on_the_worker_leaves_it_working() {
    let worker = worker();
    worker.call(|| panic!("on purpose"));
    let one = vector(&worker, &[1.0]);
    assert_eq!(floats(&add(&worker, &one, &one).read().unwrap()), [2.0]);
}

#[test]
fn sizes_over_the_limit_are_errors_and_allocate_nothing() {
    let worker = worker();
    let eight_terabytes = Op::Iota(Iota {
        dtype: DType::S64,
        shape: Shape::from([1 << 20, 1 << 20]),
        axis: None,
    });
    let error = worker.submit(eight_terabytes, &[]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Memory, "{error}");
}

#[test]
fn f64_is_refused_unless_asked_for() {
    let plain = worker();
    let ty = TensorType::new(DType::F64, [1]);
    let error = plain.from_bytes(ty.clone(), &[0; 8]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Dtype);
    assert!(error.message.contains("f32"), "{error}");
    let cast = Op::AsType(AsType { dtype: DType::F64 });
    let error = plain.submit(cast, &[vector(&plain, &[1.0])]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Dtype);

    let wide = Worker::start(Config {
        device: Device::Cpu,
        f64: true,
    })
    .unwrap();
    let third = wide.from_bytes(ty, &(1.0f64 / 3.0).to_le_bytes()).unwrap();
    let sum = add(&wide, &third, &third).read().unwrap();
    assert_eq!(sum.bytes(), (2.0f64 / 3.0).to_le_bytes());
}

#[test]
fn an_absent_device_is_an_error_with_the_remedy() {
    if Device::Gpu.check().is_ok() {
        return; // There is one: the error cannot be had here.
    }
    let error = Worker::start(Config {
        device: Device::Gpu,
        f64: false,
    })
    .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Device);
    assert!(error.message.contains("cuda13"), "{error}");
}

#[test]
fn bytes_outlive_the_handle_and_may_leave_the_thread() {
    let worker = worker();
    let bytes = vector(&worker, &[1.0, 2.0]).to_bytes().unwrap();
    let length = std::thread::spawn(move || bytes.len()).join().unwrap();
    assert_eq!(length, 8);
    let empty = worker.from_bytes(TensorType::new(DType::F32, [0]), &[]);
    assert!(empty.unwrap().to_bytes().unwrap().is_empty());
}

#[test]
fn a_strided_view_reads_in_row_major_order() {
    let worker = worker();
    let ty = TensorType::new(DType::U8, [2, 3]);
    let matrix = worker.from_bytes(ty, &[1, 2, 3, 4, 5, 6]).unwrap();
    let transpose = Op::Transpose(Transpose {
        axes: [1, 0].into(),
    });
    let view = worker.apply(&transpose, &[matrix]).unwrap().remove(0);
    assert_eq!(view.read().unwrap().bytes(), [1, 4, 2, 5, 3, 6]);
}

#[test]
fn a_flush_comes_after_what_was_submitted_before() {
    let worker = queueing();
    let held = hold(&worker);
    let one = vector(&worker, &[1.0]);
    let two = add(&worker, &one, &one);
    let (sender, flushed) = mpsc::channel();
    worker.flush(Reply::new(move |done| sender.send(done).unwrap()));
    assert!(flushed.recv_timeout(Duration::from_millis(50)).is_err());
    drop(held);
    flushed
        .recv_timeout(Duration::from_secs(60))
        .unwrap()
        .unwrap();
    // The worker's lane may stop now: what was submitted is in the graph.
    worker.stop();
    assert_eq!(floats(&two.read().unwrap()), [2.0]);
}

#[test]
fn of_a_chain_whose_end_was_released_nothing_is_computed() {
    // Nobody takes its jobs.
    let worker = Worker {
        thread: Thread::alone(),
        lane: worker().lane.clone(),
        f64: false,
        inline: false,
    };
    let one = vector(&worker, &[1.0]);
    let mut sum = add(&worker, &one, &one);
    for _ in 0..10 {
        sum = add(&worker, &sum, &one);
    }
    let mut jobs = VecDeque::new();
    worker.thread.queue().take_more(&mut jobs);
    assert_eq!((jobs.len(), Job::prune(&mut jobs)), (11, 0));
    // The handle lives on, as a process's does until it is collected.
    assert!(sum.release());
    assert_eq!(Job::prune(&mut jobs), 11);
}

#[test]
fn of_several_causes_the_first_in_time_is_reported() {
    let worker = worker();
    let one = integers(&worker, &[1]);
    let zero = integers(&worker, &[0]);
    let apply = |op: Op, inputs: &[&Handle]| {
        let inputs: Vec<Handle> = inputs.iter().map(|&input| input.clone()).collect();
        worker.apply(&op, &inputs).unwrap().remove(0)
    };
    let first = apply(Op::from(Arithmetic::Remainder), &[&one, &zero]);
    let second = apply(Op::from(Arithmetic::Quotient), &[&one, &zero]);
    let cause = |a: &Handle, b: &Handle| {
        let error = apply(Op::from(Arithmetic::Add), &[a, b]).read();
        error.unwrap_err().context.unwrap().op
    };
    for round in ["neither known", "both known"] {
        for (a, b) in [(&first, &second), (&second, &first)] {
            assert_eq!(cause(a, b), Op::from(Arithmetic::Remainder), "{round}");
        }
        second.read().unwrap_err();
        // The later one is known to have failed, the first one not yet.
        assert_eq!(
            cause(&second, &first),
            Op::from(Arithmetic::Remainder),
            "{round}"
        );
        first.read().unwrap_err();
    }
}

#[test]
fn what_is_asked_is_answered_also_after_a_panic_and_by_a_stopped_worker() {
    let worker = worker();
    let ask = |worker: &Worker, f: fn() -> Result<u8>| {
        let (sender, answers) = mpsc::channel();
        let reply = Reply::new(move |result| sender.send(result).unwrap());
        worker.ask(f, reply);
        answers.recv().unwrap()
    };
    assert_eq!(ask(&worker, || Ok(7)).unwrap(), 7);
    let error = ask(&worker, || panic!("on purpose")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Internal);
    let (resume, held) = mpsc::channel::<()>();
    worker.call(move || held.recv().unwrap());
    let (sender, answers) = mpsc::channel();
    worker.ask(
        || Ok(7),
        Reply::new(move |result: Result<u8>| sender.send(result).unwrap()),
    );
    worker.stop();
    resume.send(()).unwrap();
    let queued = answers.recv().unwrap().unwrap_err();
    let later = ask(&worker, || Ok(7)).unwrap_err();
    assert_eq!(
        [queued.kind, later.kind],
        [ErrorKind::Stopped, ErrorKind::Stopped]
    );
}

/// Whose callback panics, whatever it is called with.
fn panics<T: Send + 'static>() -> Reply<T> {
    Reply::new(|_| panic!("on purpose"))
}

#[test]
fn a_panic_of_who_is_answered_leaves_the_worker_working() {
    let worker = queueing();
    let one = vector(&worker, &[1.0]);
    let two = || add(&worker, &one, &one);
    // Answered, given up before its turn and after it was taken, and asked whether it is wanted.
    two().read_with(panics());
    worker.flush(panics());
    two().read_with(panics().while_wanted(|| false));
    two().read_with(panics().while_wanted(|| panic!("on purpose")));
    let held = hold(&worker);
    two().eval_with(panics().while_wanted(|| false));
    worker.ask(|| -> Result<()> { panic!("on purpose") }, panics());
    drop(held);
    // Told that there is room.
    let held = hold(&worker);
    let full = || worker.submit(Op::from(Arithmetic::Add), &[one.clone(), one.clone()]);
    let mut handles = Vec::new();
    let backlog = loop {
        let (outputs, backlog) = full().unwrap();
        handles.extend(outputs);
        if let Some(backlog) = backlog {
            break backlog;
        }
    };
    backlog.notify(|| panic!("on purpose"));
    drop(held);
    let (sender, answers) = mpsc::channel();
    two().read_with(Reply::new(move |bytes| sender.send(bytes).unwrap()));
    let bytes = answers.recv_timeout(Duration::from_secs(60));
    assert_eq!(*bytes.unwrap().unwrap(), 2f32.to_le_bytes());
}
