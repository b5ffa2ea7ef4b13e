//! Tensors: from bytes, to bytes, and their end.

use rustler::{Binary, Encoder, Env, Reference, ResourceArc, Term};

use crate::atoms;
use crate::decode;
use crate::encode::{self, guarded};
use crate::request;
use crate::resource::{Buffer, TensorRef, WorkerRef};

/// `{:ok, tensor}` with a copy of the binary, made on the calling scheduler; `:no_room` where
/// [`make_room`] has to come first.
#[rustler::nif]
fn from_binary<'a>(
    env: Env<'a>,
    worker: ResourceArc<WorkerRef>,
    dtype: Term<'a>,
    shape: Term<'a>,
    binary: Binary<'a>,
) -> Term<'a> {
    upload(env, &worker, [dtype, shape], &binary)
}

/// [`from_binary`] on a dirty scheduler, for copies that take long.
#[rustler::nif(schedule = "DirtyCpu")]
fn from_binary_dirty<'a>(
    env: Env<'a>,
    worker: ResourceArc<WorkerRef>,
    dtype: Term<'a>,
    shape: Term<'a>,
    binary: Binary<'a>,
) -> Term<'a> {
    upload(env, &worker, [dtype, shape], &binary)
}

fn upload<'a>(
    env: Env<'a>,
    worker: &WorkerRef,
    [dtype, shape]: [Term<'a>; 2],
    binary: &[u8],
) -> Term<'a> {
    guarded(env, || {
        let ty = decode::tensor_type(dtype, shape)?;
        Ok(match worker.0.try_from_bytes(&ty, binary)? {
            Some(handle) => (atoms::ok(), ResourceArc::new(TensorRef(handle))).encode(env),
            None => atoms::no_room().to_term(env),
        })
    })
}

/// Asks for room for so many bytes: `{tag, {:ok, :done}}` comes, or `{tag, {:error, map}}`.
#[rustler::nif]
fn make_room<'a>(
    env: Env<'a>,
    worker: ResourceArc<WorkerRef>,
    bytes: usize,
    tag: Reference<'a>,
) -> Term<'a> {
    request::ask(env, tag, |letter| {
        worker.0.make_room(bytes, letter.done());
    })
}

/// Asks for the bytes: `{tag, {:ok, binary}}` comes, or `{tag, {:error, map}}`.
#[rustler::nif]
fn read<'a>(env: Env<'a>, tensor: ResourceArc<TensorRef>, tag: Reference<'a>) -> Term<'a> {
    request::ask(env, tag, |letter| {
        let reply = letter.reply(|env, bytes| Buffer::binary(env, bytes).to_term(env));
        tensor.0.read_with(reply);
    })
}

/// `{:ok, binary}` or `{:error, map}` where that takes no worker, else `nil`: then [`read`] has to ask.
#[rustler::nif]
fn read_now(env: Env<'_>, tensor: ResourceArc<TensorRef>) -> Term<'_> {
    guarded(env, || {
        Ok(match tensor.0.read_now() {
            Some(bytes) => encode::reply(
                env,
                &bytes.map(|bytes| Buffer::binary(env, bytes).to_term(env)),
            ),
            None => atoms::nil().to_term(env),
        })
    })
}

/// Asks for the value: `{tag, {:ok, :done}}` comes, or `{tag, {:error, map}}`.
#[rustler::nif]
fn eval<'a>(env: Env<'a>, tensor: ResourceArc<TensorRef>, tag: Reference<'a>) -> Term<'a> {
    request::ask(env, tag, |letter| {
        tensor.0.eval_with(letter.done());
    })
}

/// Where much is asked of the tensor's worker: a reference, and `{ref, :room}` comes once there is
/// room for more. Else `nil`.
#[rustler::nif]
fn room<'a>(env: Env<'a>, tensor: ResourceArc<TensorRef>) -> Option<Reference<'a>> {
    let backlog = tensor.0.backlog()?;
    request::notice(env, atoms::room(), |room| backlog.notify(room))
}

#[rustler::nif]
fn release(tensor: ResourceArc<TensorRef>) -> bool {
    tensor.0.release()
}

#[rustler::nif(name = "type")]
fn type_of<'a>(env: Env<'a>, tensor: ResourceArc<TensorRef>) -> Term<'a> {
    encode::tensor_type(env, tensor.0.ty())
}
