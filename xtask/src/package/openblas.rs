//! The BLAS and LAPACK in an archive.
//!
//! MLX's wheels bring the Netlib reference, without vector code, and a user's machine may have none.
//! SciPy's wheels up to 1.11 bring OpenBLAS under BLAS' own names, with threads and with kernels for
//! each generation of processors, chosen as it is loaded. So the wheel is fetched, by its hash, and
//! the library and the licences are taken out of it.

use std::path::PathBuf;

use xshell::Shell;

use super::artefact::Arch;
use super::wheels;

/// The version of OpenBLAS in it.
pub(crate) const VERSION: &str = "0.3.21.dev";

/// The file's name in an archive: short enough to be written over the two that `libmlx.so` looks for, and
/// Emily's own, as the loader takes a library of the same name that another has loaded.
pub(crate) const LIBRARY: &str = "libopenblas-emily.so";

/// Where it is from.
const WHEEL: &str = "scipy==1.11.4";

/// A wheel's platform, as pip knows it, and its pinned hash.
fn pin(arch: Arch) -> (&'static str, &'static str) {
    match arch {
        Arch::X86_64 => (
            "manylinux2014_x86_64",
            "530f9ad26440e85766509dbf78edcfe13ffd0ab7fec2560ee5c36ff74d6269ff",
        ),
        Arch::Aarch64 => (
            "manylinux2014_aarch64",
            "00150c5eae7b610c32589dda259eacc7c4f1665aedf25d921907f4d08a951b1c",
        ),
    }
}

/// The wheel's name in an SBOM.
pub(crate) fn purl(arch: Arch) -> String {
    let (wheel, hash) = (WHEEL.replace("==", "@"), pin(arch).1);
    format!("pkg:pypi/{wheel}?checksum=sha256:{hash}")
}

/// The library and the licences of what is linked into it.
pub(crate) struct OpenBlas {
    pub(crate) library: PathBuf,
    pub(crate) licences: PathBuf,
}

/// Fetches it, once.
pub(crate) fn fetch(shell: &Shell, arch: Arch) -> anyhow::Result<OpenBlas> {
    let (platform, hash) = pin(arch);
    let pins = format!("{WHEEL} --hash=sha256:{hash}\n");
    let folder = wheels::unpacked(shell, "openblas", platform, &pins)?;
    let info = wheels::file(shell, &folder, |name| name.ends_with(".dist-info"))?;
    Ok(OpenBlas {
        library: wheels::file(shell, &folder.join("scipy.libs"), |name| {
            name.starts_with("libopenblasp")
        })?,
        licences: info.join("LICENSE.txt"),
    })
}
