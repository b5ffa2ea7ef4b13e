//! The list of ops as others see it: a fingerprint of the whole.

use crate::{Arity, ROWS};

/// A digest of every op's name, arity, results and attribute names, in hex. Two builds with the
/// same fingerprint understand each other's ops.
pub fn fingerprint() -> String {
    let mut hash = Fnv::default();
    for row in ROWS.iter() {
        let (count, open) = match row.arity {
            Arity::Exactly(n) => (n, ""),
            Arity::AtLeast(n) => (n, "+"),
        };
        let attributes: Vec<_> = row.attributes.iter().map(|a| a.name).collect();
        let attributes = attributes.join(",");
        hash.write(&format!(
            "{}/{count}{open}/{}({attributes});",
            row.name, row.results
        ));
    }
    format!("{:016x}", hash.0)
}

/// FNV-1a: short, and the same on every platform and in every release of Rust.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn write(&mut self, text: &str) {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
