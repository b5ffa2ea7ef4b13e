//! Types and errors as terms, and the results that carry them.

use emily_spec::{DType, Error, Op, Result, Scalar, Shape, TensorType, Value, caught};
use rustler::types::tuple::make_tuple;
use rustler::{Atom, Encoder, Env, Term};

use crate::atoms;

/// The term that `f` gives, or `{:error, map}`; a panic is an error as well.
pub(crate) fn guarded<'a>(env: Env<'a>, f: impl FnOnce() -> Result<Term<'a>>) -> Term<'a> {
    match caught("native library", f) {
        Ok(term) => term,
        Err(error) => (atoms::error(), map(env, &error)).encode(env),
    }
}

/// `{:ok, term}` or `{:error, map}`.
pub(crate) fn reply<'a>(env: Env<'a>, result: &Result<Term<'a>>) -> Term<'a> {
    match result {
        Ok(term) => (atoms::ok(), *term).encode(env),
        Err(error) => (atoms::error(), map(env, error)).encode(env),
    }
}

/// An error as a map of `Emily.Error`'s fields.
fn map<'a>(env: Env<'a>, error: &Error) -> Term<'a> {
    let nil = atoms::nil().to_term(env);
    let context = error.context.as_deref();
    let inputs = context.map_or(&[][..], |context| &context.inputs);
    let inputs: Vec<Term<'_>> = inputs.iter().map(|ty| tensor_type(env, ty)).collect();
    let worker = context.and_then(|context| context.worker.as_deref());
    let pairs = [
        (atoms::kind(), name(env, error.kind.name())),
        (atoms::message(), error.message.encode(env)),
        (
            atoms::call(),
            context.map_or(nil, |c| c.to_string().encode(env)),
        ),
        (atoms::op(), context.map_or(nil, |c| name(env, c.op.name()))),
        (atoms::attrs(), context.map_or(nil, |c| attrs(env, &c.op))),
        (atoms::inputs(), inputs.encode(env)),
        (atoms::worker(), worker.map_or(nil, |name| name.encode(env))),
    ];
    Term::map_from_pairs(env, &pairs).unwrap_or(nil)
}

/// `{:f32, {2, 3}}`.
pub(crate) fn tensor_type<'a>(env: Env<'a>, ty: &TensorType) -> Term<'a> {
    (dtype(env, ty.dtype), shape(env, &ty.shape)).encode(env)
}

fn dtype(env: Env<'_>, dtype: DType) -> Term<'_> {
    name(env, dtype.name())
}

fn shape<'a>(env: Env<'a>, shape: &Shape) -> Term<'a> {
    let dims: Vec<Term<'_>> = shape.iter().map(|dim| dim.encode(env)).collect();
    make_tuple(env, &dims)
}

/// One of the contract's own names, as an atom.
fn name<'a>(env: Env<'a>, name: &'static str) -> Term<'a> {
    Atom::from_bytes(env, name.as_bytes()).map_or_else(|_| name.encode(env), |a| a.to_term(env))
}

/// The attributes that were given, as a map.
fn attrs<'a>(env: Env<'a>, op: &Op) -> Term<'a> {
    let mut given = Vec::new();
    op.attributes(|key, value| {
        given.extend(attribute(env, value).map(|term| (name(env, key), term)))
    });
    Term::map_from_pairs(env, &given).unwrap_or_else(|_| Term::map_new(env))
}

/// An attribute's value: what is a word in text is an atom on the BEAM.
fn attribute<'a>(env: Env<'a>, value: Value<'_>) -> Option<Term<'a>> {
    Some(match value {
        Value::Absent => return None,
        Value::Bool(value) => value.encode(env),
        Value::Size(size) => size.encode(env),
        Value::Sizes(sizes) => sizes.encode(env),
        Value::Ints(ints) => ints.encode(env),
        Value::DType(value) => dtype(env, value),
        Value::Word(word) => name(env, word),
        Value::Scalar(scalar) => number(env, scalar),
    })
}

/// A number as Elixir and Nx write it.
fn number<'a>(env: Env<'a>, scalar: Scalar) -> Term<'a> {
    match scalar {
        Scalar::Int(value) => match (i64::try_from(value), u64::try_from(value)) {
            (Ok(value), _) => value.encode(env),
            (_, Ok(value)) => value.encode(env),
            _ => value.to_string().encode(env),
        },
        Scalar::Float(value) if value.is_nan() => name(env, "nan"),
        Scalar::Float(f64::INFINITY) => name(env, "infinity"),
        Scalar::Float(f64::NEG_INFINITY) => name(env, "neg_infinity"),
        Scalar::Float(value) => value.encode(env),
        Scalar::Complex(re, im) => [re, im]
            .map(|part| number(env, Scalar::Float(part)))
            .as_slice()
            .encode(env),
    }
}
