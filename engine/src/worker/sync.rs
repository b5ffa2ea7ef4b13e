//! Where threads meet: the standard library's locks and counters. Under the feature `schedules` they are
//! shuttle's, which decides at each of them who goes on; `worker/schedules.rs` explores that.

#[cfg(not(all(test, feature = "schedules")))]
pub(crate) use std::sync::atomic::AtomicUsize;
#[cfg(not(all(test, feature = "schedules")))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

#[cfg(all(test, feature = "schedules"))]
pub(crate) use explored::{AtomicUsize, Condvar, Fault, Mutex, MutexGuard};

#[cfg(all(test, feature = "schedules"))]
mod explored;
