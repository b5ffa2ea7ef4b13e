//! The part of a worker thread that callers see: its queue, and what can be put into it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, Weak, mpsc};
use std::thread::ThreadId;

use emily_spec::{Error, ErrorKind, Result, TensorType};
use smallvec::SmallVec;

use crate::bytes::Bytes;
use crate::worker::Reply;
use crate::worker::failure::Failure;
use crate::worker::queue::Queue;
use crate::worker::runner::{Origin, Runner};
use crate::worker::scheduling;
use crate::worker::slot::{Slot, State, Use, Value};
use crate::worker::sync::{Condvar, Mutex};
use crate::{Device, Prepared, ending, reaper};

/// Something for a thread to do, in order.
pub(crate) enum Job {
    Apply(Apply),
    Program(Box<Run>),
    Read(Use, Reply<Bytes>),
    Eval(Use, Reply<()>),
    Flush(Reply<()>),
    Call(Box<dyn FnOnce() + Send>),
    /// Make room for so many bytes.
    Room(usize, Reply<()>),
    /// The process is ending: reply when nothing is being computed any more.
    Settle(Reply<()>),
}

/// An op with results this large is worth starting at once.
pub(crate) const LARGE: usize = 1 << 20;

impl Job {
    /// Whether it is worth waking the thread for.
    fn urgent(&self) -> bool {
        match self {
            Job::Apply(apply) => apply.bytes >= LARGE,
            Job::Program(run) => run.program.is_large(),
            Job::Read(..)
            | Job::Eval(..)
            | Job::Flush(_)
            | Job::Call(_)
            | Job::Room(..)
            | Job::Settle(_) => true,
        }
    }

    /// Whether somebody still waits for what it does.
    pub(crate) fn is_wanted(&self) -> bool {
        match self {
            Job::Apply(apply) => is_held(&apply.outputs),
            Job::Program(run) => run.is_wanted(),
            Job::Read(_, reply) => reply.is_wanted(),
            Job::Eval(_, reply) => reply.is_wanted(),
            Job::Flush(_) | Job::Call(_) | Job::Room(..) | Job::Settle(_) => true,
        }
    }

    /// Whether its answer is known, so that nothing is left to compute.
    pub(crate) fn is_known(&self) -> bool {
        match self {
            Job::Read(tensor, _) => tensor.slot().is_readable(),
            Job::Eval(tensor, _) => tensor.slot().is_known(),
            Job::Apply(_)
            | Job::Program(_)
            | Job::Flush(_)
            | Job::Call(_)
            | Job::Room(..)
            | Job::Settle(_) => false,
        }
    }

    /// Drops the jobs that nobody waits for, the last first: a job holds its operands, which may be all
    /// that an earlier one was wanted for. Returns how many.
    pub(crate) fn prune(jobs: &mut VecDeque<Job>) -> usize {
        if jobs.iter().all(Job::is_wanted) {
            return 0;
        }
        let before = jobs.len();
        let mut wanted = VecDeque::with_capacity(before);
        while let Some(job) = jobs.pop_back() {
            if job.is_wanted() {
                wanted.push_front(job);
            }
        }
        *jobs = wanted;
        before - jobs.len()
    }
}

/// An op, its operands and the slots it fills. The slots are weak: work nobody waits for any more
/// is not done.
pub(crate) struct Apply {
    pub(crate) origin: Origin,
    /// The results' types, inferred at the call.
    pub(crate) results: Vec<TensorType>,
    /// The results' size.
    pub(crate) bytes: usize,
    /// What is needed beside operands and results, where that is much.
    pub(crate) on_the_way: usize,
    pub(crate) inputs: SmallVec<[Input; 3]>,
    pub(crate) outputs: SmallVec<[Weak<Slot>; 1]>,
    pub(crate) lane: Arc<Lane>,
}

/// A program, its inputs and the slots it fills, which are weak as those of an op are.
pub(crate) struct Run {
    pub(crate) program: Arc<Prepared>,
    pub(crate) inputs: SmallVec<[Input; 3]>,
    pub(crate) outputs: SmallVec<[Weak<Slot>; 1]>,
    pub(crate) lane: Arc<Lane>,
}

impl Run {
    /// Whether somebody still waits for a result.
    pub(crate) fn is_wanted(&self) -> bool {
        is_held(&self.outputs)
    }

    /// Every result is this failure.
    pub(crate) fn fail(&self, failure: &Arc<Failure>) {
        for slot in self.outputs.iter().filter_map(Weak::upgrade) {
            slot.fill(State::Failed(failure.clone()));
        }
    }
}

fn is_held(slots: &[Weak<Slot>]) -> bool {
    let mut held = slots.iter().filter_map(Weak::upgrade);
    held.any(|slot| slot.is_wanted())
}

/// An operand.
pub(crate) enum Input {
    /// On the same thread, so that its graph can be built upon, or computed.
    Ready(Use),
    /// On another thread, which opens the gate once it has evaluated it.
    Foreign(Use, Arc<Gate>),
}

/// A door that opens once.
#[derive(Default)]
pub(crate) struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    /// The reply that opens a gate, wanted while somebody is to pass it.
    pub(crate) fn opener(gate: &Arc<Gate>) -> Reply<()> {
        let weak = Arc::downgrade(gate);
        let wanted = weak.clone();
        let open = move |_: Result<()>| drop(weak.upgrade().inspect(|gate| gate.open()));
        Reply::new(open).while_wanted(move || wanted.strong_count() > 0)
    }

    pub(crate) fn open(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.opened.notify_all();
    }

    pub(crate) fn wait(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let _open = self
            .opened
            .wait_while(open, |open| !*open)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

/// One worker's share of a thread.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) name: Arc<str>,
    stopped: AtomicBool,
    thread: Weak<Thread>,
}

impl Lane {
    pub(crate) fn new(name: &str, thread: &Arc<Thread>) -> Arc<Lane> {
        thread.lanes.fetch_add(1, Ordering::Relaxed);
        Arc::new(Lane {
            name: name.into(),
            stopped: AtomicBool::new(false),
            thread: Arc::downgrade(thread),
        })
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(crate) fn stopped_error(&self) -> Error {
        Error::new(
            ErrorKind::Stopped,
            format!("{} was stopped; start another one", self.name),
        )
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.upgrade() {
            thread.lanes.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A worker thread, seen from outside.
pub(crate) struct Thread {
    pub(crate) name: String,
    pub(crate) device: Device,
    queue: Queue<Job, Value>,
    id: OnceLock<ThreadId>,
    lanes: AtomicUsize,
}

impl Thread {
    /// Starts the thread and waits until its stream is there.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when the thread or its stream cannot be made.
    pub(crate) fn start(device: Device, number: usize) -> Result<Arc<Thread>> {
        let thread = Arc::new(Thread {
            name: format!("{device}:{number}"),
            device,
            queue: Queue::new(),
            id: OnceLock::new(),
            lanes: AtomicUsize::new(0),
        });
        let (ready, started) = mpsc::sync_channel(1);
        let inner = thread.clone();
        let spawned = std::thread::Builder::new()
            .name(format!("{}{}", scheduling::THREAD_NAME, thread.name))
            .spawn(move || {
                // Each thread sets its own identity once.
                let _ = inner.id.set(std::thread::current().id());
                scheduling::compute();
                let runner = Runner::new(inner);
                ending::come_first();
                // The starter waits for this; if it is gone, there is nobody to tell.
                let _ = ready.send(runner.as_ref().err().cloned());
                if let Ok(runner) = runner {
                    runner.run();
                }
            });
        spawned.map_err(|error| {
            Error::new(
                ErrorKind::Internal,
                format!("no thread for a worker: {error}"),
            )
        })?;
        match started.recv() {
            Ok(None) => Ok(thread),
            Ok(Some(error)) => Err(error),
            Err(_) => Err(Error::new(
                ErrorKind::Internal,
                "a worker's thread ended while it started",
            )),
        }
    }

    /// What callers see of a thread that is none.
    #[cfg(test)]
    pub(crate) fn alone() -> Arc<Thread> {
        Arc::new(Thread {
            name: "alone".to_owned(),
            device: Device::Cpu,
            queue: Queue::new(),
            id: OnceLock::new(),
            lanes: AtomicUsize::new(0),
        })
    }

    pub(crate) fn queue(&self) -> &Queue<Job, Value> {
        &self.queue
    }

    pub(crate) fn lanes(&self) -> usize {
        self.lanes.load(Ordering::Relaxed)
    }

    pub(crate) fn depth(&self) -> usize {
        self.queue.depth()
    }

    /// Queues a job that has its own way of waiting.
    pub(crate) fn push(&self, job: Job) {
        let urgent = job.urgent();
        self.queue.push(job, urgent);
    }

    /// Queues a job; this thread where that leaves its queue over the bound.
    pub(crate) fn push_bounded(self: &Arc<Thread>, job: Job) -> Option<Arc<Thread>> {
        let urgent = job.urgent();
        self.queue.push(job, urgent).then(|| self.clone())
    }

    /// Drops what a slot held, on the thread that may.
    pub(crate) fn discard(&self, state: State) {
        match state {
            // MLX may be half destroyed by now, and the memory is given back soon anyway.
            State::Ready(value) if ending::begun() => std::mem::forget(value),
            State::Ready(value) => {
                let here = self.id.get() == Some(&std::thread::current().id());
                if here {
                    drop(value);
                } else if value.evaluated && value.guards.is_empty() {
                    // It has no graph, so it need not wait for this thread.
                    reaper::discard(value.array, value.kept);
                } else {
                    self.queue.discard(value);
                }
            }
            State::Pending | State::Failed(_) | State::Released => {}
        }
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thread({})", self.name)
    }
}
