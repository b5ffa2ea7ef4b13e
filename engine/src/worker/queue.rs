//! A thread's queue: any caller pushes, one thread takes everything at once.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::worker::Reply;

/// Jobs that may wait before a caller is asked to.
const BOUND: usize = 4096;

/// Jobs that may still wait when those callers go on.
const ROOM: usize = BOUND / 2;

/// A queue with a soft bound: a push over it succeeds and tells the caller to wait.
pub(crate) struct Queue<J, T> {
    inner: Mutex<Inner<J, T>>,
    wake: Condvar,
    /// Jobs pushed and not yet done; those that were taken count. It grows under the lock only.
    depth: AtomicUsize,
}

struct Inner<J, T> {
    jobs: VecDeque<J>,
    /// Values that only the taking thread may drop.
    trash: Vec<T>,
    /// The taking thread sleeps, so a push must wake it.
    asleep: bool,
    /// Callers that wait for room.
    waiting: Vec<Reply<()>>,
}

impl<J, T> Queue<J, T> {
    pub(crate) fn new() -> Queue<J, T> {
        Queue {
            inner: Mutex::new(Inner {
                jobs: VecDeque::new(),
                trash: Vec::new(),
                asleep: false,
                waiting: Vec::new(),
            }),
            wake: Condvar::new(),
            depth: AtomicUsize::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<J, T>> {
        // Nothing under the lock can panic halfway through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job; true when the queue is now over its bound.
    pub(crate) fn push(&self, job: J) -> bool {
        let mut inner = self.lock();
        inner.jobs.push_back(job);
        let over = self.depth.fetch_add(1, Ordering::SeqCst) >= BOUND;
        self.wake(inner);
        over
    }

    /// Leaves something for the taking thread to drop.
    pub(crate) fn discard(&self, trash: T) {
        let mut inner = self.lock();
        inner.trash.push(trash);
        self.wake(inner);
    }

    fn wake(&self, mut inner: MutexGuard<'_, Inner<J, T>>) {
        let asleep = std::mem::take(&mut inner.asleep);
        drop(inner);
        if asleep {
            self.wake.notify_one();
        }
    }

    /// Sleeps until there is something, then takes all of it.
    pub(crate) fn take(&self, jobs: &mut VecDeque<J>, trash: &mut Vec<T>) {
        let mut inner = self.lock();
        while inner.jobs.is_empty() && inner.trash.is_empty() {
            inner.asleep = true;
            inner = self
                .wake
                .wait(inner)
                .unwrap_or_else(PoisonError::into_inner);
        }
        inner.asleep = false;
        std::mem::swap(&mut inner.jobs, jobs);
        std::mem::swap(&mut inner.trash, trash);
    }

    /// Counts a job as done, and lets waiting callers go on when that leaves half the bound free.
    pub(crate) fn done(&self) {
        if self.depth.fetch_sub(1, Ordering::SeqCst) != ROOM + 1 {
            return;
        }
        let waiting = std::mem::take(&mut self.lock().waiting);
        for reply in waiting {
            reply.send(Ok(()));
        }
    }

    pub(crate) fn depth(&self) -> usize {
        self.depth.load(Ordering::SeqCst)
    }

    /// Calls `reply` once there is room, at once if there is now.
    pub(crate) fn when_room(&self, reply: Reply<()>) {
        {
            let mut inner = self.lock();
            // Whoever is counted here sees `done` come down to the room, which then takes the lock.
            if self.depth() > ROOM {
                inner.waiting.push(reply);
                return;
            }
        }
        reply.send(Ok(()));
    }
}

/// The queue is over its bound: the caller should wait before it submits more.
#[must_use = "submitting on without waiting lets the queue grow"]
pub struct Backlog(pub(crate) std::sync::Arc<crate::worker::Thread>);

impl Backlog {
    /// Calls `f` once there is room, on the worker's thread or this one.
    pub fn notify(self, f: impl FnOnce() + Send + 'static) {
        self.0.when_room(Reply::new(move |_| f()));
    }

    /// Blocks until there is room.
    pub fn wait(self) {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.notify(move || {
            // The receiver waits right below.
            let _ = sender.send(());
        });
        // An error means that the reply was dropped, and waiting longer is no use.
        let _ = receiver.recv();
    }
}

impl fmt::Debug for Backlog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backlog({})", self.0.depth())
    }
}
