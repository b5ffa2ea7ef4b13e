//! Attributes: their types, and one way to look at those of any op.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use serde::de::{self, Deserialize, Deserializer, SeqAccess};
use serde::ser::{Serialize, SerializeSeq, Serializer};

use crate::{DType, Direction, FpFormat, QrMode, Scalar, Shape, TieBreak, TransformA};

/// What is known of an attribute without a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name, in text and on the BEAM.
    pub name: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// False where it may be left out.
    pub required: bool,
    /// The values that it has.
    pub takes: Takes,
}

/// What an attribute's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Yes or no.
    Bool,
    /// A count, a size or an axis.
    Size,
    /// One of them per axis, or several axes.
    Sizes,
    /// Whole numbers of both signs.
    Ints,
    /// An element type.
    DType,
    /// One of these.
    Words(&'static [&'static str]),
    /// A number of any kind.
    Scalar,
}

/// An attribute's value, as whoever turns an op into something else sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Left out.
    Absent,
    /// Yes or no.
    Bool(bool),
    /// A count, a size or an axis.
    Size(usize),
    /// One of them per axis, or several axes.
    Sizes(&'a [usize]),
    /// Whole numbers of both signs.
    Ints(&'a [i64]),
    /// An element type.
    DType(DType),
    /// A choice, by its name.
    Word(&'static str),
    /// A number of any kind.
    Scalar(Scalar),
}

/// A type that attributes have.
pub(crate) trait AsValue {
    /// Whether it has to be given.
    const REQUIRED: bool;

    /// What its values are.
    const TAKES: Takes;

    fn as_value(&self) -> Value<'_>;
}

impl<T: AsValue> AsValue for Option<T> {
    const REQUIRED: bool = false;
    const TAKES: Takes = T::TAKES;

    fn as_value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Absent, T::as_value)
    }
}

impl AsValue for bool {
    const REQUIRED: bool = false;
    const TAKES: Takes = Takes::Bool;

    fn as_value(&self) -> Value<'_> {
        Value::Bool(*self)
    }
}

impl AsValue for usize {
    const REQUIRED: bool = true;
    const TAKES: Takes = Takes::Size;

    fn as_value(&self) -> Value<'_> {
        Value::Size(*self)
    }
}

impl AsValue for DType {
    const REQUIRED: bool = true;
    const TAKES: Takes = Takes::DType;

    fn as_value(&self) -> Value<'_> {
        Value::DType(*self)
    }
}

impl AsValue for Shape {
    const REQUIRED: bool = true;
    const TAKES: Takes = Takes::Sizes;

    fn as_value(&self) -> Value<'_> {
        Value::Sizes(self)
    }
}

impl AsValue for Scalar {
    const REQUIRED: bool = true;
    const TAKES: Takes = Takes::Scalar;

    fn as_value(&self) -> Value<'_> {
        Value::Scalar(*self)
    }
}

impl AsValue for List<usize> {
    const REQUIRED: bool = true;
    const TAKES: Takes = Takes::Sizes;

    fn as_value(&self) -> Value<'_> {
        Value::Sizes(self)
    }
}

impl AsValue for List<i64> {
    const REQUIRED: bool = true;
    const TAKES: Takes = Takes::Ints;

    fn as_value(&self) -> Value<'_> {
        Value::Ints(self)
    }
}

impl AsValue for TieBreak {
    const REQUIRED: bool = false;
    const TAKES: Takes = Takes::Words(&["low", "high"]);

    fn as_value(&self) -> Value<'_> {
        Value::Word(match self {
            TieBreak::Low => "low",
            TieBreak::High => "high",
        })
    }
}

impl AsValue for Direction {
    const REQUIRED: bool = false;
    const TAKES: Takes = Takes::Words(&["asc", "desc"]);

    fn as_value(&self) -> Value<'_> {
        Value::Word(match self {
            Direction::Asc => "asc",
            Direction::Desc => "desc",
        })
    }
}

impl AsValue for QrMode {
    const REQUIRED: bool = false;
    const TAKES: Takes = Takes::Words(&["reduced", "complete"]);

    fn as_value(&self) -> Value<'_> {
        Value::Word(match self {
            QrMode::Reduced => "reduced",
            QrMode::Complete => "complete",
        })
    }
}

impl AsValue for FpFormat {
    const REQUIRED: bool = true;
    const TAKES: Takes = Takes::Words(&["mxfp4", "mxfp8", "nvfp4"]);

    fn as_value(&self) -> Value<'_> {
        Value::Word(match self {
            FpFormat::Mxfp4 => "mxfp4",
            FpFormat::Mxfp8 => "mxfp8",
            FpFormat::Nvfp4 => "nvfp4",
        })
    }
}

impl AsValue for TransformA {
    const REQUIRED: bool = false;
    const TAKES: Takes = Takes::Words(&["none", "transpose", "conjugate"]);

    fn as_value(&self) -> Value<'_> {
        Value::Word(match self {
            TransformA::None => "none",
            TransformA::Transpose => "transpose",
            TransformA::Conjugate => "conjugate",
        })
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Absent => Ok(()),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Size(size) => write!(f, "{size}"),
            Value::Sizes(sizes) => write!(f, "{sizes:?}"),
            Value::Ints(ints) => write!(f, "{ints:?}"),
            Value::DType(dtype) => write!(f, "{dtype}"),
            Value::Word(word) => f.write_str(word),
            Value::Scalar(Scalar::Int(value)) => write!(f, "{value}"),
            Value::Scalar(Scalar::Float(value)) => write!(f, "{value}"),
            Value::Scalar(Scalar::Complex(re, im)) => write!(f, "[{re}, {im}]"),
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Absent => serializer.serialize_none(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Size(size) => size.serialize(serializer),
            Value::Sizes(sizes) => sizes.serialize(serializer),
            Value::Ints(ints) => ints.serialize(serializer),
            Value::DType(dtype) => dtype.serialize(serializer),
            Value::Word(word) => serializer.serialize_str(word),
            Value::Scalar(scalar) => scalar.serialize(serializer),
        }
    }
}

/// A list in an attribute: of axes, or with one entry per axis. It is read only where it is no
/// longer than [`Shape::MAX_RANK`], so that nobody pays for one that no tensor has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct List<T>(Vec<T>);

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for List<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T> From<Vec<T>> for List<T> {
    fn from(items: Vec<T>) -> List<T> {
        List(items)
    }
}

impl<T, const N: usize> From<[T; N]> for List<T> {
    fn from(items: [T; N]) -> List<T> {
        List(items.into())
    }
}

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> List<T> {
        List(items.into_iter().collect())
    }
}

impl<T: Serialize> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        self.0
            .iter()
            .try_for_each(|item| list.serialize_element(item))?;
        list.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<List<T>, D::Error> {
        deserializer.deserialize_seq(Bounded(PhantomData)).map(List)
    }
}

/// Reads up to [`Shape::MAX_RANK`] items.
pub(crate) struct Bounded<T>(pub(crate) PhantomData<T>);

impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Bounded<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            if list.len() == Shape::MAX_RANK {
                return Err(de::Error::custom(format_args!(
                    "more than {} entries; no tensor has that many axes",
                    Shape::MAX_RANK
                )));
            }
            list.push(item);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of an enum of choices, where they are those that serde reads and the visitor says.
    fn words<T: AsValue + de::DeserializeOwned>() -> &'static [&'static str] {
        let Takes::Words(words) = T::TAKES else {
            panic!("{:?} are no words", T::TAKES)
        };
        let read = |word: &str| serde_json::from_value::<T>(word.into());
        for word in words {
            assert_eq!(read(word).unwrap().as_value(), Value::Word(word));
        }
        let problem = read("no such word").err().unwrap().to_string();
        let known: Vec<_> = problem.split('`').skip(1).step_by(2).collect();
        assert_eq!(known[1..], *words, "{problem}");
        words
    }

    #[test]
    fn a_choice_has_the_same_words_everywhere() {
        let known = [
            words::<TieBreak>(),
            words::<Direction>(),
            words::<QrMode>(),
            words::<TransformA>(),
            words::<FpFormat>(),
        ];
        for attribute in crate::ROWS.iter().flat_map(|row| row.attributes) {
            if let Takes::Words(words) = attribute.takes {
                assert!(known.contains(&words), "add {words:?} to this test");
            }
        }
    }

    #[test]
    fn a_list_that_no_tensor_could_need_is_refused_while_it_is_read() {
        let list = |n: usize| format!("[{}]", vec!["1"; n].join(","));
        let read = |n: usize| serde_json::from_str::<List<usize>>(&list(n));
        assert_eq!(read(64).unwrap().len(), 64);
        let problem = read(65).unwrap_err().to_string();
        assert!(problem.contains("more than 64 entries"), "{problem}");
        let shape = serde_json::from_str::<Shape>(&list(65)).unwrap_err();
        assert!(shape.to_string().contains("more than 64 entries"));
    }
}
