//! The libraries of an archive for Linux: MLX, and what it loads but for the system's.
//!
//! OpenBLAS takes the place of the two libraries that MLX looks for, with the Fortran library of MLX's
//! own wheel, which needs nothing more.

use std::path::Path;

use anyhow::{Context, ensure};
use xshell::{Shell, cmd};

use super::archive::Files;
use super::artefact::{Arch, Target};
use super::{elf, openblas};

/// They find each other in their own folder.
pub(crate) const ORIGIN: &str = "$ORIGIN";

/// The platform of MLX's wheel, as pip knows it.
pub(crate) fn platform(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "manylinux_2_35_x86_64",
        Arch::Aarch64 => "manylinux_2_35_aarch64",
    }
}

/// A program of GCC's or the binutils', as Debian names those for another processor.
pub(crate) fn tool(arch: Arch, name: &str) -> String {
    match arch {
        _ if Target::Linux(arch).is_here() => name.to_owned(),
        Arch::X86_64 => format!("x86_64-linux-gnu-{name}"),
        Arch::Aarch64 => format!("aarch64-linux-gnu-{name}"),
    }
}

/// Adds them. `mlx` is where MLX's wheel is unpacked.
pub(crate) fn libraries(
    shell: &Shell,
    arch: Arch,
    mlx: &Path,
    openblas: &Path,
    files: &mut Files,
) -> anyhow::Result<()> {
    let library = strip(shell, arch, &mlx.join("mlx/lib/libmlx.so"))?;
    let looks_for = elf::read(&library)?;
    let blas = |name: &str| name.starts_with("libblas-") || name.starts_with("liblapack-");
    let names: Vec<_> = looks_for.needed.iter().filter(|name| blas(name)).collect();
    ensure!(
        names.len() == 2,
        "MLX looks for BLAS and LAPACK as {names:?}"
    );
    let mut new: Vec<_> = names
        .into_iter()
        .map(|old| (old.as_str(), openblas::LIBRARY))
        .collect();
    new.extend(looks_for.paths.iter().map(|path| (path.as_str(), ORIGIN)));
    files.insert("libmlx.so".to_owned(), renamed(library, &new)?);

    // Beside the reference BLAS in the wheel: Fortran's library, and on x86-64 what that needs.
    let mut fortran = None;
    for path in shell.read_dir(mlx.join("mlx_cpu.libs"))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.into_owned();
        if blas(&name) {
            continue;
        }
        if name.starts_with("libgfortran-") {
            fortran = Some(name.clone());
        }
        files.insert(name, strip(shell, arch, &path)?);
    }

    let library = strip(shell, arch, openblas)?;
    let looks_for = elf::read(&library)?;
    let mut needed = looks_for.needed.iter();
    let its_fortran = needed.find(|name| name.starts_with("libgfortran-"));
    let names = its_fortran.zip(fortran.as_ref());
    let (old, new) = names.context("OpenBLAS and MLX's wheel have each a Fortran library")?;
    let soname = looks_for.soname.context("OpenBLAS has a name")?;
    let new = [(old.as_str(), new.as_str()), (&soname, openblas::LIBRARY)];
    files.insert(openblas::LIBRARY.to_owned(), renamed(library, &new)?);
    Ok(())
}

fn renamed(mut library: Vec<u8>, names: &[(&str, &str)]) -> anyhow::Result<Vec<u8>> {
    elf::rename(&mut library, names)?;
    Ok(library)
}

/// A library without the linker's symbols.
fn strip(shell: &Shell, arch: Arch, library: &Path) -> anyhow::Result<Vec<u8>> {
    let stripped = shell.create_temp_dir()?;
    let (strip, to) = (tool(arch, "strip"), stripped.path().join("stripped"));
    cmd!(shell, "{strip} --strip-unneeded -o {to} {library}")
        .quiet()
        .run()?;
    Ok(shell.read_binary_file(to)?)
}
