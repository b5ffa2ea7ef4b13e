//! The list of ops as others see it: a fingerprint of the whole.

use std::fmt::Write as _;

use crate::{ROWS, fnv1a};

/// A digest of every op's name, arity, results and attributes, with what those take, in hex. Two builds
/// with the same fingerprint understand each other's ops.
pub fn fingerprint() -> String {
    let mut text = String::new();
    let mut rows = ROWS.clone();
    // Nobody knows an op by its place in the list.
    rows.sort_by_key(|row| row.name);
    for row in rows {
        let (name, arity, results) = (row.name, row.arity, row.results);
        // Writing to a string cannot fail.
        let _ = write!(text, "{name}/{arity:?}/{results}(");
        for attribute in row.attributes {
            let (name, takes, required) = (attribute.name, attribute.takes, attribute.required);
            let _ = write!(text, "{name}:{takes:?}:{required},");
        }
        text.push_str(");");
    }
    format!("{:016x}", fnv1a(&text))
}
