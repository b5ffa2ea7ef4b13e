//! How much memory this process may have.

/// The least of what control groups and resource limits leave to tensors, in bytes; the largest number where
/// nothing limits them.
#[cfg(target_os = "linux")]
pub(super) fn allowance() -> usize {
    // What else the process needs comes out of the rest.
    (cgroup::limit() / 5 * 4).min(rlimit::share())
}

/// What the limits on address space and on data leave beside what the process has by now, in bytes; `None`
/// where there is no such limit.
#[cfg(target_os = "linux")]
pub(super) fn addresses() -> Option<usize> {
    rlimit::left()
}

/// Elsewhere addresses are not limited.
#[cfg(not(target_os = "linux"))]
pub(super) fn addresses() -> Option<usize> {
    None
}

/// Elsewhere MLX's own limit is all that is known.
#[cfg(not(target_os = "linux"))]
pub(super) fn allowance() -> usize {
    usize::MAX
}

/// Control groups, of both versions.
#[cfg(target_os = "linux")]
mod cgroup {
    use std::fs;
    use std::path::{Path, PathBuf};

    /// The least limit of the process's group and those above it.
    pub(super) fn limit() -> usize {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        limit_of(&groups, Path::new("/sys/fs/cgroup"))
    }

    /// The same of this list of groups, whose files are under `root`.
    pub(super) fn limit_of(groups: &str, root: &Path) -> usize {
        let limits = groups.lines().flat_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let controllers = parts.next().unwrap_or_default();
            let group = parts.next().unwrap_or_default().trim_start_matches('/');
            let (root, file) = match controllers {
                "" => (root.to_owned(), "memory.max"),
                _ => (root.join("memory"), "memory.limit_in_bytes"),
            };
            let counts = controllers.is_empty() || controllers.split(',').any(|c| c == "memory");
            let group = root.join(group);
            let above = group.ancestors().take_while(|path| path.starts_with(&root));
            let files: Vec<PathBuf> = above.map(|path| path.join(file)).collect();
            counts.then_some(files).into_iter().flatten()
        });
        // "max" is no number: no limit.
        let number = |file: PathBuf| fs::read_to_string(file).ok()?.trim().parse().ok();
        limits.filter_map(number).min().unwrap_or(usize::MAX)
    }
}

/// Resource limits, as `ulimit` sets them.
#[cfg(target_os = "linux")]
mod rlimit {
    use std::fs;

    use crate::memory::threads;

    /// Half of what is left once OpenBLAS has its buffers: threads take addresses for their stacks, and the C
    /// library in blocks of 64 MiB, which small tensors do not fill.
    pub(super) fn share() -> usize {
        let _taken = threads();
        let Some(left) = left() else {
            return usize::MAX;
        };
        spare();
        left / 2
    }

    /// Tells the C library to give the memory of large tensors back at once, as it would keep it for the
    /// thread that had it, and to take no blocks for further threads.
    fn spare() {
        #[cfg(target_env = "gnu")]
        // SAFETY: takes numbers; a refusal changes nothing.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 20);
            libc::mallopt(libc::M_ARENA_MAX, 1);
        }
    }

    pub(super) fn left() -> Option<usize> {
        let none = libc::RLIM_INFINITY as usize;
        let (space, data) = (soft(libc::RLIMIT_AS), soft(libc::RLIMIT_DATA));
        if space == none && data == none {
            return None;
        }
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let space = space.saturating_sub(size(&status, "VmSize:"));
        let data = data.saturating_sub(size(&status, "VmData:"));
        Some(space.min(data))
    }

    fn soft(resource: libc::__rlimit_resource_t) -> usize {
        let mut limit = libc::rlimit {
            rlim_cur: libc::RLIM_INFINITY,
            rlim_max: libc::RLIM_INFINITY,
        };
        // SAFETY: the place outlives the call, which fills it or leaves it as it is.
        unsafe { libc::getrlimit(resource, &raw mut limit) };
        usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX)
    }

    /// A size in `/proc/self/status`, in bytes.
    fn size(status: &str, name: &str) -> usize {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        kib.map_or(0, |kib: usize| kib.saturating_mul(1024))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::cgroup::limit_of;

    fn write(file: &Path, text: &str) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    #[test]
    fn a_group_is_limited_by_those_above_it() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        write(&root.join("memory.max"), "max\n");
        write(&root.join("app/memory.max"), "536870912\n");
        write(&root.join("app/part/memory.max"), "max\n");
        write(&root.join("memory/old/memory.limit_in_bytes"), "1048576\n");
        let version_2 = |group| limit_of(&format!("0::{group}\n"), root);
        assert_eq!(version_2("/app/part"), 512 << 20);
        assert_eq!(version_2("/app"), 512 << 20);
        assert_eq!(version_2("/"), usize::MAX);
        assert_eq!(version_2("/not/there"), usize::MAX);
        let version_1 = "4:cpu,cpuacct:/old\n3:memory:/old\n";
        assert_eq!(limit_of(version_1, root), 1 << 20);
        assert_eq!(limit_of("", root), usize::MAX);
    }
}
