//! MLX's exceptions as errors that a caller can act on.

use std::ffi::{c_char, c_int};

use emily_spec::{Error, ErrorKind, Result};
use mlx_rs::error::Exception;

/// What an error of Emily's begins with on its way through mlx-rs's results, whose exceptions are text alone.
const REFUSAL: &str = "emily: ";

/// An error of Emily's as an exception, which [`from_mlx`] makes the same error of again.
pub(crate) fn refusal(error: Error) -> Exception {
    Exception::custom(format!("{REFUSAL}{}: {}", error.kind, error.message))
}

/// The error for an exception that MLX threw, or that an op of Emily's made by [`refusal`].
///
/// Shapes, dtypes and indices were checked before MLX saw them, so what is left of its own is memory, values
/// without an answer, and faults.
pub(crate) fn from_mlx(exception: Exception) -> Error {
    let text = exception.what();
    refused(text).unwrap_or_else(|| {
        let (kind, text) = (kind_of(text), without_place(text));
        let remedy = match kind {
            ErrorKind::Memory => "; let tensors go, or work in smaller parts",
            _ => "",
        };
        Error::new(kind, format!("MLX: {text}{remedy}"))
    })
}

/// Calls what answers with a number, or with less than 0 and the text of what MLX threw.
///
/// # Errors
/// That, as [`from_mlx`] has it.
pub(super) fn answered(ask: impl FnOnce(*mut c_char, usize) -> c_int) -> Result<c_int> {
    let mut text = [0u8; 512];
    let answer = ask(text.as_mut_ptr().cast(), text.len());
    if answer >= 0 {
        return Ok(answer);
    }
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(text).into_owned();
    Err(from_mlx(Exception::custom(text)))
}

/// The text without the line of MLX's source that was built into it, `what at /folder/file.cpp:73`.
fn without_place(text: &str) -> &str {
    match text.rsplit_once(" at ") {
        Some((what, place)) if place.contains(".cpp:") => what,
        _ => text,
    }
}

fn refused(text: &str) -> Option<Error> {
    let (name, message) = text.strip_prefix(REFUSAL)?.split_once(": ")?;
    let kind = ErrorKind::ALL
        .into_iter()
        .find(|kind| kind.name() == name)?;
    Some(Error::new(kind, message))
}

fn kind_of(text: &str) -> ErrorKind {
    let text = text.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["alloc", "out of memory", "outofmemory", "memory limit"]) {
        ErrorKind::Memory
    } else if says(&[
        "singular",
        "lapack",
        "did not converge",
        "failed with error code",
    ]) {
        ErrorKind::Numeric
    } else {
        ErrorKind::Internal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_emily_s_is_the_error_that_it_was() {
        for kind in ErrorKind::ALL {
            let error = Error::new(kind, "8 bytes: over the memory limit");
            assert_eq!(from_mlx(refusal(error.clone())), error);
        }
    }

    #[test]
    fn where_mlx_was_built_is_nobody_s_business() {
        let told = |text: &str| from_mlx(Exception::custom(text)).message;
        let lost = told("std::bad_alloc at /build/mlx-c/mlx/c/transforms.cpp:73");
        assert_eq!(
            lost,
            "MLX: std::bad_alloc; let tensors go, or work in smaller parts"
        );
        assert_eq!(told("element 3 at axis 1"), "MLX: element 3 at axis 1");
    }

    #[test]
    fn memory_and_numeric_failures_are_told_from_faults() {
        for (text, kind) in [
            ("[malloc] Unable to allocate 8 bytes.", ErrorKind::Memory),
            (
                "[metal::malloc] Attempting to allocate 9 bytes",
                ErrorKind::Memory,
            ),
            ("cudaMallocAsync failed: out of memory", ErrorKind::Memory),
            (
                "[Inverse::eval_cpu] failed with error code 3",
                ErrorKind::Numeric,
            ),
            ("[matmul] shapes differ", ErrorKind::Internal),
        ] {
            let error = from_mlx(Exception::custom(text));
            assert_eq!(error.kind, kind, "{text}");
            assert!(error.message.contains(text));
        }
    }
}
