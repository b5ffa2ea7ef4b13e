//! The list of ops as others see it: attribute names, and a fingerprint of the whole.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, Deserialize, DeserializeSeed, MapAccess};

use crate::{Arity, Op, ROWS, Row};

impl Row {
    /// The names of the op's attributes, in order; empty where it has none.
    pub fn attributes(&self) -> &'static [&'static str] {
        // Serde names the fields it knows when it meets one that it does not.
        match Op::deserialize(MapAccessDeserializer::new(Probe::new(self.name))) {
            Err(Unknown(known)) => known,
            Ok(_) => &[],
        }
    }
}

/// A digest of every op's name, arity, results and attribute names, in hex. Two builds with the
/// same fingerprint understand each other's ops.
pub fn fingerprint() -> String {
    let mut hash = Fnv::default();
    for row in ROWS {
        let (count, open) = match row.arity {
            Arity::Exactly(n) => (n, ""),
            Arity::AtLeast(n) => (n, "+"),
        };
        let attributes = row.attributes().join(",");
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

/// `{"op": name, "attrs": {"": …}}`.
struct Probe {
    keys: std::vec::IntoIter<&'static str>,
    op: &'static str,
}

impl Probe {
    fn new(op: &'static str) -> Probe {
        Probe {
            keys: vec!["op", "attrs"].into_iter(),
            op,
        }
    }
}

impl<'de> MapAccess<'de> for Probe {
    type Error = Unknown;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unknown> {
        let key = self.keys.next();
        key.map(|key| seed.deserialize(StrDeserializer::new(key)))
            .transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unknown> {
        if self.keys.len() == 1 {
            return seed.deserialize(StrDeserializer::new(self.op));
        }
        let unknown = std::iter::once(("", ()));
        seed.deserialize(de::value::MapDeserializer::new(unknown))
    }
}

/// The fields that were expected where none of them was given.
#[derive(Debug)]
struct Unknown(&'static [&'static str]);

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected one of {:?}", self.0)
    }
}

impl std::error::Error for Unknown {}

impl de::Error for Unknown {
    fn custom<T: fmt::Display>(_: T) -> Unknown {
        Unknown(&[])
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Unknown {
        Unknown(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row_named;

    #[test]
    fn attributes_are_serdes_fields() {
        let attributes = |name| row_named(name).unwrap().attributes();
        assert_eq!(attributes("add"), ["dtype"]);
        assert_eq!(attributes("sum"), ["axes", "keep_axes", "dtype"]);
        assert_eq!(attributes("as_type"), ["dtype"]);
        assert_eq!(attributes("round"), [""; 0]);
    }

    #[test]
    fn the_fingerprint_is_stable_within_a_build() {
        assert_eq!(fingerprint(), fingerprint());
        assert_eq!(fingerprint().len(), 16);
    }
}
