//! Which BLAS and LAPACK the runtime loads.
//!
//! The wheels bring the Netlib reference, which has one thread and no vector
//! code. The loader finds both libraries by file name in the wheel's `*.libs`
//! directory. In the cached copy those names are symbolic links: to the
//! originals, kept under `*.reference`, or to the system's OpenBLAS.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};

use crate::Error;

/// The names OpenBLAS goes by, best first: threaded builds have a name of
/// their own on some systems, on others `libopenblas.so.0` is one.
const NAMES: [&str; 3] = [
    "libopenblasp.so.0",
    "libopenblas_pthreads.so.0",
    "libopenblas.so.0",
];

/// Everything MLX calls in the two libraries. OpenBLAS can be built without LAPACK.
const CALLED: &str = "cblas_cgemm cblas_dgemm cblas_sgemm cgeev_ cgesdd_ cheevd_ dgeev_ dgeqrf_ \
                      dgesdd_ dgetrf_ dgetri_ dorgqr_ dpotrf_ dsyevd_ dtrtri_ sgeev_ sgeqrf_ \
                      sgesdd_ sgetrf_ sgetri_ sorgqr_ spotrf_ ssyevd_ strtri_";

/// The suffix of the originals.
const REFERENCE: &str = ".reference";

/// The BLAS and LAPACK of a runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blas {
    /// The system's OpenBLAS, at this path.
    OpenBlas(PathBuf),
    /// The Netlib reference from the wheel.
    Reference,
    /// What MLX was linked with: Accelerate on macOS, anything under `MLX_HOME`.
    Own,
}

impl Blas {
    /// What this choice costs and the commands that end it, if it costs anything.
    #[must_use]
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Reference => Some(
                "MLX uses the reference BLAS on the processor: one thread, no vector code, f32 \
                 matmul up to 30 times slower than with OpenBLAS. Install it, then build again:\n  \
                 Debian, Ubuntu: apt-get install libopenblas0-pthread\n  \
                 Fedora: dnf install openblas-threads\n  \
                 Arch: pacman -S openblas",
            ),
            Self::OpenBlas(_) | Self::Own => None,
        }
    }
}

impl fmt::Display for Blas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenBlas(path) => write!(f, "OpenBLAS ({})", path.display()),
            Self::Reference => f.write_str("Netlib reference"),
            Self::Own => f.write_str("MLX's own"),
        }
    }
}

/// Makes links of the two libraries in a freshly unpacked wheel.
pub(crate) fn keep_reference(unpacked: &Path) -> Result<(), Error> {
    for library in libraries(unpacked) {
        let kept = reference(&library);
        fs::rename(&library, &kept).map_err(Error::io("rename", &library))?;
        point(&library, Path::new(kept.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

/// Points the links at the system's OpenBLAS, or back if there is none any more.
pub(crate) fn refresh(unpacked: &Path) -> Result<(), Error> {
    let now = current(unpacked);
    if now == Blas::Own {
        return Ok(());
    }
    let usable = |path: &PathBuf| now == Blas::OpenBlas(path.clone()) || has_all_called(path);
    let wanted = system_openblas().into_iter().find(usable);
    use_blas(unpacked, wanted.as_deref())
}

/// Points the links at `openblas`, or at the originals.
fn use_blas(unpacked: &Path, openblas: Option<&Path>) -> Result<(), Error> {
    for library in libraries(unpacked) {
        let original = reference(&library);
        let target = openblas.unwrap_or(Path::new(original.file_name().unwrap_or_default()));
        if fs::read_link(&library).ok().as_deref() != Some(target) {
            point(&library, target)?;
        }
    }
    Ok(())
}

/// Reads off the links which BLAS an unpacked wheel uses.
pub(crate) fn current(unpacked: &Path) -> Blas {
    let targets: Vec<_> = libraries(unpacked).iter().map(fs::read_link).collect();
    match targets.first() {
        Some(Ok(target)) if target.is_absolute() => Blas::OpenBlas(target.clone()),
        Some(Ok(_)) => Blas::Reference,
        Some(Err(_)) | None => Blas::Own,
    }
}

/// The names under which `libmlx.so` looks for BLAS and LAPACK.
fn libraries(unpacked: &Path) -> Vec<PathBuf> {
    let entries = |dir: &Path| {
        fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
    };
    let mut found: Vec<_> = entries(unpacked)
        .filter(|dir| dir.extension() == Some(OsStr::new("libs")))
        .flat_map(|dir| entries(&dir).collect::<Vec<_>>())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            (name.starts_with("libblas-") || name.starts_with("liblapack-"))
                && !name.ends_with(REFERENCE)
                && !name.contains(".new-")
        })
        .collect();
    found.sort();
    found
}

fn reference(library: &Path) -> PathBuf {
    let mut name = library.as_os_str().to_owned();
    name.push(REFERENCE);
    name.into()
}

/// Makes `link` a symbolic link to `target` in one step, whatever it was before.
fn point(link: &Path, target: &Path) -> Result<(), Error> {
    let mut fresh = link.as_os_str().to_owned();
    fresh.push(format!(".new-{}", process::id()));
    let fresh = PathBuf::from(fresh);
    symlink(target, &fresh)
        .and_then(|()| fs::rename(&fresh, link))
        .map_err(Error::io("link", link))
}

/// The OpenBLAS libraries that the system's loader knows, best first.
fn system_openblas() -> Vec<PathBuf> {
    // Not every user has /sbin on the PATH.
    let listing = ["ldconfig", "/sbin/ldconfig"]
        .iter()
        .find_map(|ldconfig| Command::new(ldconfig).arg("-p").output().ok())
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    openblas_in(&listing)
}

/// Picks the OpenBLAS libraries out of what `ldconfig -p` prints, whose lines
/// read `libfoo.so.0 (libc6,x86-64) => /usr/lib/libfoo.so.0`.
fn openblas_in(listing: &str) -> Vec<PathBuf> {
    let known = |name: &&str| {
        listing
            .lines()
            .filter(|line| line.split_whitespace().next() == Some(*name))
            .filter_map(|line| Some(PathBuf::from(line.split_once("=> ")?.1.trim())))
            .collect::<Vec<_>>()
    };
    NAMES.iter().flat_map(known).collect()
}

/// Whether a library loads and has all that MLX calls. Python's loader is asked,
/// in a process of its own, since it knows and since it may fail in its own way.
fn has_all_called(library: &Path) -> bool {
    Command::new("python3")
        .arg("-c")
        .arg(
            "import ctypes, sys; l = ctypes.CDLL(sys.argv[1]); [l[n] for n in sys.argv[2].split()]",
        )
        .arg(library)
        .arg(CALLED)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An unpacked wheel with its two libraries.
    fn unpacked() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let libs = dir.path().join("mlx_cpu.libs");
        fs::create_dir(&libs).unwrap();
        for name in ["libblas-1.so.3", "liblapack-2.so.3", "libgfortran-3.so.5"] {
            fs::write(libs.join(name), name).unwrap();
        }
        dir
    }

    #[test]
    fn untouched_libraries_are_mlxs_own() {
        assert_eq!(current(unpacked().path()), Blas::Own);
        assert_eq!(current(Path::new("/nowhere")), Blas::Own);
    }

    #[test]
    fn links_lead_to_openblas_and_back() {
        let dir = unpacked();
        keep_reference(dir.path()).unwrap();
        assert_eq!(current(dir.path()), Blas::Reference);
        let openblas = dir.path().join("libopenblas.so.0");
        use_blas(dir.path(), Some(&openblas)).unwrap();
        assert_eq!(current(dir.path()), Blas::OpenBlas(openblas));
        use_blas(dir.path(), None).unwrap();
        let names = libraries(dir.path())
            .iter()
            .map(fs::read_to_string)
            .collect::<Result<Vec<_>, _>>();
        assert_eq!(names.unwrap(), ["libblas-1.so.3", "liblapack-2.so.3"]);
    }

    #[test]
    fn threaded_builds_come_first_in_the_loaders_listing() {
        let listing = "3 libs found in cache `/etc/ld.so.cache'\n\
                       \tlibopenblas.so.0 (libc6,x86-64) => /usr/lib64/libopenblas.so.0\n\
                       \tlibopenblasp.so.0 (libc6,x86-64) => /usr/lib64/libopenblasp.so.0\n\
                       \tlibopenblas64_.so.0 (libc6,x86-64) => /usr/lib64/libopenblas64_.so.0\n";
        let found = [
            "/usr/lib64/libopenblasp.so.0",
            "/usr/lib64/libopenblas.so.0",
        ];
        assert_eq!(openblas_in(listing), found.map(PathBuf::from));
    }
}
