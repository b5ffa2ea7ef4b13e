//! What a panic says.

use std::any::Any;

/// The text that a caught panic was raised with.
pub fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use std::panic::{catch_unwind, panic_any};

    use super::*;

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
