//! Workers, and ops on them.

use std::time::Duration;

use emily_engine::{Backlog, Config, Device, Handle, Worker};
use emily_spec::Result;
use rustler::{Atom, Encoder, Env, Reference, ResourceArc, Term};

use crate::atoms;
use crate::decode::{self, Operands};
use crate::encode::guarded;
use crate::request;
use crate::resource::{TensorRef, WorkerRef};

/// `{:ok, worker}`. Starting a device for the first time takes a while.
#[rustler::nif(schedule = "DirtyIo")]
fn start_worker<'a>(env: Env<'a>, device: Atom, f64: bool) -> Term<'a> {
    guarded(env, || {
        let device = if device == atoms::cpu() {
            Device::Cpu
        } else if device == atoms::gpu() {
            Device::Gpu
        } else {
            Device::preferred()
        };
        let worker = Worker::start(Config { device, f64 })?;
        Ok((atoms::ok(), ResourceArc::new(WorkerRef(worker))).encode(env))
    })
}

#[rustler::nif]
fn stop_worker(worker: ResourceArc<WorkerRef>) -> Atom {
    worker.0.stop();
    atoms::ok()
}

/// The VM is ending: workers begin nothing more. Waits for none of them.
#[rustler::nif(schedule = "DirtyIo")]
fn wind_down() -> Atom {
    emily_engine::wind_down(Duration::ZERO);
    atoms::ok()
}

#[rustler::nif]
fn worker_name(worker: ResourceArc<WorkerRef>) -> String {
    worker.0.name().to_owned()
}

#[rustler::nif]
fn queue_depth(worker: ResourceArc<WorkerRef>) -> usize {
    worker.0.depth()
}

#[rustler::nif]
fn device(worker: ResourceArc<WorkerRef>) -> Atom {
    match worker.0.device() {
        Device::Cpu => atoms::cpu(),
        Device::Gpu => atoms::gpu(),
    }
}

/// Looking for one takes a while, the first time.
#[rustler::nif(schedule = "DirtyIo")]
fn gpu_available() -> bool {
    Device::Gpu.check().is_ok()
}

#[rustler::nif]
fn mlx_version() -> String {
    emily_engine::version().to_string()
}

/// Queues an op: `{:ok, tensors}`, or `{:wait, ref, tensors}` when the queue is over its bound; the
/// caller then waits for `{ref, :room}`.
#[rustler::nif]
fn apply_op<'a>(
    env: Env<'a>,
    worker: ResourceArc<WorkerRef>,
    name: Term<'a>,
    attrs: Term<'a>,
    inputs: Operands<{ decode::FEW }>,
) -> Term<'a> {
    submit(env, &worker.0, [name, attrs], inputs.0)
}

/// [`apply_op`] on a dirty scheduler, for any number of operands.
#[rustler::nif(schedule = "DirtyCpu")]
fn apply_op_dirty<'a>(
    env: Env<'a>,
    worker: ResourceArc<WorkerRef>,
    name: Term<'a>,
    attrs: Term<'a>,
    inputs: Operands<{ usize::MAX }>,
) -> Term<'a> {
    submit(env, &worker.0, [name, attrs], inputs.0)
}

fn submit<'a>(
    env: Env<'a>,
    worker: &Worker,
    [name, attrs]: [Term<'a>; 2],
    inputs: Result<Vec<Handle>>,
) -> Term<'a> {
    guarded(env, || {
        let inputs = inputs?;
        let op = decode::op(name, attrs)?;
        queued(env, worker, worker.submit(op, &inputs))
    })
}

/// What the worker queued: `{:ok, tensors}`, or `{:wait, ref, tensors}`.
pub(crate) fn queued<'a>(
    env: Env<'a>,
    worker: &Worker,
    queued: Result<(Vec<Handle>, Option<Backlog>)>,
) -> Result<Term<'a>> {
    let (outputs, backlog) = queued.map_err(|error| error.on(worker.name()))?;
    let tensors: Vec<_> = outputs
        .into_iter()
        .map(|handle| ResourceArc::new(TensorRef(handle)))
        .collect();
    let wait = backlog
        .and_then(|backlog| request::notice(env, atoms::room(), |room| backlog.notify(room)));
    Ok(match wait {
        Some(tag) => (atoms::wait(), tag, tensors).encode(env),
        None => (atoms::ok(), tensors).encode(env),
    })
}

/// Starts what is queued: `{tag, {:ok, :done}}` comes once all of it is in the graph.
#[rustler::nif]
fn flush<'a>(env: Env<'a>, worker: ResourceArc<WorkerRef>, tag: Reference<'a>) -> Term<'a> {
    request::ask(env, tag, |letter| {
        worker.0.flush(letter.done());
    })
}
