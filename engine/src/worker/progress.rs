//! How far a thread's stream has come: what the thread waits on while MLX computes, so that it can see to others
//! meanwhile.

use std::sync::PoisonError;
use std::time::Duration;

use crate::mlx::Told;
use crate::worker::sync::{Condvar, Mutex, MutexGuard};

/// How often the stream came to the end of what it was given.
pub(crate) struct Progress {
    ends: Mutex<u64>,
    further: Condvar,
}

impl Progress {
    pub(crate) fn new() -> Progress {
        Progress {
            ends: Mutex::new(0),
            further: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        // Nothing under the lock can panic.
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ends so far.
    pub(crate) fn ends(&self) -> u64 {
        *self.lock()
    }

    /// Waits until there are more ends than so many, for no longer than that.
    pub(crate) fn wait(&self, ends: u64, limit: Duration) {
        let (_ends, _) = self
            .further
            .wait_timeout_while(self.lock(), limit, |now| *now <= ends)
            .unwrap_or_else(PoisonError::into_inner);
    }
}

impl Told for Progress {
    fn tell(&self) {
        *self.lock() += 1;
        self.further.notify_one();
    }
}
