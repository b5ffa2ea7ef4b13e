//! Threads that share the parts of a kernel's work: one fewer than there are cores, beside the caller's.
//!
//! Parts are cut by the caller, by shapes alone, and each is done by one thread, so that results do not
//! depend on how many there are. One caller at a time has the others' help; whoever comes meanwhile works
//! alone, so that as many streams as there are cores do not wait for each other; and so does who wants to ([`alone`]).

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Does `work` for each of `0..parts`, on several threads, in any order.
///
/// # Panics
/// Where the work does.
pub(crate) fn for_each(parts: usize, work: &(dyn Fn(usize) + Sync)) {
    if parts > 1
        && !ALONE.get()
        && let Some(pool) = &*POOL
        && !pool.busy.swap(true, Ordering::Acquire)
    {
        let panicked = pool.share(parts, work);
        pool.busy.store(false, Ordering::Release);
        assert!(!panicked, "a kernel's thread panicked");
        return;
    }
    (0..parts).for_each(work);
}

thread_local! {
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Does `work` without the help of other threads: for who is no worker's thread, whose work is not worth waking
/// them, and whom they are not to be started by.
pub(crate) fn alone<T>(work: impl FnOnce() -> T) -> T {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            ALONE.set(self.0);
        }
    }
    let _before = Before(ALONE.replace(true));
    work()
}

/// Does `work` for each chunk of so many elements, the last of which may be shorter.
///
/// # Panics
/// Where the work does.
pub(crate) fn for_each_chunk<T: Send>(
    all: &mut [T],
    length: usize,
    work: impl Fn(usize, &mut [T]) + Sync,
) {
    let (start, total) = (Start(all.as_mut_ptr()), all.len());
    let parts = total.div_ceil(length);
    for_each(parts, &|part| {
        let from = part * length;
        let count = length.min(total - from);
        // SAFETY: each part is done once, and the chunks are within the slice, apart from each other.
        let chunk = unsafe { std::slice::from_raw_parts_mut(start.at(from), count) };
        work(part, chunk);
    });
}

/// Where a slice begins that threads write to, each its own part.
#[derive(Clone, Copy)]
struct Start<T>(*mut T);

// SAFETY: it is only used for parts of a slice of values that may be sent.
unsafe impl<T: Send> Sync for Start<T> {}

impl<T> Start<T> {
    fn at(&self, offset: usize) -> *mut T {
        self.0.wrapping_add(offset)
    }
}

/// How many threads work on one kernel at most: its own and the helpers.
pub(super) fn threads() -> usize {
    static COUNT: LazyLock<usize> = LazyLock::new(|| {
        let cores = thread::available_parallelism();
        cores.map_or(1, std::num::NonZero::get)
    });
    *COUNT
}

/// How often a helper looks for new work before it sleeps, for some microseconds.
const LOOKS: usize = 1 << 11;

static POOL: LazyLock<Option<Arc<Pool>>> = LazyLock::new(|| {
    let pool = Arc::new(Pool::default());
    let started = (1..threads()).filter(|_| {
        let pool = pool.clone();
        let helper = thread::Builder::new().name("emily kernels".to_owned());
        helper.spawn(move || pool.help()).is_ok()
    });
    (started.count() > 0).then_some(pool)
});

#[derive(Default)]
struct Pool {
    busy: AtomicBool,
    region: Mutex<Option<Arc<Region>>>,
    opened: Condvar,
    /// How many regions there were.
    count: AtomicUsize,
}

/// A caller's work while it is shared.
struct Region {
    work: Work,
    parts: usize,
    next: AtomicUsize,
    /// Helpers that are inside.
    inside: AtomicUsize,
    panicked: AtomicBool,
}

/// The caller's function. Its lifetime is not told: the caller waits until no helper is inside.
struct Work(*const (dyn Fn(usize) + Sync + 'static));

// SAFETY: it points to what may be called from any thread.
unsafe impl Send for Work {}
// SAFETY: as above.
unsafe impl Sync for Work {}

impl Region {
    fn work(&self) {
        loop {
            let part = self.next.fetch_add(1, Ordering::Relaxed);
            if part >= self.parts {
                return;
            }
            // SAFETY: the caller does not return while somebody is inside, so the function is there.
            let work = unsafe { &*self.work.0 };
            if catch_unwind(AssertUnwindSafe(|| work(part))).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
        }
    }
}

impl Pool {
    /// Whether a part panicked.
    fn share(&self, parts: usize, work: &(dyn Fn(usize) + Sync)) -> bool {
        let work: *const (dyn Fn(usize) + Sync) = work;
        // SAFETY: only the lifetime changes, and the pointer is not used once this returns.
        let work = unsafe {
            std::mem::transmute::<
                *const (dyn Fn(usize) + Sync + '_),
                *const (dyn Fn(usize) + Sync + 'static),
            >(work)
        };
        let work = Work(work);
        let region = Arc::new(Region {
            work,
            parts,
            next: AtomicUsize::new(0),
            inside: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
        });
        let mut open = self.region();
        *open = Some(region.clone());
        self.count.fetch_add(1, Ordering::Release);
        drop(open);
        self.opened.notify_all();
        region.work();
        // Nobody comes in any more; who is inside has a part to finish.
        *self.region() = None;
        while region.inside.load(Ordering::Acquire) > 0 {
            thread::yield_now();
        }
        region.panicked.load(Ordering::Relaxed)
    }

    fn region(&self) -> MutexGuard<'_, Option<Arc<Region>>> {
        // Replaced whole, so consistent.
        self.region.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Helps for the rest of the process's life. What the system is told of the thread that starts this one, a
    /// worker's, holds for it too.
    fn help(&self) {
        let mut seen = 0;
        loop {
            for _ in 0..LOOKS {
                if self.count.load(Ordering::Acquire) != seen {
                    break;
                }
                std::hint::spin_loop();
            }
            let mut open = self.region();
            while self.count.load(Ordering::Acquire) == seen {
                open = self
                    .opened
                    .wait(open)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            seen = self.count.load(Ordering::Acquire);
            let region = open.clone();
            if let Some(region) = &region {
                region.inside.fetch_add(1, Ordering::Relaxed);
            }
            drop(open);
            if let Some(region) = region {
                region.work();
                region.inside.fetch_sub(1, Ordering::Release);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_done_once_whoever_asks_at_once() {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let elements = if cfg!(miri) { 50 } else { 1000 };
                    for length in [1, 7, 64] {
                        let mut all = vec![0u32; elements];
                        for_each_chunk(&mut all, length, |part, chunk| {
                            chunk.iter_mut().for_each(|x| *x += 1 + part as u32);
                        });
                        let want: Vec<u32> =
                            (0..elements).map(|i| 1 + (i / length) as u32).collect();
                        assert_eq!(all, want);
                    }
                });
            }
        });
    }

    #[test]
    fn who_is_alone_stays_so_to_the_end_also_of_a_panic() {
        let here = thread::current().id();
        alone(|| for_each(64, &|_| assert_eq!(thread::current().id(), here)));
        assert!(catch_unwind(|| alone(|| panic!("planted"))).is_err());
        assert!(!ALONE.get());
    }

    #[test]
    fn a_panic_comes_to_the_caller_and_the_threads_go_on() {
        let panics = |part| assert!(part != 5, "planted");
        assert!(catch_unwind(|| for_each(10, &panics)).is_err());
        each_part_is_done_once_whoever_asks_at_once();
    }
}
