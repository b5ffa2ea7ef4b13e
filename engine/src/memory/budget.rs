//! What may still be allocated.
//!
//! MLX writes to what its allocator gives, a null pointer too, so memory is refused beforehand. What counts
//! against the limit is what MLX holds and what the graphs that it was not given yet will need.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use emily_spec::{Error, ErrorKind, Result};

use super::limit;
use crate::mlx::from_mlx;
use crate::reaper;

/// What MLX held when it was last asked, and what it was given since.
static ACTIVE: AtomicUsize = AtomicUsize::new(0);

/// What graphs that MLX was not given yet will need.
static RESERVED: AtomicUsize = AtomicUsize::new(0);

/// Memory that will be allocated; given back when dropped.
#[derive(Debug, Default)]
pub(crate) struct Reserved(usize);

impl Reserved {
    /// Takes over another reservation.
    pub(crate) fn join(&mut self, other: Reserved) {
        self.0 = self.0.saturating_add(other.0);
        std::mem::forget(other);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        RESERVED.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Reserves so many bytes, if they are within the limit once `freed` of what is held are given back. Of several who
/// ask at once no more get theirs than fit together.
///
/// # Errors
/// [`ErrorKind::Internal`] when MLX cannot say what it holds.
pub(crate) fn claim(bytes: usize, freed: usize) -> Result<Option<Reserved>> {
    let limit = limit();
    let take = || {
        let held = ACTIVE.load(Ordering::Relaxed).saturating_sub(freed);
        let more = |reserved: usize| {
            let all = held.saturating_add(reserved).saturating_add(bytes);
            (all <= limit).then(|| reserved + bytes)
        };
        let taken = RESERVED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Reserved(bytes))
    };
    if let Some(claim) = take() {
        return Ok(Some(claim));
    }
    note()?;
    Ok(take())
}

/// Takes note of what MLX was given.
pub(crate) fn given(bytes: usize) {
    ACTIVE.fetch_add(bytes, Ordering::Relaxed);
}

/// Takes note of what MLX holds.
///
/// # Errors
/// [`ErrorKind::Internal`] when MLX cannot say.
pub(crate) fn note() -> Result<()> {
    let active = mlx_rs::memory::active_memory().map_err(from_mlx)?;
    let before = ACTIVE.swap(active, Ordering::Relaxed).max(active);
    let high = HIGH.fetch_max(before, Ordering::Relaxed).max(before);
    LEFT.fetch_max(high.saturating_sub(active), Ordering::Relaxed);
    Ok(())
}

/// The most that was held since the last [`trim`].
static HIGH: AtomicUsize = AtomicUsize::new(0);

/// The most of it that was freed, and that the C library may still keep.
static LEFT: AtomicUsize = AtomicUsize::new(0);

/// Whether so many bytes more could be near the limit together with what the C library keeps of small tensors
/// that were freed: true for one caller, who is to [`trim`]. Not only over it, as what is kept is an estimate.
pub(crate) fn crowded(bytes: usize) -> bool {
    let near = || {
        let held = ACTIVE.load(Ordering::Relaxed);
        let all = held.saturating_add(LEFT.load(Ordering::Relaxed));
        all.saturating_add(bytes) > limit() / 4 * 3
    };
    // What was freed lately counts as held until somebody looks.
    if !near() || note().is_err() || !near() || LEFT.load(Ordering::Relaxed) < WORTH_A_TRIM {
        return false;
    }
    HIGH.store(ACTIVE.load(Ordering::Relaxed), Ordering::Relaxed);
    LEFT.swap(0, Ordering::Relaxed) > 0
}

/// Less than that need not be given back.
const WORTH_A_TRIM: usize = 16 << 20;

/// Has the C library give back what it keeps of what was freed, which takes as long as that is large.
pub(crate) fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes a number.
    unsafe {
        libc::malloc_trim(0);
    }
}

type Hook = Box<dyn Fn() + Send + Sync>;

static HOOK: OnceLock<Hook> = OnceLock::new();

/// Calls `hook`, on a worker's thread, when memory is short: it lets go of tensors that nobody needs, and
/// returns when that is done. The first one that is set stays.
pub fn on_pressure(hook: impl Fn() + Send + Sync + 'static) {
    // A second one is of no use.
    let _ = HOOK.set(Box::new(hook));
}

/// Has whoever knows of unneeded tensors let go of them, and waits until they are given back: false where there is
/// nobody.
pub(crate) fn relieve() -> bool {
    let Some(hook) = HOOK.get() else {
        return false;
    };
    hook();
    reaper::settle();
    true
}

/// The error for what does not fit.
pub(crate) fn refusal(results: usize, on_the_way: usize) -> Error {
    // Whoever can wait for what is being given back has.
    let held = mlx_rs::memory::active_memory().unwrap_or_default();
    let way = match on_the_way {
        0 => String::new(),
        bytes => format!(", and {bytes} on the way,"),
    };
    Error::new(
        ErrorKind::Memory,
        format!(
            "{results} bytes{way} do not fit: {held} of {} are in use; drop tensors, use smaller ones, or \
             raise the limit",
            limit()
        ),
    )
}
