//! MLX's failures that no op is known to have caused.
//!
//! A kernel that fails marks its stream, and whoever waits for it next is told, whatever it waits for;
//! the failed array itself then reads as if it were whole. So nothing that was in the graph is.

use std::sync::Arc;

use crate::memory;
use crate::worker::failure::Failure;
use crate::worker::slot::Value;

/// A thread's failures.
pub(crate) struct Poison {
    /// How many there were. A value that is not evaluated and of an earlier era is lost.
    era: u32,
    last: Option<Arc<Failure>>,
    /// How many of those that others were told of this thread has seen.
    seen: u32,
}

impl Poison {
    pub(crate) fn new() -> Poison {
        let mut poison = Poison {
            era: 0,
            last: None,
            seen: 0,
        };
        // What was before is of nothing on this thread.
        memory::failures_since(&mut poison.seen);
        poison
    }

    /// The era of what is put into the graph now.
    pub(crate) fn era(&self) -> u32 {
        self.era
    }

    /// Why all of an era is lost, if it is over.
    pub(crate) fn since(&self, era: u32) -> Option<Arc<Failure>> {
        (era < self.era).then(|| self.last.clone()).flatten()
    }

    /// Begins another era: all of this one that is not evaluated is lost.
    pub(crate) fn spread(&mut self, failure: Arc<Failure>) {
        self.era += 1;
        self.last = Some(failure);
    }

    /// Why a value of this thread is lost, if it is.
    pub(crate) fn failure_of(&self, value: &Value) -> Option<Arc<Failure>> {
        match value.evaluated {
            true => None,
            false => self.since(value.era),
        }
    }

    /// A failure that another thread was told of, which may be this one's: to be asked for once this thread has waited
    /// for its stream.
    pub(crate) fn told_to_others(&mut self) -> Option<Arc<Failure>> {
        let failure = Failure::new(memory::failures_since(&mut self.seen)?);
        self.spread(failure.clone());
        Some(failure)
    }
}
