//! Ops that were read before, found again by what they were read from.
//!
//! The same few calls come again and again, and reading one takes longer than computing a small one. What a call
//! is made of are atoms and integers, alone and in tuples and lists; anything else is read anew.

use std::cell::RefCell;
use std::collections::HashMap;

use emily_spec::{Op, Result};
use rustler::sys::ErlNifTerm;
use rustler::{MapIterator, Term, TermType};
use smallvec::SmallVec;

/// The name, then the attributes.
type Key = SmallVec<[Part; 8]>;

/// What a call is made of.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    /// A VM has one number for it, as long as it runs.
    Atom(ErlNifTerm),
    Integer(i64),
    /// Of so many elements, which follow.
    Tuple(usize),
    List,
    End,
}

/// Longer keys are not looked for.
const LONGEST: usize = 16;

/// So many ops are known to a thread at most, in some hundred kilobytes.
const MOST: usize = 1024;

thread_local! {
    static KNOWN: RefCell<HashMap<Key, Op>> = RefCell::default();
}

/// What `read` gives, or gave for the same terms.
///
/// # Errors
/// Those of `read`.
pub(super) fn or_read(
    name: Term<'_>,
    attrs: Term<'_>,
    read: impl FnOnce() -> Result<Op>,
) -> Result<Op> {
    let Some(key) = key(name, attrs) else {
        return read();
    };
    if let Some(op) = KNOWN.with_borrow(|known| known.get(&key).cloned()) {
        return Ok(op);
    }
    let op = read()?;
    KNOWN.with_borrow_mut(|known| {
        if known.len() == MOST {
            known.clear();
        }
        known.insert(key, op.clone());
    });
    Ok(op)
}

/// What tells a call from all others; `None` where that is not only of atoms and integers.
fn key(name: Term<'_>, attrs: Term<'_>) -> Option<Key> {
    let mut key = Key::new();
    simple(name, &mut key)?;
    for (attr, value) in MapIterator::new(attrs)? {
        simple(attr, &mut key)?;
        part(value, &mut key)?;
    }
    Some(key)
}

fn part(value: Term<'_>, key: &mut Key) -> Option<()> {
    match value.get_type() {
        TermType::Atom | TermType::Integer => simple(value, key),
        TermType::Tuple => {
            let elements = super::elements(&value);
            key.push(Part::Tuple(elements.len()));
            elements.into_iter().try_for_each(|x| simple(x, key))
        }
        TermType::List => {
            key.push(Part::List);
            let mut rest = value;
            while !rest.is_empty_list() {
                let (first, tail) = rest.list_get_cell().ok()?;
                simple(first, key)?;
                rest = tail;
            }
            key.push(Part::End);
            Some(())
        }
        TermType::Binary
        | TermType::Float
        | TermType::Fun
        | TermType::Map
        | TermType::Pid
        | TermType::Port
        | TermType::Ref
        | TermType::Unknown => None,
    }
}

/// An atom or an integer.
fn simple(term: Term<'_>, key: &mut Key) -> Option<()> {
    if key.len() >= LONGEST {
        return None;
    }
    key.push(match term.is_atom() {
        true => Part::Atom(term.as_c_arg()),
        false => Part::Integer(term.decode().ok()?),
    });
    Some(())
}
