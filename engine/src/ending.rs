//! How a process with worker threads ends.
//!
//! `exit` runs handlers and destructors while every other thread goes on. MLX's destructors take
//! away the allocator that kernels, uploads and freed tensors use, and OpenBLAS's join threads that
//! wait for each other: the process crashes, or never ends. No thread can be stopped in the middle
//! of a kernel, and the threads that upload and free tensors are not the engine's. So `exit` meets a
//! handler of the engine's first: it writes out what C streams hold, and ends the process at once,
//! with the status it was to end with.
//!
//! The price: exit handlers and destructors of the rest of the process do not run once a worker was
//! started. Those that people miss belong to tools: coverage profiles, gprof, LeakSanitizer. Rust's
//! standard output and the BEAM's ports are flushed before.
//!
//! Only glibc tells a handler the status, by `on_exit`. Elsewhere the handler does what it can:
//! threads begin nothing more and get a moment to finish, and then the destructors run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use emily_spec::{Error, ErrorKind, Result};

use crate::worker;

static BEGUN: AtomicBool = AtomicBool::new(false);

/// Tells the engine that the process is about to end: workers begin nothing more. What is queued,
/// and what is asked of them later, is [`ErrorKind::Stopped`]; what they are computing goes on, at
/// the lowest priority where threads have one. There is no way back.
///
/// Waits until every worker is at rest, at most for `patience`, and returns whether they all are.
///
/// A process need not call this to end safely, however busy its workers are: `exit` and the return
/// from `main` end it at once. It is for an end that takes a while, and should not be held up by
/// work that nobody will see.
pub fn wind_down(patience: Duration) -> bool {
    BEGUN.store(true, Ordering::SeqCst);
    worker::wind_down(patience)
}

/// True once [`wind_down`] was called.
pub(crate) fn begun() -> bool {
    BEGUN.load(Ordering::Relaxed)
}

/// Refuses what is asked for once [`wind_down`] was called.
pub(crate) fn check_not_begun() -> Result<()> {
    if begun() {
        return Err(refusal());
    }
    Ok(())
}

/// What is asked for while the process ends.
pub(crate) fn refusal() -> Error {
    Error::new(
        ErrorKind::Stopped,
        "the process is ending, and nothing more is computed in it",
    )
}

/// Puts the handler before all that were registered until now.
///
/// Handlers run in the reverse order of their registration, and MLX registers destructors when it
/// first makes what they destroy. So a thread calls this when its stream is there, and again as it
/// works.
pub(crate) fn come_first() {
    handler::register();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod handler {
    use std::ffi::{c_int, c_void};
    use std::sync::{Once, mpsc};
    use std::thread;
    use std::time::Duration;

    unsafe extern "C" {
        /// As `atexit`, for a handler that gets the status. glibc has had it from the start.
        fn on_exit(handler: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
    }

    pub(super) fn register() {
        stay_loaded();
        // SAFETY: the handler is code of a library that stays loaded, and its argument is not used.
        // A refusal, for want of memory, leaves those of earlier calls.
        unsafe { on_exit(end, std::ptr::null_mut()) };
    }

    /// Ends the process, with what `exit` does after its handlers.
    extern "C" fn end(status: c_int, _argument: *mut c_void) {
        flush();
        // SAFETY: takes a number, and does not return.
        unsafe { libc::_exit(status) };
    }

    /// Writes out what C streams hold.
    ///
    /// That takes each stream's lock, and whoever waits for input in C has one for as long. So
    /// another thread does it, which is not waited for longer than a moment.
    fn flush() {
        let (sender, done) = mpsc::sync_channel(1);
        let flusher = thread::Builder::new().spawn(move || {
            // SAFETY: a null pointer means all streams.
            unsafe { libc::fflush(std::ptr::null_mut()) };
            // Nobody waits any more after the timeout.
            let _ = sender.send(());
        });
        if flusher.is_ok() {
            // Late is as good as never.
            let _ = done.recv_timeout(Duration::from_secs(1));
        }
    }

    /// Keeps the library that this code is in from being unloaded, once: the handler is in it, and
    /// so are the worker threads.
    fn stay_loaded() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let mut found = libc::Dl_info {
                dli_fname: std::ptr::null(),
                dli_fbase: std::ptr::null_mut(),
                dli_sname: std::ptr::null(),
                dli_saddr: std::ptr::null_mut(),
            };
            // SAFETY: `found` is there to be written; the name in it is the loader's, and lives as
            // long as the library, which this code is in. The handle is never closed. In a program
            // of one piece the name is not a library's, and nothing comes of it.
            unsafe {
                let address: *const c_void = (end as extern "C" fn(c_int, *mut c_void)) as _;
                if libc::dladdr(address, &raw mut found) != 0 {
                    let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
                    libc::dlopen(found.dli_fname, flags);
                }
            }
        });
    }
}

/// Where a handler does not get the status, it cannot end the process. What it can do is to leave
/// as little as possible running under the destructors.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod handler {
    use std::ffi::c_int;
    use std::sync::Once;
    use std::time::Duration;

    unsafe extern "C" {
        fn atexit(handler: extern "C" fn()) -> c_int;
    }

    pub(super) fn register() {
        // SAFETY: the handler is a function of this library, which the system removes from the list
        // when it unloads the library.
        unsafe { atexit(end) };
    }

    extern "C" fn end() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            super::wind_down(Duration::from_secs(1));
        });
    }
}
