//! Conditions on values, carried beside lazy arrays until something evaluates them.
//!
//! An op that may fail on its operands' values marks where in a boolean array. The mark travels
//! with the result and with everything computed from it, and is looked at when one of them is
//! evaluated: the check joins the pipeline instead of stopping it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use emily_spec::Error;
use mlx_rs::Array;

use crate::mlx;

/// One condition. Its array is touched on the owning thread only.
pub(crate) struct Guard {
    /// Taken away once the outcome is known.
    failed: Mutex<Option<Array>>,
    outcome: AtomicU8,
    error: Arc<Error>,
}

const UNKNOWN: u8 = 0;
const HOLDS: u8 = 1;
const FAILED: u8 = 2;

impl Guard {
    /// A condition that fails where the scalar boolean is true.
    pub(crate) fn new(failed: Array, error: Error) -> Guard {
        Guard {
            failed: Mutex::new(Some(failed)),
            outcome: AtomicU8::new(UNKNOWN),
            error: Arc::new(error),
        }
    }

    /// The array to evaluate, while the outcome is not known.
    fn array(&self) -> Option<Array> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.as_ref().map(mlx::clone_array)
    }

    /// Looks at the evaluated array.
    fn settle(&self) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(array) = failed.take() {
            // An array that cannot be read fails too: the error is the nearest thing to the truth.
            let failed = array.try_item_exact::<bool>().unwrap_or(true);
            let outcome = if failed { FAILED } else { HOLDS };
            self.outcome.store(outcome, Ordering::Release);
        }
    }

    fn outcome(&self) -> u8 {
        self.outcome.load(Ordering::Acquire)
    }
}

/// The conditions a value stands under, oldest first; those known to hold are left out.
#[derive(Clone, Default)]
pub(crate) struct Guards(Vec<Arc<Guard>>);

impl Guards {
    /// Adds another value's conditions, each once.
    pub(crate) fn join(&mut self, other: &Guards) {
        for guard in &other.0 {
            if guard.outcome() != HOLDS && !self.0.iter().any(|have| Arc::ptr_eq(have, guard)) {
                self.0.push(guard.clone());
            }
        }
    }

    pub(crate) fn push(&mut self, guard: Guard) {
        self.0.push(Arc::new(guard));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The arrays that decide, to evaluate together with the value.
    pub(crate) fn arrays(&self) -> impl Iterator<Item = Array> + '_ {
        self.0.iter().filter_map(|guard| guard.array())
    }

    /// Looks at the arrays, which are evaluated: the first cause, if any failed.
    pub(crate) fn settle(&self) -> Result<(), Arc<Error>> {
        for guard in &self.0 {
            guard.settle();
            if guard.outcome() == FAILED {
                return Err(guard.error.clone());
            }
        }
        Ok(())
    }

    /// Looks at the arrays that happen to be computed already, waiting for none.
    pub(crate) fn settle_available(&self) {
        for guard in &self.0 {
            if guard.array().is_some_and(|array| mlx::is_available(&array)) {
                guard.settle();
            }
        }
    }
}
