//! The thread that gives large buffers back.
//!
//! The system takes 70 µs for every megabyte that it takes back. Tensors end wherever their last
//! handle does, which may be a thread that has to answer in less. So whatever is large ends on a
//! thread of its own, which starts when it is first needed.
//!
//! What waits here is memory that nobody holds and that still counts as in use. [`settle`] waits for
//! it: who asks what is in use does, and who refuses for want of memory.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

use mlx_rs::Array;

use crate::ending;

/// Smaller ones are given back where they end, at about the price of handing them over.
const LARGE: usize = 1 << 20;

/// Ends an array that is evaluated, so that any thread may: soon, if it keeps many bytes.
pub(crate) fn discard(array: Array, bytes: usize) {
    if ending::begun() {
        // MLX may be half destroyed by now, and the memory is given back soon anyway.
        return std::mem::forget(array);
    }
    if bytes < LARGE {
        return drop(array);
    }
    match *REAPER {
        Some(reaper) => {
            WAITING.fetch_add(bytes, Ordering::Relaxed);
            reaper.push(Dead(array, bytes));
        }
        None => drop(array),
    }
}

/// The bytes that are being given back.
pub(crate) fn waiting() -> usize {
    WAITING.load(Ordering::Relaxed)
}

static WAITING: AtomicUsize = AtomicUsize::new(0);

/// An array that nobody holds, and what it keeps.
struct Dead(
    #[expect(dead_code, reason = "it only has to end")] Array,
    usize,
);

impl Drop for Dead {
    fn drop(&mut self) {
        WAITING.fetch_sub(self.1, Ordering::Relaxed);
    }
}

/// Waits until all that was discarded before is given back.
pub(crate) fn settle() {
    if let Some(reaper) = LazyLock::get(&REAPER).and_then(|reaper| *reaper) {
        reaper.settle();
    }
}

/// `None` where there is no thread to be had: then things end where they are.
static REAPER: LazyLock<Option<&'static Reaper<Dead>>> = LazyLock::new(|| {
    let reaper: &'static Reaper<Dead> = Box::leak(Box::default());
    let thread = thread::Builder::new().name("emily reaper".to_owned());
    let spawned = thread.spawn(|| reaper.run());
    spawned.is_ok().then_some(reaper)
});

/// A queue of what is to end.
struct Reaper<T> {
    inner: Mutex<Inner<T>>,
    change: Condvar,
}

/// What waits is bounded by memory itself: each has a megabyte of it.
struct Inner<T> {
    waiting: VecDeque<T>,
    /// How many there were ever.
    pushed: u64,
    /// How many of them have ended.
    ended: u64,
}

impl<T> Default for Reaper<T> {
    fn default() -> Reaper<T> {
        Reaper {
            inner: Mutex::new(Inner {
                waiting: VecDeque::new(),
                pushed: 0,
                ended: 0,
            }),
            change: Condvar::new(),
        }
    }
}

impl<T> Reaper<T> {
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        // Nothing under the lock can panic halfway through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, item: T) {
        let mut inner = self.lock();
        inner.waiting.push_back(item);
        inner.pushed += 1;
        drop(inner);
        self.change.notify_all();
    }

    fn settle(&self) {
        let inner = self.lock();
        let all = inner.pushed;
        let _inner = self
            .change
            .wait_while(inner, |inner| inner.ended < all)
            .unwrap_or_else(PoisonError::into_inner);
    }

    /// Ends things for the rest of the process's life.
    fn run(&self) {
        let mut inner = self.lock();
        loop {
            inner = self
                .change
                .wait_while(inner, |inner| inner.waiting.is_empty())
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(item) = inner.waiting.pop_front() {
                drop(inner);
                drop(item);
                inner = self.lock();
                inner.ended += 1;
                self.change.notify_all();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Ends once it is allowed to.
    struct Slow(mpsc::Receiver<()>, mpsc::Sender<()>);

    impl Drop for Slow {
        fn drop(&mut self) {
            self.0.recv().unwrap();
            self.1.send(()).unwrap();
        }
    }

    #[test]
    fn what_was_handed_over_before_is_waited_for() {
        let reaper: &'static Reaper<Slow> = Box::leak(Box::default());
        let (ended, ends) = mpsc::channel();
        let allow: Vec<_> = (0..3)
            .map(|_| {
                let (allow, allowed) = mpsc::channel();
                reaper.push(Slow(allowed, ended.clone()));
                allow
            })
            .collect();
        thread::spawn(|| reaper.run());
        thread::scope(|scope| {
            let waits = scope.spawn(move || {
                reaper.settle();
                ends.try_iter().count()
            });
            for allow in &allow {
                allow.send(()).unwrap();
            }
            assert_eq!(waits.join().unwrap(), 3);
        });
        reaper.settle();
    }
}
