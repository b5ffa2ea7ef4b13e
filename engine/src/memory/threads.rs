//! How many threads there is room for.
//!
//! A thread that multiplies needs a buffer of OpenBLAS's own, of 128 MiB of addresses on x86-64. OpenBLAS takes
//! one when all that it has are in use, and keeps it; where the system refuses, it asks again without end. So where
//! addresses are limited it is made to take the buffers beforehand, and there are no more threads than buffers.

use std::sync::OnceLock;

use emily_spec::{Error, ErrorKind, Result};

use super::machine;

/// What a buffer takes at most: no processor has a larger one by default.
const BUFFER: usize = 128 << 20;

/// Of the addresses that are left, buffers may take one in so many.
const SHARE: usize = 4;

/// How many threads a device may have: one per core, and at least eight, so that a handful of streams never
/// share one on a small machine. Each costs an idle OS thread or two, once used. Where addresses are limited
/// there may be fewer, or none.
pub(crate) fn threads() -> usize {
    static THREADS: OnceLock<usize> = OnceLock::new();
    *THREADS.get_or_init(|| {
        let wanted = std::thread::available_parallelism().map_or(8, |cores| cores.get().max(8));
        match machine::addresses() {
            Some(left) if openblas::is_used() => {
                let buffers = wanted.min(buffers_within(left));
                openblas::take(buffers);
                buffers
            }
            Some(_) | None => wanted,
        }
    })
}

/// How many buffers so many addresses have room for. One is worth half of them.
fn buffers_within(left: usize) -> usize {
    (left / SHARE / BUFFER).max((left / BUFFER / 2).min(1))
}

/// # Errors
/// [`ErrorKind::Memory`] where there is no room for a thread.
pub(crate) fn check_threads() -> Result<()> {
    if threads() > 0 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Memory,
        format!(
            "a worker needs {} bytes of addresses, and ulimit -v or ulimit -d leave less; raise them, or limit \
             memory by a control group instead",
            2 * BUFFER
        ),
    ))
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod openblas {
    use std::ffi::{CStr, c_int, c_void};

    type Alloc = unsafe extern "C" fn(c_int) -> *mut c_void;
    type Free = unsafe extern "C" fn(*mut c_void);

    /// Whether that is the BLAS that MLX was given.
    pub(super) fn is_used() -> bool {
        functions().is_some()
    }

    /// Has it take so many buffers, which it keeps for whoever multiplies.
    pub(super) fn take(count: usize) {
        let Some((alloc, free)) = functions() else {
            return;
        };
        // SAFETY: the number says what the buffer is for, which no release looks at; each is given back once, and
        // nothing is written to it.
        unsafe {
            let buffers: Vec<*mut c_void> = (0..count).map(|_| alloc(0)).collect();
            buffers.into_iter().for_each(|buffer| free(buffer));
        }
    }

    /// What its own functions take and give back buffers by.
    fn functions() -> Option<(Alloc, Free)> {
        let (alloc, free) = (symbol(c"blas_memory_alloc")?, symbol(c"blas_memory_free")?);
        // SAFETY: these have been the functions' types in every release that exports them.
        unsafe {
            Some((
                std::mem::transmute::<*mut c_void, Alloc>(alloc),
                std::mem::transmute::<*mut c_void, Free>(free),
            ))
        }
    }

    /// A function of the libraries that this one was loaded with.
    fn symbol(name: &CStr) -> Option<*mut c_void> {
        // SAFETY: takes a name, which outlives the call.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
        (!found.is_null()).then_some(found)
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod openblas {
    pub(super) fn is_used() -> bool {
        false
    }

    pub(super) fn take(_count: usize) {}
}

#[cfg(test)]
mod tests {
    use super::{BUFFER, buffers_within};

    #[test]
    fn buffers_take_a_quarter_of_what_is_left_and_one_at_most_half() {
        let buffers = |left| buffers_within(left * BUFFER);
        assert_eq!([0, 1, 2, 4, 7, 8, 32].map(buffers), [0, 0, 1, 1, 1, 2, 8]);
    }
}
