//! MLX's exceptions as errors that a caller can act on.

use emily_spec::{Error, ErrorKind};
use mlx_rs::error::Exception;

/// The error for an exception that MLX threw.
///
/// Shapes, dtypes and indices were checked before MLX saw them, so what is left is memory, values
/// without an answer, and faults.
pub(crate) fn from_mlx(exception: Exception) -> Error {
    let text = exception.what();
    Error::new(kind_of(text), format!("MLX: {text}"))
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
