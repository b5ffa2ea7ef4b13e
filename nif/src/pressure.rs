//! When memory is short: the VM is asked to collect.
//!
//! Tensors that a process no longer refers to are freed when it is collected, and the VM sees no reason
//! to: a handle is a few words to it. So a worker that has no room asks an Elixir process to collect all of
//! them, and waits for that, before it refuses.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rustler::{Atom, Env, LocalPid, OwnedEnv, Resource, ResourceArc};

use crate::atoms;

/// A worker does not wait longer: a process may be at something that cannot be interrupted.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who collects.
static COLLECTOR: Mutex<Option<LocalPid>> = Mutex::new(None);

/// A worker's wait.
pub(crate) struct Pressure(Arc<(Mutex<bool>, Condvar)>);

#[rustler::resource_impl]
impl Resource for Pressure {}

/// Nobody will collect for it: the process that was asked has died.
impl Drop for Pressure {
    fn drop(&mut self) {
        self.relieved();
    }
}

impl Pressure {
    fn relieved(&self) {
        let (done, change) = &*self.0;
        *done.lock().unwrap_or_else(PoisonError::into_inner) = true;
        change.notify_all();
    }
}

/// The calling process gets `{:emily_pressure, pressure}` when memory is short, collects, and answers with
/// [`relieved`].
#[rustler::nif]
fn collector(env: Env<'_>) -> Atom {
    *COLLECTOR.lock().unwrap_or_else(PoisonError::into_inner) = Some(env.pid());
    emily_engine::memory::on_pressure(collect);
    atoms::ok()
}

#[rustler::nif]
fn relieved(pressure: ResourceArc<Pressure>) -> Atom {
    pressure.relieved();
    atoms::ok()
}

/// Asks for a collection and waits for it, on a worker's thread.
fn collect() {
    let Some(pid) = *COLLECTOR.lock().unwrap_or_else(PoisonError::into_inner) else {
        return;
    };
    let wait = Arc::new((Mutex::new(false), Condvar::new()));
    let pressure = ResourceArc::new(Pressure(wait.clone()));
    let sent = OwnedEnv::new().send_and_clear(&pid, |_| (atoms::emily_pressure(), pressure));
    if sent.is_err() {
        return;
    }
    let (done, change) = &*wait;
    let done = done.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = change.wait_timeout_while(done, PATIENCE, |done| !*done);
    drop(waited.unwrap_or_else(PoisonError::into_inner));
}
