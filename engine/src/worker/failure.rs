//! Why there is no value, and since when.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use emily_spec::Error;

/// Why a tensor has no value.
#[derive(Debug, PartialEq)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    since: Moment,
}

/// A moment in the life of the process; of several failures the first in time is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    pub(crate) fn now() -> Moment {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Moment(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Failure {
    /// A failure of now.
    pub(crate) fn new(error: Error) -> Arc<Failure> {
        Failure::at(error, Moment::now())
    }

    /// A failure that is found now, of an op that ran then.
    pub(crate) fn at(error: Error, since: Moment) -> Arc<Failure> {
        Arc::new(Failure { error, since })
    }

    /// The earlier one of two.
    pub(crate) fn first(a: Arc<Failure>, b: Arc<Failure>) -> Arc<Failure> {
        if b.since < a.since { b } else { a }
    }
}
