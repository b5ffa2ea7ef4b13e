//! A reply that comes as a message, at most once, and never after it was withdrawn.
//!
//! `enif_send` takes a process id: a process alias, which would drop late replies by itself, has
//! no form that a NIF can send to. So a request carries the alias's state, and both sides change it
//! in atomic steps.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use emily_engine::Reply;
use emily_spec::Result;
use rustler::env::SavedTerm;
use rustler::thread::is_scheduler_thread;
use rustler::{Atom, Encoder, Env, LocalPid, OwnedEnv, Reference, Resource, ResourceArc, Term};

use crate::atoms;
use crate::encode;

/// What the caller holds of a request. Dropped, it withdraws it.
pub(crate) struct Request(Arc<State>);

#[rustler::resource_impl]
impl Resource for Request {}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.change(WAITING, WITHDRAWN);
    }
}

/// Where a request stands.
struct State(AtomicU8);

/// No reply yet.
const WAITING: u8 = 0;
/// The reply is being sent.
const SENDING: u8 = 1;
/// The reply is in the caller's mailbox, or was.
const SENT: u8 = 2;
/// The caller gave up; there is no reply and will be none.
const WITHDRAWN: u8 = 3;

impl State {
    fn change(&self, from: u8, to: u8) -> bool {
        let change = self
            .0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
        change.is_ok()
    }
}

/// Builds a message's content in the environment that sends it.
type Content = Box<dyn for<'a> FnOnce(Env<'a>) -> Term<'a> + Send>;

/// The way back to a caller: posts `{ref, content}`.
pub(crate) struct Letter {
    to: LocalPid,
    env: OwnedEnv,
    tag: SavedTerm,
    state: Arc<State>,
    /// Where a content lies that came up on the caller's own thread: only with the call's
    /// environment can that be sent.
    at_once: Arc<Mutex<Option<Content>>>,
}

impl Letter {
    /// Posts the content, unless the caller gave up.
    pub(crate) fn post(
        mut self,
        content: impl for<'a> FnOnce(Env<'a>) -> Term<'a> + Send + 'static,
    ) {
        if is_scheduler_thread() {
            *lock(&self.at_once) = Some(Box::new(content));
            return;
        }
        if !self.state.change(WAITING, SENDING) {
            return;
        }
        let tag = self.tag;
        // A caller that has died needs no reply.
        let _ = self
            .env
            .send_and_clear(&self.to, |env| (tag.load(env), content(env)));
        self.state.change(SENDING, SENT);
    }

    /// The reply that posts `{:ok, term}` or `{:error, map}`, wanted until the caller gives up or dies.
    pub(crate) fn reply<T: Send + 'static>(
        self,
        encode: impl for<'a> FnOnce(Env<'a>, T) -> Term<'a> + Send + 'static,
    ) -> Reply<T> {
        let state = self.state.clone();
        Reply::new(move |result| self.post_result(result, encode))
            .while_wanted(move || state.0.load(Ordering::Acquire) != WITHDRAWN)
    }

    /// The reply that posts `{:ok, :done}` or `{:error, map}`.
    pub(crate) fn done(self) -> Reply<()> {
        self.reply(|env, ()| atoms::done().to_term(env))
    }

    /// Posts `{:ok, term}` or `{:error, map}`.
    fn post_result<T: Send + 'static>(
        self,
        result: Result<T>,
        encode: impl for<'a> FnOnce(Env<'a>, T) -> Term<'a> + Send + 'static,
    ) {
        self.post(move |env| {
            // Whoever waits for it gets an error if it cannot be made.
            encode::guarded(env, || {
                planted();
                Ok(encode::reply(env, &result.map(|value| encode(env, value))))
            })
        });
    }
}

/// Panics in the middle of every reply, where a library that is built for tests is told to.
fn planted() {
    assert!(
        !cfg!(debug_assertions) || std::env::var_os("EMILY_PLANTED_PANIC").is_none(),
        "planted"
    );
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // An option is replaced whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Calls `start` with the way back to the calling process.
///
/// The second part is the content, if it came up before `start` returned; nothing is posted then.
fn open<'a>(
    env: Env<'a>,
    tag: Reference<'a>,
    start: impl FnOnce(Letter),
) -> (Arc<State>, Option<Content>) {
    let state = Arc::new(State(AtomicU8::new(WAITING)));
    let at_once = Arc::new(Mutex::new(None));
    let letters = OwnedEnv::new();
    start(Letter {
        to: env.pid(),
        tag: letters.save(tag),
        env: letters,
        state: state.clone(),
        at_once: at_once.clone(),
    });
    let content = lock(&at_once).take();
    (state, content)
}

/// Starts a request whose reply is tagged with `tag`, and returns it.
pub(crate) fn ask<'a>(env: Env<'a>, tag: Reference<'a>, start: impl FnOnce(Letter)) -> Term<'a> {
    let (state, content) = open(env, tag, start);
    if let Some(content) = content {
        state.change(WAITING, SENT);
        let content = content(env);
        // The caller is alive: it is here.
        let _ = env.send(&env.pid(), (tag, content));
    }
    ResourceArc::new(Request(state)).encode(env)
}

/// Starts a notice that is always waited for: `None` where there is nothing to wait for.
pub(crate) fn notice<'a>(
    env: Env<'a>,
    content: Atom,
    start: impl FnOnce(Box<dyn FnOnce() + Send>),
) -> Option<Reference<'a>> {
    let tag = env.make_ref();
    let (_state, at_once) = open(env, tag, |letter| {
        start(Box::new(move || {
            letter.post(move |env| content.to_term(env))
        }));
    });
    at_once.is_none().then_some(tag)
}

/// Gives up on a reply. `:withdrawn`: none will come. `:sent`: it is in the mailbox, or was.
/// `:sending`: it will be there in a moment.
#[rustler::nif]
fn withdraw(request: ResourceArc<Request>) -> Atom {
    request.0.change(WAITING, WITHDRAWN);
    match request.0.0.load(Ordering::Acquire) {
        SENDING => atoms::sending(),
        SENT => atoms::sent(),
        _ => atoms::withdrawn(),
    }
}
