//! The allocator's figures and limits.

use emily_engine::memory;
use rustler::{Encoder, Env, Reference, ResourceArc, Term};

use crate::atoms;
use crate::encode::guarded;
use crate::request;
use crate::resource::WorkerRef;

/// `{:ok, map}` in bytes. Waits for what is being given back.
#[rustler::nif(schedule = "DirtyIo")]
fn memory_stats<'a>(env: Env<'a>) -> Term<'a> {
    guarded(env, || {
        let stats = memory::stats()?;
        let pairs = [
            (atoms::active(), stats.active),
            (atoms::peak(), stats.peak),
            (atoms::cache(), stats.cache),
            (atoms::limit(), memory::limit()),
        ];
        let map = Term::map_from_pairs(env, &pairs).unwrap_or_else(|_| Term::map_new(env));
        Ok((atoms::ok(), map).encode(env))
    })
}

/// Waits for what is being given back, which is not of the new peak.
#[rustler::nif(schedule = "DirtyIo")]
fn reset_peak<'a>(env: Env<'a>) -> Term<'a> {
    guarded(env, || {
        memory::reset_peak()?;
        Ok(atoms::ok().to_term(env))
    })
}

/// `{:ok, bytes}`: the limit before. Looking for that takes a while, the first time.
#[rustler::nif(schedule = "DirtyIo")]
fn set_memory_limit<'a>(env: Env<'a>, bytes: usize) -> Term<'a> {
    guarded(env, || {
        let before = memory::set_limit(bytes)?;
        Ok((atoms::ok(), before).encode(env))
    })
}

/// Asks the worker: `{tag, {:ok, :done}}` comes.
#[rustler::nif]
fn clear_cache<'a>(env: Env<'a>, worker: ResourceArc<WorkerRef>, tag: Reference<'a>) -> Term<'a> {
    request::ask(env, tag, |letter| {
        worker.0.ask(memory::clear_cache, letter.done());
    })
}

/// Asks the worker: `{tag, {:ok, bytes}}` comes, the limit before.
#[rustler::nif]
fn set_cache_limit<'a>(
    env: Env<'a>,
    worker: ResourceArc<WorkerRef>,
    bytes: usize,
    tag: Reference<'a>,
) -> Term<'a> {
    request::ask(env, tag, |letter| {
        let reply = letter.reply(|env, before: usize| before.encode(env));
        worker.0.ask(move || memory::set_cache_limit(bytes), reply);
    })
}
