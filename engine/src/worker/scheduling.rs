//! What the operating system is told of worker threads.

/// How worker threads' names begin.
pub(crate) const THREAD_NAME: &str = "emily ";

/// Says that this thread, and those it starts, compute for long rather than answer quickly: when
/// woken they do not push a running thread off its core. On a machine with fewer cores than threads
/// that saves a good part of the switching between callers, workers and MLX's own threads.
///
/// A policy other than the default stays, as somebody chose it.
#[cfg(target_os = "linux")]
pub(crate) fn compute() {
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is this thread, and the parameter outlives the calls. A refusal changes nothing.
    unsafe {
        if libc::sched_getscheduler(0) == libc::SCHED_OTHER {
            libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const priority);
        }
    }
}

/// Gives worker threads, and those that they started, the lowest priority: a process that is ending
/// has better things to do than to compute.
#[cfg(target_os = "linux")]
pub(crate) fn give_way() {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return;
    };
    for task in tasks.flatten() {
        // Threads have the name of the thread that started them, unless they choose one.
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let id = task.file_name().to_str().and_then(|id| id.parse().ok());
        if let (true, Some(id)) = (name.starts_with(THREAD_NAME), id) {
            // SAFETY: takes numbers. A thread that has ended is an error that changes nothing.
            unsafe { libc::setpriority(libc::PRIO_PROCESS, id, 19) };
        }
    }
}

/// Elsewhere there is nothing to say.
#[cfg(not(target_os = "linux"))]
pub(crate) fn compute() {}

/// Elsewhere there is nothing to say.
#[cfg(not(target_os = "linux"))]
pub(crate) fn give_way() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn a_worker_thread_is_a_batch_thread() {
        let policies = || {
            super::compute();
            let policy = || {
                // SAFETY: 0 is this thread.
                unsafe { libc::sched_getscheduler(0) }
            };
            (policy(), std::thread::spawn(policy).join().unwrap())
        };
        let (own, child) = std::thread::spawn(policies).join().unwrap();
        assert_eq!(own, libc::SCHED_BATCH);
        assert_eq!(child, libc::SCHED_BATCH);
    }
}
