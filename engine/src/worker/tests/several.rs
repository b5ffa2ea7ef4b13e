//! What workers promise that use each other's tensors.

use std::time::Instant;

use super::*;

#[test]
fn a_value_error_crosses_to_another_worker() {
    let (a, b) = (worker(), worker());
    let seven = integers(&a, &[7]);
    let zero = integers(&a, &[0]);
    let remainder = a
        .apply(&Op::from(Arithmetic::Remainder), &[seven.clone(), zero])
        .unwrap()
        .remove(0);
    let after = add(&b, &remainder, &seven);
    assert_eq!(after.read().unwrap_err().kind, ErrorKind::Numeric);
}

#[test]
fn workers_that_share_a_thread_stop_alone() {
    let first = worker();
    let others: Vec<Worker> = (0..64).map(|_| worker()).collect();
    first.stop();
    for other in &others {
        let one = vector(other, &[1.0]);
        assert_eq!(floats(&add(other, &one, &one).read().unwrap()), [2.0]);
    }
}

#[test]
fn two_workers_can_use_each_others_results_without_end() {
    let (a, b) = (worker(), worker());
    let one = vector(&a, &[1.0]);
    let mut sum = one.clone();
    for i in 0..500 {
        let lane = if i % 2 == 0 { &b } else { &a };
        sum = add(lane, &sum, &one);
    }
    assert_eq!(floats(&sum.read().unwrap()), [501.0]);
}

#[test]
fn eight_workers_at_once_give_right_answers() {
    let threads: Vec<_> = (0..8)
        .map(|i| {
            std::thread::spawn(move || {
                let worker = worker();
                let step = vector(&worker, &[i as f32]);
                let mut sum = step.clone();
                for _ in 0..300 {
                    sum = add(&worker, &sum, &step);
                }
                floats(&sum.read().unwrap())
            })
        })
        .collect();
    for (i, thread) in threads.into_iter().enumerate() {
        assert_eq!(thread.join().unwrap(), [301.0 * i as f32]);
    }
}

/// Has another worker add a worker's 1 and 2 while that one is at something else.
fn used_at_once(busy: &Worker, [one, two]: [&Handle; 2]) {
    let release = hold(busy);
    let (sender, receiver) = mpsc::channel();
    add(&worker(), one, two).read_with(Reply::new(move |bytes| sender.send(bytes).unwrap()));
    let bytes = receiver.recv_timeout(Duration::from_secs(20));
    assert_eq!(*bytes.unwrap().unwrap(), 3f32.to_le_bytes());
    drop(release);
}

#[test]
fn a_computed_tensor_of_a_busy_worker_is_used_at_once() {
    let busy = worker();
    let one = vector(&busy, &[1.0]);
    let two = add(&busy, &one, &one);
    two.eval().unwrap();
    used_at_once(&busy, [&one, &two]);
}

#[test]
fn a_tensor_that_was_computed_unasked_is_used_at_once() {
    let busy = worker();
    let one = vector(&busy, &[1.0]);
    let two = add(&busy, &one, &one);
    let start = Instant::now();
    while !two.0.is_computed() {
        assert!(start.elapsed() < Duration::from_secs(20));
        handle::wait(|reply| busy.flush(reply)).unwrap();
    }
    used_at_once(&busy, [&one, &two]);
}

#[test]
fn operands_of_another_worker_count_against_its_bound() {
    let (busy, idle) = (queueing(), queueing());
    let one = vector(&busy, &[1.0]);
    let two = add(&busy, &one, &one);
    let release = hold(&busy);
    let call = || idle.submit(Op::from(Arithmetic::Add), &[two.clone(), two.clone()]);
    let full = (0..3000).find_map(|_| call().unwrap().1);
    let backlog = full.expect("the busy worker's queue is full before that of the idle one");
    drop(release);
    backlog.wait();
}
