//! The cache of freed buffers, which MLX keeps for reuse.
//!
//! To give it back MLX waits for every stream on the CPU, and whoever waits for a stream is told of the kernel that
//! failed on it, once, in place of the stream's own thread. So such failures are kept here for all threads.

use std::sync::{PoisonError, RwLock};

use emily_spec::{Error, Result};
use mlx_rs::error::Result as MlxResult;

use crate::mlx::from_mlx;
use crate::reaper;

/// How many failures there were, and the last one. Locked for writing while MLX waits, so that whoever reads
/// after it has waited for its own stream misses none.
static FAILURES: RwLock<(u32, Option<Error>)> = RwLock::new((0, None));

/// Gives the cached buffers back to the system; tensors stay. On the CPU this waits for every
/// worker's running kernels, so it belongs on a worker: [`crate::Worker::call`].
///
/// # Errors
/// [`emily_spec::ErrorKind::Internal`] when MLX refuses.
pub fn clear_cache() -> Result<()> {
    reaper::settle();
    wait_for_all(mlx_rs::memory::clear_cache)
}

/// Sets the limit on cached buffers in bytes and returns the one before; 0 keeps nothing. Like
/// [`clear_cache`] it belongs on a worker.
///
/// # Errors
/// [`emily_spec::ErrorKind::Internal`] when MLX refuses.
pub fn set_cache_limit(bytes: usize) -> Result<usize> {
    wait_for_all(|| mlx_rs::memory::set_cache_limit(bytes))
}

/// Calls what waits for all streams: again where that failed, as a failure is told once.
fn wait_for_all<T>(call: impl Fn() -> MlxResult<T>) -> Result<T> {
    let mut failures = FAILURES.write().unwrap_or_else(PoisonError::into_inner);
    call().or_else(|exception| {
        failures.0 += 1;
        failures.1 = Some(from_mlx(exception));
        call().map_err(from_mlx)
    })
}

/// The last failure, where there were more than were seen; now they are.
pub(crate) fn failures_since(seen: &mut u32) -> Option<Error> {
    let failures = FAILURES.read().unwrap_or_else(PoisonError::into_inner);
    let before = std::mem::replace(seen, failures.0);
    (before < failures.0).then(|| failures.1.clone()).flatten()
}
