//! MLX's allocator: what it holds, and how much it may.
//!
//! The figures and limits belong to the whole process, all workers together, in bytes.

mod budget;
mod cache;
mod machine;
mod threads;

use std::sync::atomic::{AtomicUsize, Ordering};

use emily_spec::{Error, ErrorKind, Result};

use crate::Device;
use crate::mlx::{self, from_mlx};
use crate::reaper;

pub use budget::on_pressure;
pub(crate) use budget::{Reserved, claim, crowded, given, note, refusal, relieve, trim};
pub(crate) use cache::failures_since;
pub use cache::{clear_cache, set_cache_limit};
pub(crate) use threads::{check_threads, threads};

/// What the allocator holds, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// In use by tensors.
    pub active: usize,
    /// The most that was in use since the start or [`reset_peak`].
    pub peak: usize,
    /// Freed and kept for reuse.
    pub cache: usize,
}

/// What the allocator holds now. Waits for what is being given back, up to 0.1 s for a gigabyte.
///
/// # Errors
/// [`ErrorKind::Internal`] when MLX cannot say.
pub fn stats() -> Result<Stats> {
    use mlx_rs::memory::{active_memory, cache_memory, peak_memory};
    mlx::initialize();
    reaper::settle();
    let active = active_memory().map_err(from_mlx)?;
    Ok(Stats {
        active,
        // MLX's peak after a reset is 0 until something new is allocated.
        peak: peak_memory().map_err(from_mlx)?.max(active),
        cache: cache_memory().map_err(from_mlx)?,
    })
}

/// Starts [`Stats::peak`] anew.
///
/// # Errors
/// [`ErrorKind::Internal`] when MLX refuses.
pub fn reset_peak() -> Result<()> {
    mlx::initialize();
    reaper::settle();
    mlx_rs::memory::reset_peak_memory().map_err(from_mlx)
}

/// The limit on tensors' memory; work beyond it is a [`ErrorKind::Memory`] error.
static LIMIT: AtomicUsize = AtomicUsize::new(0);

/// The limit on tensors' memory in bytes: what [`set_limit`] set, else the least of MLX's own, which is a
/// share of the machine's or the GPU's memory, and a share of what the process may have by its control group
/// and its resource limits.
pub fn limit() -> usize {
    match LIMIT.load(Ordering::Relaxed) {
        0 => {
            mlx::initialize();
            let own = mlx_rs::memory::memory_limit().unwrap_or(usize::MAX);
            // A GPU's memory is its own, and its driver reserves addresses far beyond it.
            let limit = match Device::preferred() {
                Device::Cpu => own.min(machine::allowance()),
                Device::Gpu => own,
            };
            // Something is left, or nothing could be said at all.
            let limit = limit.max(1);
            LIMIT.store(limit, Ordering::Relaxed);
            limit
        }
        limit => limit,
    }
}

/// Sets the limit on tensors' memory in bytes and returns the one before.
///
/// # Errors
/// [`ErrorKind::Argument`] for 0, [`ErrorKind::Internal`] when MLX refuses.
pub fn set_limit(bytes: usize) -> Result<usize> {
    if bytes == 0 {
        return Err(Error::new(
            ErrorKind::Argument,
            "a memory limit of 0 leaves room for nothing",
        ));
    }
    let before = limit();
    mlx_rs::memory::set_memory_limit(bytes).map_err(from_mlx)?;
    LIMIT.store(bytes, Ordering::Relaxed);
    Ok(before)
}

/// For `map_err` of a reservation: that the system has no memory for so many values, of a number that a caller chose.
pub fn none_for<E>(count: usize) -> impl FnOnce(E) -> Error {
    move |_| {
        let message =
            format!("there is no memory for {count} values; drop tensors or use smaller ones");
        Error::new(ErrorKind::Memory, message)
    }
}

/// A copy of bytes, where there is memory for one.
///
/// # Errors
/// [`ErrorKind::Memory`].
pub fn copied(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut copy = Vec::new();
    let reserved = copy.try_reserve_exact(bytes.len());
    reserved.map_err(none_for(bytes.len()))?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

/// Checks that one more tensor of this many bytes could be held at all.
pub(crate) fn check(bytes: usize) -> Result<()> {
    let limit = limit();
    if bytes <= limit {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Memory,
        format!(
            "{bytes} bytes are over the memory limit of {limit}; use a smaller shape or raise the limit"
        ),
    ))
}
