//! Conditions on values, carried beside lazy arrays until something evaluates them.
//!
//! An op that may fail on its operands' values marks where in a boolean array. The mark travels
//! with the result and with everything computed from it, and is looked at when one of them is
//! evaluated: the check joins the pipeline instead of stopping it.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use emily_spec::{Error, ErrorKind, Result};
use mlx_rs::Array;
use mlx_rs::error::ConversionError;

use super::Origin;
use super::failure::{Failure, Moment};
use super::runner::at;
use crate::mlx;
use crate::ops::Condition;

/// One condition. Its arrays are touched on the owning thread only.
pub(crate) struct Guard {
    /// Taken away once the outcome is known.
    open: Mutex<Option<Open>>,
    outcome: AtomicU8,
    /// Written before the outcome is that it failed.
    failure: OnceLock<Arc<Failure>>,
    origin: Origin,
    made: Moment,
}

/// A condition of which nothing is known yet.
struct Open {
    /// A scalar: true where any element of the condition is.
    any: Array,
    condition: Condition,
}

const UNKNOWN: u8 = 0;
const HOLDS: u8 = 1;
const FAILED: u8 = 2;

impl Guard {
    /// The condition that a call makes.
    ///
    /// # Errors
    /// MLX's own.
    pub(crate) fn new(condition: Condition, origin: Origin) -> Result<Guard> {
        let any = condition.failed.any(None).map_err(mlx::from_mlx)?;
        Ok(Guard {
            open: Mutex::new(Some(Open { any, condition })),
            outcome: AtomicU8::new(UNKNOWN),
            failure: OnceLock::new(),
            origin,
            made: Moment::now(),
        })
    }

    fn open(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The array to evaluate, while the outcome is not known.
    fn array(&self) -> Option<Array> {
        self.open().as_ref().map(|open| mlx::clone_array(&open.any))
    }

    /// Looks at the evaluated array.
    ///
    /// # Errors
    /// MLX's, which is then the outcome too: the nearest thing to the truth.
    fn settle(&self) -> Result<()> {
        let Some(Open { any, condition }) = self.open().take() else {
            return Ok(());
        };
        let failed = |error: ConversionError| Error::new(ErrorKind::Internal, error.to_string());
        let item = any.try_item_exact::<bool>().map_err(failed);
        let error = match &item {
            Ok(false) => None,
            Ok(true) => Some(condition.fault.error(&condition.failed)),
            Err(error) => Some(error.clone()),
        };
        let outcome = match error {
            Some(error) => {
                let failure = || Failure::at(at(error, &self.origin), self.made);
                self.failure.get_or_init(failure);
                FAILED
            }
            None => HOLDS,
        };
        self.outcome.store(outcome, Ordering::Release);
        item.map(drop)
    }

    /// Why, where the condition is known to have failed.
    fn failure(&self) -> Option<&Arc<Failure>> {
        match self.outcome() {
            FAILED => self.failure.get(),
            _ => None,
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
            let place = self.0.binary_search_by_key(&guard.made, |have| have.made);
            if let Err(place) = place
                && guard.outcome() != HOLDS
            {
                self.0.insert(place, guard.clone());
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
    pub(crate) fn settle(&self) -> std::result::Result<(), Arc<Failure>> {
        for guard in &self.0 {
            // What MLX reports is the outcome too.
            let _ = guard.settle();
            if let Some(failure) = guard.failure() {
                return Err(failure.clone());
            }
        }
        Ok(())
    }

    /// Looks at the arrays that happen to be computed already, waiting for none.
    ///
    /// # Errors
    /// MLX's, which need not be about any of them.
    pub(crate) fn settle_available(&self) -> Result<()> {
        for guard in &self.0 {
            if let Some(array) = guard.array()
                && mlx::is_there(&array)?
            {
                guard.settle()?;
            }
        }
        Ok(())
    }
}
