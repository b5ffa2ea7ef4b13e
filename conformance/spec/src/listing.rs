//! The list of ops as others see it: a fingerprint of the whole.

use std::fmt::Write as _;

use crate::{Arity, ROWS, fnv1a};

/// A digest of every op's name, arity, results and attribute names, in hex. Two builds with the
/// same fingerprint understand each other's ops.
pub fn fingerprint() -> String {
    let mut text = String::new();
    for row in ROWS.iter() {
        let (count, open) = match row.arity {
            Arity::Exactly(n) => (n, ""),
            Arity::AtLeast(n) => (n, "+"),
            Arity::Within(n, _) => (n, "?"),
        };
        let attributes: Vec<_> = row.attributes.iter().map(|a| a.name).collect();
        let (name, results) = (row.name, row.results);
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{name}/{count}{open}/{results}({});",
            attributes.join(",")
        );
    }
    format!("{:016x}", fnv1a(&text))
}
