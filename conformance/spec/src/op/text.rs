//! The text form of an op: `{"op": "sum", "attrs": {"axes": [0]}}`.

use std::fmt;

use serde::de::value::MapDeserializer;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Op, OpKind};
use crate::attribute::Value;

impl Serialize for Op {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let given = Given::of(self);
        let mut call = serializer.serialize_map(Some(if given.0.is_empty() { 1 } else { 2 }))?;
        call.serialize_entry("op", self.name())?;
        if !given.0.is_empty() {
            call.serialize_entry("attrs", &given)?;
        }
        call.end()
    }
}

/// The attributes that were given.
struct Given<'a>(Vec<(&'static str, Value<'a>)>);

impl Given<'_> {
    fn of(op: &Op) -> Given<'_> {
        let mut given = Vec::new();
        op.attributes(|name, value| {
            if value != Value::Absent {
                given.push((name, value));
            }
        });
        Given(given)
    }
}

impl Serialize for Given<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de> Deserialize<'de> for Op {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Op, D::Error> {
        deserializer.deserialize_map(Call)
    }
}

struct Call;

impl<'de> de::Visitor<'de> for Call {
    type Value = Op;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an op: its name as \"op\", then its attributes as \"attrs\"")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut call: A) -> Result<Op, A::Error> {
        const KEYS: &[&str] = &["op", "attrs"];
        match call.next_key::<String>()?.as_deref() {
            Some("op") => {}
            Some("attrs") => return Err(de::Error::custom("\"op\" comes before \"attrs\"")),
            Some(other) => return Err(de::Error::unknown_field(other, KEYS)),
            None => return Err(de::Error::missing_field("op")),
        }
        let name: String = call.next_value()?;
        let kind = OpKind::named::<A::Error>(&name)?;
        let op = match call.next_key::<String>()?.as_deref() {
            Some("attrs") => call.next_value_seed(Of(kind))?,
            Some(other) => return Err(de::Error::unknown_field(other, KEYS)),
            None => {
                let none = std::iter::empty::<(&str, ())>();
                return kind.read(MapDeserializer::new(none));
            }
        };
        match call.next_key::<String>()? {
            None => Ok(op),
            Some(other) => Err(de::Error::unknown_field(&other, KEYS)),
        }
    }
}

/// Reads the attributes of an op.
struct Of(OpKind);

impl<'de> DeserializeSeed<'de> for Of {
    type Value = Op;

    fn deserialize<D: Deserializer<'de>>(self, attrs: D) -> Result<Op, D::Error> {
        self.0.read(attrs)
    }
}
