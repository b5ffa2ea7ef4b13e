//! The fixed pool of threads per device.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use emily_spec::Result;

use crate::worker::{Job, Lane, Reply, Thread, scheduling};
use crate::{Device, memory};

static CPU: Mutex<Vec<Arc<Thread>>> = Mutex::new(Vec::new());
static GPU: Mutex<Vec<Arc<Thread>>> = Mutex::new(Vec::new());

fn threads(device: Device) -> MutexGuard<'static, Vec<Arc<Thread>>> {
    let pool = match device {
        Device::Cpu => &CPU,
        Device::Gpu => &GPU,
    };
    // A panic under the lock leaves the list whole.
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A new lane on the least loaded thread, which is started if the pool is not full.
///
/// # Errors
/// [`emily_spec::ErrorKind::Memory`] where there is no room for a thread, and as [`Thread::start`].
pub(crate) fn join(device: Device) -> Result<(Arc<Thread>, Arc<Lane>)> {
    static LANES: AtomicUsize = AtomicUsize::new(0);
    memory::check_threads()?;
    let mut threads = threads(device);
    let least = threads.iter().min_by_key(|thread| thread.lanes()).cloned();
    let thread = match least {
        Some(thread) if thread.lanes() == 0 || threads.len() >= memory::threads() => thread,
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

/// Has every thread refuse what is queued and finish what it computes, now that the end has begun;
/// whether they all were at rest within `patience`.
pub(crate) fn wind_down(patience: Duration) -> bool {
    let until = Instant::now() + patience;
    let (sender, settled) = mpsc::channel();
    for device in [Device::Cpu, Device::Gpu] {
        for thread in threads(device).iter() {
            let sender = sender.clone();
            thread.push(Job::Settle(Reply::new(move |result| {
                // Nobody waits any more once the patience is over.
                let _ = sender.send(result);
            })));
        }
    }
    drop(sender);
    scheduling::give_way();
    loop {
        match settled.recv_timeout(until.saturating_duration_since(Instant::now())) {
            // A thread whose last work failed is at rest too.
            Ok(Ok(()) | Err(_)) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return true,
            Err(mpsc::RecvTimeoutError::Timeout) => return false,
        }
    }
}
