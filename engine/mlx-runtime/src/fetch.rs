//! Fetches wheels by pip and unpacks them, all or nothing.
//!
//! Everything happens in a staging directory beside the destination, of a random name and for this user
//! only, which gives its tree the destination's name by one rename when it is whole. A lock makes a second
//! process wait rather than fetch the same; the kernel lets go of it when its holder dies, so whatever
//! staging directory the next holder finds is dead and is removed.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use tempfile::TempDir;

use crate::platform::Platform;
use crate::{Error, blas, record, trust, wheel};

/// Fetches the wheels of a pip requirements file and unpacks them as `name` in the cache, which
/// [`trust::cache`] has looked at, unless another process has done so meanwhile.
pub(crate) fn fetch(cache: &Path, name: &str, requirements: &str) -> Result<(), Error> {
    let dest = cache.join(name);
    let lock_path = cache.join(format!("{name}.lock"));
    let lock = trust::lock_file(&lock_path)?;
    lock.lock().map_err(Error::io("lock", &lock_path))?;
    if record::is_of(&dest, requirements) {
        return Ok(());
    }
    let prefix = format!("{name}.partial-");
    remove_leftovers(cache, &prefix);
    let staging = staging(cache, &prefix)?;
    let tree = staging.path().join("tree");
    let wheels = staging.path().join("wheels");
    download(staging.path(), &wheels, requirements)?;
    unpack(&wheels, &tree, requirements)?;
    record::write(&tree, requirements)?;
    put_in_place(&tree, &dest, &staging.path().join("before"))
}

/// A folder that nobody else can look into or know the name of beforehand. It goes with what it still holds.
fn staging(cache: &Path, prefix: &str) -> Result<TempDir, Error> {
    tempfile::Builder::new()
        .prefix(prefix)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(cache)
        .map_err(Error::io("create a directory in", cache))
}

/// Removes the staging directories of processes that died while they held the
/// lock. One that pip outlives may still grow; the next fetch removes the rest.
fn remove_leftovers(cache: &Path, prefix: &str) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            // Of a link, the link.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn download(staging: &Path, wheels: &Path, requirements: &str) -> Result<(), Error> {
    fs::create_dir(wheels).map_err(Error::io("create", wheels))?;
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
    .arg(wheels)
    .arg("--requirement")
    .arg(&file);
    run(pip, explain)
}

/// Unpacks the wheels that pip left in a directory, each of which has to be one of those that are pinned.
fn unpack(wheels: &Path, tree: &Path, requirements: &str) -> Result<(), Error> {
    let downloaded = fs::read_dir(wheels).map_err(Error::io("read", wheels))?;
    for wheel in downloaded.flatten() {
        let path = wheel.path();
        let mut file = File::open(&path).map_err(Error::io("open", &path))?;
        let digest = wheel::digest(&mut file).map_err(Error::io("read", &path))?;
        let pin = format!("--hash=sha256:{digest}");
        if !requirements.split_whitespace().any(|word| word == pin) {
            let output = format!("{} has the hash {digest}", path.display());
            return Err(Error::HashMismatch { output });
        }
        wheel::unpack(file, tree, wheel::LIMIT).map_err(|why| Error::BadWheel {
            wheel: wheel.file_name().to_string_lossy().into_owned(),
            why,
        })?;
    }
    age(&tree.join("mlx/lib").join(Platform::here().library()))?;
    blas::keep_reference(tree)
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

/// Gives the tree its name. What had it, which is damaged or of other wheels, goes aside.
fn put_in_place(tree: &Path, dest: &Path, aside: &Path) -> Result<(), Error> {
    if fs::symlink_metadata(dest).is_ok() {
        fs::rename(dest, aside).map_err(Error::io("move", dest))?;
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
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;
    use std::thread;

    use super::*;

    /// A cache and a wheel laid out as MLX's, which pip finds without a network.
    struct Bench {
        dir: TempDir,
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
            let cache = trust::cache(&self.cache())?;
            fetch(&cache, "mlx-1-cpu", &self.requirements(hash))
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
    fn what_was_unpacked_is_nobody_elses_to_change_and_on_record() {
        let bench = Bench::new();
        bench.fetch(&bench.hash).unwrap();
        record::verify(&bench.dest()).unwrap();
        fs::write(bench.library(), "planted").unwrap();
        assert!(matches!(
            record::verify(&bench.dest()),
            Err(Error::Damaged { .. })
        ));
    }

    /// As an earlier release of Emily unpacked it, or as somebody put it there.
    #[test]
    fn a_library_without_a_record_is_not_used_but_fetched() {
        let bench = Bench::new();
        fs::create_dir_all(bench.library().parent().unwrap()).unwrap();
        fs::write(bench.library(), "planted").unwrap();
        bench.fetch(&bench.hash).unwrap();
        assert_eq!(fs::read_to_string(bench.library()).unwrap(), "library");
    }

    #[test]
    fn staging_is_the_owner_s_alone_and_never_the_same() {
        let cache = tempfile::tempdir().unwrap();
        let mut names = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let staging = staging(cache.path(), "mlx-1-cpu.partial-").unwrap();
            let mode = fs::metadata(staging.path()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
            names.insert(staging.path().to_owned());
        }
        assert_eq!(names.len(), 100);
    }

    #[test]
    fn links_in_the_way_are_not_followed() {
        let bench = Bench::new();
        let (cache, victim) = (bench.cache(), bench.dir.path().join("victim"));
        fs::create_dir_all(&cache).unwrap();
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("precious"), "precious").unwrap();
        // Staging's name is not known beforehand, but one that is left over may be a link.
        symlink(&victim, cache.join("mlx-1-cpu.partial-1")).unwrap();
        symlink(&victim, bench.dest()).unwrap();
        bench.fetch(&bench.hash).unwrap();
        assert!(!bench.dest().is_symlink());
        assert_eq!(
            fs::read_to_string(victim.join("precious")).unwrap(),
            "precious"
        );
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 1);

        fs::remove_dir_all(bench.dest()).unwrap();
        let lock = cache.join("mlx-1-cpu.lock");
        fs::remove_file(&lock).unwrap();
        symlink(victim.join("precious"), &lock).unwrap();
        let error = bench.fetch(&bench.hash).unwrap_err();
        assert!(
            matches!(&error, Error::Untrusted { path, .. } if path.ends_with("mlx-1-cpu.lock"))
        );
        assert!(!bench.dest().exists());
    }

    #[test]
    fn a_wheel_that_nothing_pins_is_not_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        let wheels = dir.path().join("wheels");
        fs::create_dir(&wheels).unwrap();
        fs::write(wheels.join("other.whl"), "planted").unwrap();
        let error =
            unpack(&wheels, &dir.path().join("tree"), "mlx==1 --hash=sha256:00").unwrap_err();
        assert!(matches!(error, Error::HashMismatch { .. }), "{error}");
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
