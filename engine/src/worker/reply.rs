//! What waits for an answer.

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

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted())
    }

    pub(crate) fn send(mut self, result: Result<T>) {
        if let Some(callback) = self.callback.take() {
            callback(result);
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
        callback(Err(Error::new(ErrorKind::Internal, why)));
    }
}
