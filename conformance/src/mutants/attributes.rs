//! Attributes that are not as they were given.

use emily_spec::{Attribute, Op, Takes, TensorType, Value};
use serde_json::{Map, Value as Json};

use super::{Idea, types};
use crate::view::Input;

/// What becomes of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// What was given counts for nothing.
    LeftOut,
    /// Yes is no, and no is yes.
    Turned,
    /// It is this word, whatever was given.
    Always(&'static str),
    /// A number in it is its neighbour.
    OffByOne,
}

impl Change {
    /// What can become of this attribute.
    pub(super) fn of(attribute: &Attribute) -> Vec<Change> {
        let mut changes = Vec::new();
        match attribute.takes {
            // Left out, they would be what they are by default.
            Takes::Bool => changes.push(Change::Turned),
            Takes::Words(words) => changes.extend(words.iter().map(|word| Change::Always(word))),
            Takes::Size | Takes::Sizes | Takes::Ints | Takes::Scalar => {
                changes.push(Change::OffByOne);
            }
            // Another dtype is a mistake of its own.
            Takes::DType => {}
        }
        if !attribute.required && !matches!(attribute.takes, Takes::Words(_)) {
            changes.push(Change::LeftOut);
        }
        changes
    }

    pub(super) const fn idea(self) -> Idea {
        match self {
            Change::LeftOut => Idea::AttributeLeftOut,
            Change::Turned | Change::Always(_) => Idea::ChoiceTurned,
            Change::OffByOne => Idea::OffByOne,
        }
    }

    pub(super) fn name(self) -> String {
        match self {
            Change::LeftOut => "left_out".to_owned(),
            Change::Turned => "turned".to_owned(),
            Change::Always(word) => format!("always_{word}"),
            Change::OffByOne => "off_by_one".to_owned(),
        }
    }

    /// The call's op with the attribute changed.
    pub(super) fn made(self, name: &str, op: &Op, inputs: &[Input]) -> Op {
        let given = given(op);
        let with = |value: Json| {
            let mut attrs = given.clone();
            attrs.insert(name.to_owned(), value);
            Op::read(op.name(), Json::Object(attrs)).ok()
        };
        let changed = match (self, given.get(name)) {
            (Change::LeftOut, _) => {
                let mut attrs = given.clone();
                attrs.remove(name);
                Op::read(op.name(), Json::Object(attrs)).ok()
            }
            (Change::Turned, Some(Json::Bool(value))) => with(Json::Bool(!value)),
            (Change::Always(word), _) => with(Json::from(word)),
            (Change::OffByOne, Some(value)) => {
                let types = types(inputs);
                hardest(op, &types, neighbours(value).into_iter().filter_map(with))
            }
            (Change::Turned | Change::OffByOne, _) => None,
        };
        changed.unwrap_or_else(|| op.clone())
    }
}

/// The attributes that a call gives, as JSON.
pub(super) fn given(op: &Op) -> Map<String, Json> {
    let mut given = Map::new();
    op.attributes(|name, value| {
        if value != Value::Absent
            && let Ok(value) = serde_json::to_value(value)
        {
            given.insert(name.to_owned(), value);
        }
    });
    given
}

/// Of these ops the one that is hardest to tell from the true one: with results of the same type, or
/// at least with results; one that is refused is easy to tell.
fn hardest(op: &Op, types: &[TensorType], ops: impl Iterator<Item = Op>) -> Option<Op> {
    let want = op.infer(types);
    let ops: Vec<Op> = ops.filter(|other| other != op).collect();
    let same = ops.iter().find(|other| other.infer(types) == want);
    let any = || ops.iter().find(|other| other.infer(types).is_ok());
    same.or_else(any).or(ops.first()).cloned()
}

/// What a number or a list may be mistaken for.
fn neighbours(value: &Json) -> Vec<Json> {
    match value {
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(n), _) => [n.checked_add(1), n.checked_sub(1)]
                .into_iter()
                .flatten()
                .map(Json::from)
                .collect(),
            (None, Some(x)) => vec![Json::from(x / 2.0)],
            (None, None) => Vec::new(),
        },
        Json::Array(list) => {
            let mut lists = Vec::new();
            for (place, item) in list.iter().enumerate() {
                for neighbour in neighbours(item) {
                    let mut list = list.clone();
                    list[place] = neighbour;
                    lists.push(Json::Array(list));
                }
            }
            // A permutation has no other neighbours.
            let mut turned = list.clone();
            turned.rotate_left(usize::from(!list.is_empty()));
            lists.push(Json::Array(turned));
            lists
        }
        Json::Null | Json::Bool(_) | Json::String(_) | Json::Object(_) => Vec::new(),
    }
}
