//! The fixed pool of threads per device.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use emily_spec::Result;

use crate::Device;
use crate::worker::{Lane, Thread};

/// Threads per device: one per core, and at least eight, so that a handful of streams never share
/// one on a small machine. Each costs an idle OS thread or two, once used.
fn size() -> usize {
    std::thread::available_parallelism().map_or(8, |cores| cores.get().max(8))
}

static CPU: Mutex<Vec<Arc<Thread>>> = Mutex::new(Vec::new());
static GPU: Mutex<Vec<Arc<Thread>>> = Mutex::new(Vec::new());

/// A new lane on the least loaded thread, which is started if the pool is not full.
pub(crate) fn join(device: Device) -> Result<(Arc<Thread>, Arc<Lane>)> {
    static LANES: AtomicUsize = AtomicUsize::new(0);
    let pool = match device {
        Device::Cpu => &CPU,
        Device::Gpu => &GPU,
    };
    // A panic between the lines below leaves the list whole.
    let mut threads = pool.lock().unwrap_or_else(PoisonError::into_inner);
    let least = threads.iter().min_by_key(|thread| thread.lanes()).cloned();
    let thread = match least {
        Some(thread) if thread.lanes() == 0 || threads.len() >= size() => thread,
        _ => {
            let thread = Thread::start(device, threads.len())?;
            threads.push(thread.clone());
            thread
        }
    };
    let number = LANES.fetch_add(1, Ordering::Relaxed);
    let lane = Lane::new(&format!("worker {number} on {}", thread.name), &thread);
    Ok((thread, lane))
}
