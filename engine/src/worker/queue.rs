//! A thread's queue: any caller pushes, one thread takes everything at once.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use smallvec::SmallVec;

use crate::worker::sync::{AtomicUsize, Condvar, Mutex, MutexGuard};
use crate::worker::{Reply, Thread};

/// Jobs that may wait before a caller is asked to; few, where schedules are explored.
const BOUND: usize = if cfg!(all(test, feature = "schedules")) {
    2
} else {
    4096
};

/// Jobs that may still wait when those callers go on.
const ROOM: usize = BOUND / 2;

/// How long jobs that are not urgent gather before the thread takes them, unless it becomes many.
///
/// Waking a thread costs its caller more than most ops do. One wake for many of them is what lets a
/// caller submit at full speed.
const DOZE: Duration = Duration::from_millis(1);

/// So many jobs are worth a wake.
const MANY: usize = 16;

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
    rest: Rest,
    /// A job waits that somebody waits for.
    urgent: bool,
    /// Callers that wait for room.
    waiting: Vec<Reply<()>>,
}

/// What the taking thread does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    Awake,
    /// It looks again by itself, soon.
    Dozing,
    Asleep,
}

impl<J, T> Inner<J, T> {
    fn worth_a_wake(&self) -> bool {
        self.urgent || self.jobs.len() >= MANY
    }
}

impl<J, T> Queue<J, T> {
    pub(crate) fn new() -> Queue<J, T> {
        Queue {
            inner: Mutex::new(Inner {
                jobs: VecDeque::new(),
                trash: Vec::new(),
                rest: Rest::Awake,
                urgent: false,
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

    /// Adds a job; true when the queue is now over its bound. One that is not urgent may wait a
    /// moment for more to come.
    pub(crate) fn push(&self, job: J, urgent: bool) -> bool {
        let mut inner = self.lock();
        inner.jobs.push_back(job);
        inner.urgent |= urgent;
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
        let due = match inner.rest {
            Rest::Awake => false,
            Rest::Dozing => inner.worth_a_wake(),
            Rest::Asleep => true,
        };
        if due {
            inner.rest = Rest::Awake;
        }
        drop(inner);
        if due {
            self.wake.notify_one();
        }
    }

    /// Dozes while little is there, sleeps while nothing is, then takes all of it. A thread that has
    /// other work to do is not `free` to sleep, and may get nothing.
    pub(crate) fn take(&self, jobs: &mut VecDeque<J>, trash: &mut Vec<T>, free: bool) {
        let mut inner = self.lock();
        if !inner.worth_a_wake() {
            inner.rest = Rest::Dozing;
            (inner, _) = self
                .wake
                .wait_timeout_while(inner, DOZE, |inner| !inner.worth_a_wake())
                .unwrap_or_else(PoisonError::into_inner);
        }
        while free && inner.jobs.is_empty() && inner.trash.is_empty() {
            inner.rest = Rest::Asleep;
            inner = self
                .wake
                .wait(inner)
                .unwrap_or_else(PoisonError::into_inner);
        }
        inner.rest = Rest::Awake;
        inner.urgent = false;
        std::mem::swap(&mut inner.jobs, jobs);
        std::mem::swap(&mut inner.trash, trash);
    }

    /// Takes what has come since, waiting for nothing.
    pub(crate) fn take_more(&self, jobs: &mut VecDeque<J>) {
        let mut inner = self.lock();
        inner.urgent = false;
        jobs.append(&mut inner.jobs);
    }

    /// Takes what only the taking thread may drop, and leaves the jobs.
    pub(crate) fn take_trash(&self) -> Vec<T> {
        std::mem::take(&mut self.lock().trash)
    }

    /// Counts jobs as done, and lets waiting callers go on when that leaves half the bound free.
    pub(crate) fn done(&self, count: usize) {
        let before = self.depth.fetch_sub(count, Ordering::SeqCst);
        if before <= ROOM || before - count > ROOM {
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
pub struct Backlog(SmallVec<[Arc<Thread>; 1]>);

impl Backlog {
    /// The backlog of these threads, where there are any.
    pub(crate) fn of(threads: SmallVec<[Arc<Thread>; 1]>) -> Option<Backlog> {
        (!threads.is_empty()).then_some(Backlog(threads))
    }

    /// The backlog of this thread, where it is over its bound now.
    pub(crate) fn now(thread: &Arc<Thread>) -> Option<Backlog> {
        let over = thread.depth() > BOUND;
        over.then(|| Backlog(SmallVec::from_elem(thread.clone(), 1)))
    }

    /// Calls `f` once there is room in all of them, on a worker's thread or this one.
    pub fn notify(mut self, f: impl FnOnce() + Send + 'static) {
        self.notify_boxed(Box::new(f));
    }

    fn notify_boxed(&mut self, f: Box<dyn FnOnce() + Send>) {
        let Some(thread) = self.0.pop() else {
            return f();
        };
        let mut rest = Backlog(std::mem::take(&mut self.0));
        thread
            .queue()
            .when_room(Reply::new(move |_| rest.notify_boxed(f)));
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
        let depths = self.0.iter().map(|thread| thread.depth());
        f.debug_tuple("Backlog")
            .field(&depths.collect::<Vec<_>>())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes each job once the one before was taken, so that the thread dozes in between.
    fn one_by_one(jobs: &[(u32, bool)]) -> Vec<u32> {
        let queue = Queue::<u32, ()>::new();
        let (sender, taken) = std::sync::mpsc::channel();
        let count = jobs.len();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut batch, mut trash) = (VecDeque::new(), Vec::new());
                let mut seen = 0;
                while seen < count {
                    queue.take(&mut batch, &mut trash, true);
                    seen += batch.len();
                    batch.drain(..).for_each(|job| sender.send(job).unwrap());
                }
            });
            jobs.iter()
                .map(|&(job, urgent)| {
                    queue.push(job, urgent);
                    taken.recv().unwrap()
                })
                .collect()
        })
    }

    #[test]
    fn a_small_job_is_taken_without_another() {
        let jobs: Vec<_> = (0..100).map(|job| (job, false)).collect();
        assert_eq!(one_by_one(&jobs), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn urgent_and_small_jobs_are_taken_in_order() {
        let jobs: Vec<_> = (0..100).map(|job| (job, job % 3 == 0)).collect();
        assert_eq!(one_by_one(&jobs), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn many_small_jobs_and_an_urgent_one_are_worth_a_wake() {
        let queue = Queue::<u32, ()>::new();
        for job in 1..MANY {
            queue.push(job as u32, false);
        }
        assert!(!queue.lock().worth_a_wake());
        queue.push(0, false);
        assert!(queue.lock().worth_a_wake());

        let queue = Queue::<u32, ()>::new();
        queue.push(0, true);
        assert!(queue.lock().worth_a_wake());
        queue.take(&mut VecDeque::new(), &mut Vec::new(), true);
        assert!(!queue.lock().worth_a_wake());
    }
}
