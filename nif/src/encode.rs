//! Types and errors as terms, and the results that carry them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use emily_spec::{DType, Error, ErrorKind, Op, Result, Shape, TensorType};
use rustler::types::tuple::make_tuple;
use rustler::{Atom, Encoder, Env, Term};

use crate::atoms;

/// `{:ok, term}` or `{:error, map}`; a panic in `f` is an error as well.
pub(crate) fn guarded<'a>(env: Env<'a>, f: impl FnOnce() -> Result<Term<'a>>) -> Term<'a> {
    let result = catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(Error::new(
            ErrorKind::Internal,
            format!("the native library panicked: {text}; please report it"),
        ))
    });
    match result {
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
    let empty = Term::map_new(env);
    let Ok(serde_json::Value::Object(mut call)) = serde_json::to_value(op) else {
        return empty;
    };
    call.remove("attrs")
        .map_or(empty, |attrs| json(env, &attrs))
}

/// A value of serde's as a term: names become the atoms that Elixir wrote them as.
fn json<'a>(env: Env<'a>, value: &serde_json::Value) -> Term<'a> {
    use serde_json::Value;
    match value {
        Value::Null => atoms::nil().to_term(env),
        Value::Bool(value) => value.encode(env),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(n), _, _) => n.encode(env),
            (_, Some(n), _) => n.encode(env),
            (_, _, Some(x)) => x.encode(env),
            (None, None, None) => number.to_string().encode(env),
        },
        Value::String(text) => existing_atom(env, text),
        Value::Array(values) => {
            let terms: Vec<Term<'_>> = values.iter().map(|value| json(env, value)).collect();
            terms.encode(env)
        }
        Value::Object(entries) => {
            let given = entries.iter().filter(|(_, value)| !value.is_null());
            let pairs: Vec<_> = given
                .map(|(key, value)| (existing_atom(env, key), json(env, value)))
                .collect();
            Term::map_from_pairs(env, &pairs).unwrap_or_else(|_| Term::map_new(env))
        }
    }
}

/// The atom of this name, or the text where Elixir knows no such atom.
fn existing_atom<'a>(env: Env<'a>, text: &str) -> Term<'a> {
    match Atom::existing_from_utf8_bytes(env, text.as_bytes()) {
        Ok(atom) => atom.to_term(env),
        Err(_) => text.encode(env),
    }
}
