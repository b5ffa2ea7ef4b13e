//! What waits for an answer.
//!
//! It is called on a worker's thread, in the middle of others' work and while something is dropped, so a
//! panic of it ends here: it was told, and nobody else is to be.

use std::panic::{AssertUnwindSafe, catch_unwind};

use emily_spec::{Error, ErrorKind, Result};

/// A callback that is called exactly once: dropped unsent, it says so.
pub struct Reply<T> {
    callback: Option<Callback<T>>,
    /// Whether somebody still waits; `None` where somebody always does.
    wanted: Option<Box<dyn Fn() -> bool + Send>>,
}

type Callback<T> = Box<dyn FnOnce(Result<T>) + Send>;

impl<T> Reply<T> {
    /// Calls `callback`, on the worker's thread unless what is asked says otherwise.
    pub fn new(callback: impl FnOnce(Result<T>) + Send + 'static) -> Reply<T> {
        Reply {
            callback: Some(Box::new(callback)),
            wanted: None,
        }
    }

    /// The same while `wanted` says so. What is not wanted any more when its turn comes is not computed,
    /// and the callback gets an error.
    #[must_use]
    pub fn while_wanted(mut self, wanted: impl Fn() -> bool + Send + 'static) -> Reply<T> {
        self.wanted = Some(Box::new(wanted));
        self
    }

    /// Whether somebody still waits; who cannot say so does not.
    pub(crate) fn is_wanted(&self) -> bool {
        let Some(wanted) = &self.wanted else {
            return true;
        };
        catch_unwind(AssertUnwindSafe(wanted)).unwrap_or(false)
    }

    pub(crate) fn send(mut self, result: Result<T>) {
        if let Some(callback) = self.callback.take() {
            call(callback, result);
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        let Some(callback) = self.callback.take() else {
            return;
        };
        let why = match self.is_wanted() {
            true => "the worker dropped this request; please report it",
            false => "this request was given up",
        };
        call(callback, Err(Error::new(ErrorKind::Internal, why)));
    }
}

fn call<T>(callback: Callback<T>, result: Result<T>) {
    // Whoever waits for it finds its own end of the callback gone.
    drop(catch_unwind(AssertUnwindSafe(|| callback(result))));
}
