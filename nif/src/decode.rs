//! Ops, dtypes and shapes from terms.
//!
//! A term is a serde data format here: atoms and binaries are strings, `nil` is nothing, lists and
//! tuples are sequences, maps are maps. Adding an op or an attribute needs no code.
//!
//! Terms are as large and as deep as a caller makes them, and are read on a scheduler: nothing here
//! looks at more of a term than an attribute may have.

mod known;

use std::fmt;

use emily_engine::{Handle, memory};
use emily_spec::{DType, Error, ErrorKind, Op, Result, Shape, TensorType};
use rustler::{Binary, Decoder, MapIterator, NifResult, ResourceArc, Term, TermType};
use serde::de::value::StringDeserializer;
use serde::de::{
    self, Deserialize, DeserializeSeed, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected,
};
use serde::forward_to_deserialize_any;

use crate::atoms;
use crate::resource::TensorRef;

/// The op of this name with these attributes. Its errors leave the name to the call that they are put at.
pub(crate) fn op(name: Term<'_>, attrs: Term<'_>) -> Result<Op> {
    known::or_read(name, attrs, || read(name, attrs))
}

fn read(name: Term<'_>, attrs: Term<'_>) -> Result<Op> {
    let name = text(name).ok_or_else(|| argument("an op's name is an atom"))?;
    if !attrs.is_map() {
        return Err(argument(format!(
            "attributes are a map, got {}",
            shown(attrs)
        )));
    }
    Op::read(&name, Value::new(attrs)).map_err(|Fault(message)| argument(message))
}

/// A dtype and a shape.
pub(crate) fn tensor_type(dtype: Term<'_>, shape: Term<'_>) -> Result<TensorType> {
    let dtype = text(dtype).ok_or_else(|| argument("a dtype is an atom"))?;
    let dtype: DType = dtype.parse()?;
    let shape = Shape::deserialize(Value::new(shape))
        .map_err(|Fault(message)| argument(format!("shape: {message}")))?;
    Ok(TensorType::new(dtype, shape))
}

/// More operands than these are read on a dirty scheduler.
pub(crate) const FEW: usize = 256;

/// An op's operands, at most so many, if there is memory for them. A longer list, or an improper one, is no
/// argument, as any other term that is no list.
pub(crate) struct Operands<const MOST: usize>(pub(crate) Result<Vec<Handle>>);

impl<'a, const MOST: usize> Decoder<'a> for Operands<MOST> {
    fn decode(mut term: Term<'a>) -> NifResult<Operands<MOST>> {
        let mut operands = Vec::new();
        while !term.is_empty_list() {
            let (operand, rest) = term.list_get_cell()?;
            if operands.len() == MOST {
                return Err(rustler::Error::BadArg);
            }
            let operand: ResourceArc<TensorRef> = operand.decode()?;
            if let Err(error) = operands.try_reserve(1) {
                let error = memory::none_for(operands.len() + 1)(error);
                return Ok(Operands(Err(error)));
            }
            operands.push(operand.0.clone());
            term = rest;
        }
        Ok(Operands(Ok(operands)))
    }
}

pub(crate) fn argument(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Argument, message)
}

fn text(term: Term<'_>) -> Option<String> {
    term.atom_to_string().ok()
}

/// A term in a message: what may be large only by its kind.
fn shown(term: Term<'_>) -> String {
    match term.get_type() {
        TermType::List => "a list".into(),
        TermType::Tuple => "a tuple".into(),
        TermType::Map => "a map".into(),
        TermType::Binary => "a binary".into(),
        TermType::Integer if term.decode::<i64>().is_err() => "a large integer".into(),
        TermType::Atom
        | TermType::Integer
        | TermType::Float
        | TermType::Fun
        | TermType::Pid
        | TermType::Port
        | TermType::Ref
        | TermType::Unknown => format!("{term:?}"),
    }
}

/// What a term has instead of what serde wants.
#[derive(Debug)]
struct Fault(String);

impl Fault {
    /// This fault, in the attribute of this name.
    fn within(self, key: &str) -> Fault {
        Fault(format!("{key}: {}", self.0))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Fault {
        Fault(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Fault {
        Fault(format!("{found} is not {}", in_words(wanted)))
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Fault {
        de::Error::invalid_type(found, wanted)
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Fault {
        let known = match known {
            [] => "it has no attributes".to_owned(),
            known => format!("known are {}", known.join(" ")),
        };
        Fault(format!("unknown attribute {name:?}; {known}"))
    }

    fn missing_field(name: &'static str) -> Fault {
        Fault(format!("the attribute {name:?} is missing"))
    }
}

/// What serde expects, as an Elixir programmer says it.
fn in_words(wanted: &dyn Expected) -> String {
    match wanted.to_string().as_str() {
        "usize" | "u32" | "u64" => "an integer from 0 on".into(),
        "i32" | "i64" => "an integer".into(),
        "f64" => "a number".into(),
        "a sequence" => "a list or tuple".into(),
        other => other.into(),
    }
}

/// A term as serde sees it, within so many others. A list may be too long for anyone to read: the
/// attributes stop at the number of axes that a tensor may have.
struct Value<'a> {
    term: Term<'a>,
    depth: usize,
}

/// Text in attributes is a name, as an atom is one, and not longer.
const LONGEST: usize = 255;

/// Attributes are no deeper than this: padding is a list of lists in a map.
const DEEPEST: usize = 8;

impl<'de> de::Deserializer<'de> for Value<'_> {
    type Error = Fault;

    fn deserialize_any<V: de::Visitor<'de>>(
        self,
        visitor: V,
    ) -> std::result::Result<V::Value, Fault> {
        let (term, depth) = (self.term, self.depth + 1);
        if depth > DEEPEST {
            return Err(Fault("lists or maps too deep within each other".into()));
        }
        match term.get_type() {
            TermType::Atom => match text(term).as_deref() {
                Some("nil") => visitor.visit_unit(),
                Some("true") => visitor.visit_bool(true),
                Some("false") => visitor.visit_bool(false),
                Some(name) => visitor.visit_str(name),
                None => Err(self.unexpected()),
            },
            TermType::Binary => match term.decode::<Binary<'_>>() {
                Ok(bytes) if bytes.len() <= LONGEST => match std::str::from_utf8(&bytes) {
                    Ok(text) => visitor.visit_str(text),
                    Err(_) => Err(self.unexpected()),
                },
                Ok(_) | Err(_) => Err(self.unexpected()),
            },
            TermType::Integer => match (term.decode::<i64>(), term.decode::<u64>()) {
                (Ok(n), _) => visitor.visit_i64(n),
                (_, Ok(n)) => visitor.visit_u64(n),
                _ => Err(Fault("an integer of more than 64 bits".into())),
            },
            TermType::Float => match term.decode::<f64>() {
                Ok(x) => visitor.visit_f64(x),
                Err(_) => Err(self.unexpected()),
            },
            TermType::List => visitor.visit_seq(Cells { rest: term, depth }),
            TermType::Tuple => visitor.visit_seq(Elements {
                elements: elements(&term),
                depth,
            }),
            TermType::Map => match MapIterator::new(term) {
                Some(pairs) => visitor.visit_map(Pairs {
                    pairs,
                    pair: None,
                    depth,
                }),
                None => Err(self.unexpected()),
            },
            TermType::Fun | TermType::Pid | TermType::Port | TermType::Ref | TermType::Unknown => {
                Err(self.unexpected())
            }
        }
    }

    /// What nobody reads may be anything.
    fn deserialize_ignored_any<V: de::Visitor<'de>>(
        self,
        visitor: V,
    ) -> std::result::Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    fn deserialize_option<V: de::Visitor<'de>>(
        self,
        visitor: V,
    ) -> std::result::Result<V::Value, Fault> {
        if self.term.is_atom() && self.term == atoms::nil().to_term(self.term.get_env()) {
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: de::Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> std::result::Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    /// Enums in attributes have no content: their atom is the variant.
    fn deserialize_enum<V: de::Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> std::result::Result<V::Value, Fault> {
        let name: StringDeserializer<Fault> = match text(self.term) {
            Some(name) => name.into_deserializer(),
            None => return Err(self.unexpected()),
        };
        visitor.visit_enum(name)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct identifier
    }
}

impl<'a> Value<'a> {
    fn new(term: Term<'a>) -> Value<'a> {
        Value { term, depth: 0 }
    }

    fn unexpected(&self) -> Fault {
        Fault(format!("{} has no meaning here", shown(self.term)))
    }
}

/// What is left of a list.
struct Cells<'a> {
    rest: Term<'a>,
    depth: usize,
}

impl<'de> SeqAccess<'de> for Cells<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> std::result::Result<Option<T::Value>, Fault> {
        if self.rest.is_empty_list() {
            return Ok(None);
        }
        let Ok((term, rest)) = self.rest.list_get_cell() else {
            return Err(Fault(format!("a list that ends in {}", shown(self.rest))));
        };
        self.rest = rest;
        let depth = self.depth;
        seed.deserialize(Value { term, depth }).map(Some)
    }
}

/// What is left of a tuple.
struct Elements<I> {
    elements: I,
    depth: usize,
}

impl<'de, 'a, I: Iterator<Item = Term<'a>>> SeqAccess<'de> for Elements<I> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> std::result::Result<Option<T::Value>, Fault> {
        let depth = self.depth;
        let term = self.elements.next();
        term.map(|term| seed.deserialize(Value { term, depth }))
            .transpose()
    }
}

/// A tuple's elements, where they are; none of any other term.
fn elements<'a>(tuple: &Term<'a>) -> impl ExactSizeIterator<Item = Term<'a>> + use<'a> {
    let env = tuple.get_env();
    let mut arity = 0;
    let mut first = std::ptr::null();
    // SAFETY: the term is of this environment, and what is written lives for the time of the call.
    let found = unsafe {
        rustler::sys::enif_get_tuple(
            env.as_c_arg(),
            tuple.as_c_arg(),
            &raw mut arity,
            &raw mut first,
        )
    };
    let elements: &'a [rustler::sys::ErlNifTerm] = match found {
        0 => &[],
        // SAFETY: the VM says that so many terms are there, for as long as the environment is.
        _ => unsafe { std::slice::from_raw_parts(first, arity as usize) },
    };
    elements.iter().map(move |&element| {
        // SAFETY: an element of a term of this environment.
        unsafe { Term::new(env, element) }
    })
}

/// A tuple of so many elements.
pub(crate) fn parts<const N: usize>(term: Term<'_>) -> Option<[Term<'_>; N]> {
    let mut elements = elements(&term);
    if elements.len() != N {
        return None;
    }
    // There are so many.
    Some(std::array::from_fn(|_| elements.next().unwrap_or(term)))
}

/// Whether a term is the atom of this name.
pub(crate) fn is(term: Term<'_>, name: &str) -> bool {
    text(term).is_some_and(|text| text == name)
}

/// The entries of a map.
struct Pairs<'a> {
    pairs: MapIterator<'a>,
    pair: Option<(Term<'a>, Term<'a>)>,
    depth: usize,
}

impl<'de> MapAccess<'de> for Pairs<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> std::result::Result<Option<K::Value>, Fault> {
        self.pair = self.pairs.next();
        match self.pair {
            Some((term, _)) => {
                let depth = self.depth;
                seed.deserialize(Value { term, depth }).map(Some)
            }
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> std::result::Result<V::Value, Fault> {
        let (key, term) = self
            .pair
            .take()
            .ok_or_else(|| Fault("a value without a key".into()))?;
        let depth = self.depth;
        seed.deserialize(Value { term, depth })
            .map_err(|fault| fault.within(&text(key).unwrap_or_default()))
    }
}
