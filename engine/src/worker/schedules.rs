//! In whatever order threads go: the queue, gates, turns and what a handle holds, under shuttle.
//!
//! Each protocol runs under schedules at random, under some that change threads rarely and at bad moments,
//! and, where it is small, under all there are. `EMILY_SCHEDULES` says how many of the first two.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use emily_spec::{DType, Error, ErrorKind, TensorType};
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::atomic::AtomicBool;
use shuttle::sync::mpsc;
use shuttle::{Runner, thread};

use super::failure::Failure;
use super::progress::Progress;
use super::queue::Queue;
use super::slot::{Slot, State, Use};
use super::sync::{AtomicUsize, Fault};
use super::turn::Turns;
use super::{Gate, Reply, Thread};
use crate::mlx::Told;

const SEED: u64 = 11;

/// No more of all schedules are looked at.
const MOST: usize = 200_000;

/// Explores a protocol, whose assertions and deadlocks are panics, and says how much of it.
fn explore(name: &str, protocol: fn()) {
    let count = std::env::var("EMILY_SCHEDULES").ok();
    let count = count.and_then(|count| count.parse().ok()).unwrap_or(2000);
    let random = run(protocol, RandomScheduler::new_from_seed(SEED, count));
    let rare = run(protocol, PctScheduler::new_from_seed(SEED, 3, count));
    println!("{name}: {} schedules", random + rare);
}

/// The same under all schedules of a small protocol.
fn explore_all(name: &str, protocol: fn()) {
    let count = run(protocol, DfsScheduler::new(Some(MOST), false));
    assert!(count < MOST, "{name} is not small");
    println!("{name}: all {count} schedules");
}

fn run(protocol: fn(), scheduler: impl Scheduler + 'static) -> usize {
    Runner::new(scheduler, shuttle::Config::new()).run(protocol)
}

/// That a protocol with this fault does not pass.
fn is_found(fault: Fault, protocol: fn()) {
    let faulty = || run(protocol, RandomScheduler::new_from_seed(SEED, 2000));
    let outcome = std::panic::catch_unwind(|| Fault::planted(Some(fault), faulty));
    assert!(outcome.is_err(), "the fault was not noticed");
}

/// Jobs come out once each and in order, and whoever waits for room hears of it.
fn jobs(callers: usize, each: usize) {
    let queue = Arc::new(Queue::<(usize, usize), ()>::new());
    let threads: Vec<_> = (0..callers)
        .map(|caller| {
            let queue = queue.clone();
            thread::spawn(move || {
                for job in 0..each {
                    if queue.push((caller, job), job % 2 == 1) {
                        let (sender, room) = mpsc::channel();
                        queue.when_room(Reply::new(move |_| sender.send(()).unwrap()));
                        room.recv().unwrap();
                    }
                }
            })
        })
        .collect();
    let (mut batch, mut trash) = (VecDeque::new(), Vec::new());
    let mut seen = vec![0; callers];
    while seen.iter().sum::<usize>() < callers * each {
        queue.take(&mut batch, &mut trash, true);
        while let Some((caller, job)) = batch.pop_front() {
            assert_eq!(seen[caller], job);
            seen[caller] += 1;
            queue.done(1);
            queue.take_more(&mut batch);
        }
    }
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    assert_eq!(queue.depth(), 0);
}

/// What only the taking thread may drop reaches it, also while it sleeps.
fn trash() {
    let queue = Arc::new(Queue::<(), u8>::new());
    let threads = [1, 2].map(|item| {
        let queue = queue.clone();
        thread::spawn(move || queue.discard(item))
    });
    let (mut batch, mut trash) = (VecDeque::new(), Vec::new());
    let mut seen = 0;
    while seen < 3 {
        queue.take(&mut batch, &mut trash, true);
        seen += trash.drain(..).sum::<u8>();
    }
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

/// A thread that waits for MLX sees that it is done, and what came into its queue before and after that.
fn meanwhile() {
    let queue = Arc::new(Queue::<usize, ()>::new());
    let progress = Arc::new(Progress::new());
    let there = Arc::new(AtomicBool::new(false));
    let (stream, done) = (progress.clone(), there.clone());
    let stream = thread::spawn(move || {
        done.store(true, Ordering::SeqCst);
        stream.tell();
    });
    let callers = [1, 2].map(|job| {
        let queue = queue.clone();
        thread::spawn(move || {
            queue.push(job, true);
        })
    });
    let (mut batch, mut trash) = (VecDeque::new(), Vec::new());
    loop {
        let ends = progress.ends();
        if there.load(Ordering::SeqCst) {
            break;
        }
        progress.wait(ends, Duration::ZERO);
        queue.take_more(&mut batch);
    }
    let mut sum = 0;
    loop {
        queue.done(batch.len());
        sum += batch.drain(..).sum::<usize>();
        if sum == 3 {
            break;
        }
        queue.take(&mut batch, &mut trash, true);
    }
    stream.join().unwrap();
    callers
        .into_iter()
        .for_each(|caller| caller.join().unwrap());
    assert_eq!((progress.ends(), queue.depth()), (1, 0));
}

/// What a worker's thread does for an operand of another's.
enum Step {
    /// As [`super::Job::Eval`], of the operand's thread.
    Evaluate(Reply<()>),
    /// As [`super::Job::Apply`], where somebody still wants it.
    Pass(Arc<Gate>, Arc<AtomicBool>),
    End,
}

fn steps(queue: &Queue<Step, ()>) {
    let (mut batch, mut trash) = (VecDeque::new(), Vec::new());
    loop {
        queue.take(&mut batch, &mut trash, true);
        while let Some(step) = batch.pop_front() {
            match step {
                Step::Evaluate(reply) if reply.is_wanted() => reply.send(Ok(())),
                Step::Evaluate(reply) => drop(reply),
                Step::Pass(gate, wanted) if wanted.load(Ordering::SeqCst) => gate.wait(),
                Step::Pass(..) => {}
                Step::End => return,
            }
            queue.done(1);
        }
    }
}

/// Two workers that use each other's results, one of which is given up, wait for each other in no circle.
fn operands() {
    let queues = [(); 2].map(|()| Arc::new(Queue::<Step, ()>::new()));
    let workers = queues
        .clone()
        .map(|queue| thread::spawn(move || steps(&queue)));
    let callers = [0, 1].map(|own| {
        let queues = queues.clone();
        thread::spawn(move || {
            let gate = Arc::new(Gate::default());
            let wanted = Arc::new(AtomicBool::new(true));
            queues[1 - own].push(Step::Evaluate(Gate::opener(&gate)), true);
            queues[own].push(Step::Pass(gate, wanted.clone()), false);
            if own == 0 {
                wanted.store(false, Ordering::SeqCst);
            }
        })
    });
    callers
        .into_iter()
        .for_each(|caller| caller.join().unwrap());
    for queue in &queues {
        queue.push(Step::End, true);
    }
    workers
        .into_iter()
        .for_each(|worker| worker.join().unwrap());
}

/// No more have a turn than there are, and all come back.
fn turns(threads: usize) {
    let turns = Arc::new(Turns::new(1));
    let taken = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..threads)
        .map(|_| {
            let (turns, taken) = (turns.clone(), taken.clone());
            thread::spawn(move || {
                let turn = turns.take(Duration::ZERO);
                if turn.is_held() {
                    assert_eq!(taken.fetch_add(1, Ordering::SeqCst), 0);
                    taken.fetch_sub(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    assert!(turns.take(Duration::ZERO).is_held());
}

/// A slot, and what it says while it is not released: an error stands for a value, which would be MLX's.
fn slot() -> (Arc<Slot>, Arc<Failure>) {
    let failure = Failure::new(Error::new(ErrorKind::Internal, "there"));
    let ty = TensorType::new(DType::U8, [1]);
    let state = State::Failed(failure.clone());
    (Slot::new(ty, Thread::alone(), state), failure)
}

/// A release takes the value away once, when the last job that was queued before it is done with it, and
/// nothing brings it back.
fn release(users: usize, releases: usize, others: bool) {
    let (slot, there) = slot();
    let mut threads = Vec::new();
    for _ in 0..users {
        let queued = Use::of(&slot);
        let there = there.clone();
        threads.push(thread::spawn(move || {
            assert_eq!(queued.slot().value().err(), Some(there));
        }));
    }
    if others {
        let late = slot.clone();
        threads.push(thread::spawn(move || {
            if late.check_held().is_ok() {
                drop(Use::of(&late));
            }
        }));
        // The worker comes to it after all.
        let filled = slot.clone();
        threads.push(thread::spawn(move || filled.fill(State::Failed(there))));
    }
    let first = Arc::new(AtomicUsize::new(0));
    for _ in 0..releases {
        let (slot, first) = (slot.clone(), first.clone());
        threads.push(thread::spawn(move || {
            first.fetch_add(usize::from(slot.release()), Ordering::SeqCst);
        }));
    }
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    assert_eq!(first.load(Ordering::SeqCst), 1);
    assert!(matches!(*slot.state(), State::Released));
}

#[test]
fn the_queue_loses_no_job_and_leaves_nobody_waiting() {
    explore("three callers, nine jobs", || jobs(3, 3));
    explore_all("a caller, a job", || jobs(1, 1));
    is_found(Fault::LostWake, || jobs(3, 3));
    is_found(Fault::TornCount, || jobs(3, 3));
}

#[test]
fn what_is_discarded_reaches_a_thread_that_sleeps() {
    explore("two discarded values", trash);
    is_found(Fault::LostWake, trash);
}

#[test]
fn who_waits_for_mlx_misses_neither_its_end_nor_what_comes() {
    explore("a stream, two callers", meanwhile);
    is_found(Fault::LostWake, meanwhile);
    is_found(Fault::TornCount, meanwhile);
}

#[test]
fn workers_wait_for_each_other_in_no_circle() {
    explore("two workers, two foreign operands", operands);
    is_found(Fault::LostWake, operands);
}

#[test]
fn no_more_have_a_turn_than_there_are() {
    explore("three threads, one turn", || turns(3));
    explore_all("two threads, one turn", || turns(2));
}

#[test]
fn a_release_waits_for_the_last_use_and_is_final() {
    explore("three uses, two releases", || release(3, 2, true));
    explore_all("a use, a release", || release(1, 1, false));
    is_found(Fault::TornCount, || release(3, 2, true));
}
