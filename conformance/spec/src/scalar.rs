//! A number as a caller writes it, before it has a dtype.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::de::{self, Deserialize, Deserializer, SeqAccess};
use serde::ser::{Serialize, Serializer};

/// A number that is not of a dtype yet.
///
/// In text it is a number, one of `"nan"`, `"inf"` and `"-inf"`, or `[re, im]`.
#[derive(Clone, Copy, Debug)]
pub enum Scalar {
    /// A whole number of at most 64 bits.
    Int(i128),
    /// A float.
    Float(f64),
    /// A complex number.
    Complex(f64, f64),
}

impl Scalar {
    /// The number, where it is real.
    pub fn real(self) -> Option<f64> {
        match self {
            Scalar::Int(value) => Some(value as f64),
            Scalar::Float(value) => Some(value),
            Scalar::Complex(..) => None,
        }
    }

    fn bits(self) -> (u8, i128, u64) {
        match self {
            Scalar::Int(value) => (0, value, 0),
            Scalar::Float(value) => (1, 0, value.to_bits()),
            Scalar::Complex(re, im) => (2, re.to_bits().into(), im.to_bits()),
        }
    }
}

/// Two scalars are equal when they are written alike: NaN equals itself, and the zeros differ.
impl PartialEq for Scalar {
    fn eq(&self, other: &Scalar) -> bool {
        self.bits() == other.bits()
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bits().hash(state);
    }
}

/// A float in text.
struct Part(f64);

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Part(value) = *self;
        if value.is_nan() {
            serializer.serialize_str("nan")
        } else if value.is_infinite() {
            serializer.serialize_str(if value > 0.0 { "inf" } else { "-inf" })
        } else {
            serializer.serialize_f64(value)
        }
    }
}

impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Scalar::Int(value) => match (i64::try_from(value), u64::try_from(value)) {
                (Ok(value), _) => serializer.serialize_i64(value),
                (_, Ok(value)) => serializer.serialize_u64(value),
                _ => serializer.serialize_i128(value),
            },
            Scalar::Float(value) => Part(value).serialize(serializer),
            Scalar::Complex(re, im) => [Part(re), Part(im)].serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scalar, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, nan, inf, -inf or [re, im]")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar::Int(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar::Int(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar::Float(value))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
        match text {
            "nan" => Ok(Scalar::Float(f64::NAN)),
            "inf" | "infinity" => Ok(Scalar::Float(f64::INFINITY)),
            "-inf" | "neg_infinity" => Ok(Scalar::Float(f64::NEG_INFINITY)),
            other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Scalar, A::Error> {
        let mut part = |index| match parts.next_element::<Scalar>()? {
            Some(Scalar::Float(value)) => Ok(value),
            Some(Scalar::Int(value)) => Ok(value as f64),
            Some(Scalar::Complex(..)) => {
                Err(de::Error::custom("a part of a complex number is real"))
            }
            None => Err(de::Error::invalid_length(index, &Visitor)),
        };
        let scalar = Scalar::Complex(part(0)?, part(1)?);
        match parts.next_element::<de::IgnoredAny>()? {
            None => Ok(scalar),
            Some(_) => Err(de::Error::invalid_length(3, &Visitor)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for text in [
            "1",
            "-1",
            "18446744073709551615",
            "0.5",
            "-0.0",
            "\"nan\"",
            "\"-inf\"",
            "[1.0,\"inf\"]",
        ] {
            let scalar: Scalar = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&scalar).unwrap(), text);
        }
        let other: Scalar = serde_json::from_str("\"neg_infinity\"").unwrap();
        assert_eq!(other, Scalar::Float(f64::NEG_INFINITY));
        for text in ["\"x\"", "[1]", "[1,2,3]", "[[1,2],3]", "true"] {
            assert!(serde_json::from_str::<Scalar>(text).is_err(), "{text}");
        }
    }
}
