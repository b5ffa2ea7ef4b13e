//! Shuttle's locks and counters, with what it lacks: waits of limited time, and faults to find.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::LockResult;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shuttle::sync::{self, atomic};

/// What can be wrong with a protocol, planted to see that it is found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nobody is woken.
    LostWake,
    /// A counter is read and written in two steps.
    TornCount,
}

thread_local! {
    /// All of a schedule's threads run on one of the system's.
    static PLANTED: Cell<Option<Fault>> = const { Cell::new(None) };
}

impl Fault {
    /// Has `f` run with a fault, or with none.
    pub(crate) fn planted<T>(fault: Option<Fault>, f: impl FnOnce() -> T) -> T {
        let before = PLANTED.replace(fault);
        let result = f();
        PLANTED.set(before);
        result
    }

    fn is_planted(self) -> bool {
        PLANTED.get() == Some(self)
    }
}

/// A lock that its guard leads back to.
#[derive(Debug)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

pub(crate) struct MutexGuard<'a, T> {
    inner: sync::MutexGuard<'a, T>,
    mutex: &'a Mutex<T>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(sync::Mutex::new(value))
    }

    /// Never poisoned, since nobody looks at that.
    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        let inner = self.0.lock().unwrap_or_else(|error| error.into_inner());
        Ok(MutexGuard { inner, mutex: self })
    }

    pub(crate) fn get_mut(&mut self) -> LockResult<&mut T> {
        self.0.get_mut()
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

#[derive(Debug, Default)]
pub(crate) struct Condvar(sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Condvar {
        Condvar(sync::Condvar::new())
    }

    pub(crate) fn wait<'a, T>(
        &self,
        MutexGuard { inner, mutex }: MutexGuard<'a, T>,
    ) -> LockResult<MutexGuard<'a, T>> {
        let inner = self
            .0
            .wait(inner)
            .unwrap_or_else(|error| error.into_inner());
        Ok(MutexGuard { inner, mutex })
    }

    pub(crate) fn wait_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'a, T>> {
        while condition(&mut guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// Ends at any moment: the others do as much meanwhile as the schedule has them do.
    pub(crate) fn wait_timeout_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        _limit: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<(MutexGuard<'a, T>, ())> {
        if condition(&mut guard) {
            let mutex = guard.mutex;
            drop(guard);
            shuttle::thread::yield_now();
            guard = mutex.lock().unwrap_or_else(|error| error.into_inner());
        }
        Ok((guard, ()))
    }

    pub(crate) fn notify_one(&self) {
        if !Fault::LostWake.is_planted() {
            self.0.notify_one();
        }
    }

    pub(crate) fn notify_all(&self) {
        if !Fault::LostWake.is_planted() {
            self.0.notify_all();
        }
    }
}

#[derive(Debug)]
pub(crate) struct AtomicUsize(atomic::AtomicUsize);

impl AtomicUsize {
    pub(crate) fn new(value: usize) -> AtomicUsize {
        AtomicUsize(atomic::AtomicUsize::new(value))
    }

    pub(crate) fn load(&self, order: Ordering) -> usize {
        self.0.load(order)
    }

    pub(crate) fn fetch_add(&self, value: usize, order: Ordering) -> usize {
        self.0.fetch_add(value, order)
    }

    pub(crate) fn fetch_or(&self, value: usize, order: Ordering) -> usize {
        self.0.fetch_or(value, order)
    }

    pub(crate) fn fetch_sub(&self, value: usize, order: Ordering) -> usize {
        if !Fault::TornCount.is_planted() {
            return self.0.fetch_sub(value, order);
        }
        let before = self.0.load(Ordering::SeqCst);
        self.0.store(before - value, Ordering::SeqCst);
        before
    }
}
