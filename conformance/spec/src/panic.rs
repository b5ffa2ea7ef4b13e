//! What a panic says, and how it becomes an error.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{Error, ErrorKind, Result};

/// What `run` gives. A panic in it is an error as well, of kind internal, that says who panicked and what with.
pub fn caught<T>(who: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(panicked(who, &*panic)))
}

/// The error that a caught panic is, of kind internal.
pub fn panicked(who: &str, payload: &(dyn Any + Send)) -> Error {
    let text = panic_text(payload);
    let message = format!("the {who} panicked: {text}; please report it");
    Error::new(ErrorKind::Internal, message)
}

/// The text that a caught panic was raised with.
pub fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

    use super::*;

    #[test]
    fn what_panics_while_an_answer_is_made_is_the_answer() {
        assert_eq!(caught("library", || Ok(3)), Ok(3));
        let error = caught::<()>("library", || panic!("out of {}", "cheese")).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
        assert_eq!(
            error.message,
            "the library panicked: out of cheese; please report it"
        );
    }

    #[test]
    fn a_panic_s_text_is_what_it_was_raised_with() {
        let text = |raise: fn()| {
            let payload = catch_unwind(raise).unwrap_err();
            panic_text(&*payload).to_owned()
        };
        assert_eq!(text(|| panic!("plain")), "plain");
        assert_eq!(text(|| panic!("number {}", 3)), "number 3");
        assert_eq!(text(|| panic_any(3)), "no message");
    }
}
