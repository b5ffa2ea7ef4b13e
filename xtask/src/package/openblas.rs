//! The BLAS and LAPACK in an archive.
//!
//! MLX's wheels bring the Netlib reference, without vector code, and a user's machine may have none.
//! SciPy's wheels up to 1.11 bring OpenBLAS under BLAS' own names, with threads and with kernels for
//! each generation of processors, chosen as it is loaded. So the wheel is fetched, by its hash, and
//! the library and the licences are taken out of it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use xshell::{Shell, cmd};

use super::artefact::Target;
use crate::shell;

/// The version of OpenBLAS in it.
pub(crate) const VERSION: &str = "0.3.21.dev";

/// The file's name in an archive: short enough to be written over the two that `libmlx.so` looks for.
pub(crate) const LIBRARY: &str = "libopenblas-23e5df77.so";

/// Where it is from.
const WHEEL: &str = "scipy==1.11.4";

/// A wheel's platform, for pip, and its pinned hash.
fn pin(target: Target) -> (&'static str, &'static str) {
    match target {
        Target::X86_64Linux => (
            "manylinux2014_x86_64",
            "530f9ad26440e85766509dbf78edcfe13ffd0ab7fec2560ee5c36ff74d6269ff",
        ),
    }
}

/// The wheel's name in an SBOM.
pub(crate) fn purl(target: Target) -> String {
    let (wheel, hash) = (WHEEL.replace("==", "@"), pin(target).1);
    format!("pkg:pypi/{wheel}?checksum=sha256:{hash}")
}

/// The library and the licences of what is linked into it.
pub(crate) struct OpenBlas {
    pub(crate) library: PathBuf,
    pub(crate) licences: PathBuf,
}

/// Fetches it, once.
pub(crate) fn fetch(shell: &Shell, target: Target) -> anyhow::Result<OpenBlas> {
    let (platform, hash) = pin(target);
    let folder = std::path::absolute(shell::target_dir())?.join(format!("openblas-{platform}"));
    if !folder.is_dir() {
        shell::step("OpenBLAS");
        let part = folder.with_extension("part");
        shell.remove_path(&part)?;
        shell.create_dir(&part)?;
        let pins = part.join("requirements.txt");
        shell.write_file(&pins, format!("{WHEEL} --hash=sha256:{hash}\n"))?;
        shell::show(cmd!(
            shell,
            "python3 -m pip download --quiet --no-deps --only-binary=:all: --require-hashes
             --platform {platform} --implementation cp --python-version 3.11 --abi cp311
             --dest {part} --requirement {pins}"
        ))?;
        let wheel = file(shell, &part, |name| name.ends_with(".whl"))?;
        shell::show(cmd!(shell, "python3 -m zipfile --extract {wheel} {part}"))?;
        // Named last, so that what broke off is begun anew.
        std::fs::rename(&part, &folder)?;
    }
    let info = file(shell, &folder, |name| name.ends_with(".dist-info"))?;
    Ok(OpenBlas {
        library: file(shell, &folder.join("scipy.libs"), |name| {
            name.starts_with("libopenblasp")
        })?,
        licences: info.join("LICENSE.txt"),
    })
}

/// The one file in a folder that has such a name.
pub(crate) fn file(
    shell: &Shell,
    folder: &Path,
    has: impl Fn(&str) -> bool,
) -> anyhow::Result<PathBuf> {
    let named = |path: &PathBuf| path.file_name().is_some_and(|n| has(&n.to_string_lossy()));
    let found = shell.read_dir(folder)?.into_iter().find(named);
    found.with_context(|| format!("{} lacks a file that the pins promise", folder.display()))
}
