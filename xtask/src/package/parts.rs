//! The files of an archive.

use std::path::Path;

use anyhow::{Context, ensure};
use mlx_runtime::{Runtime, Variant};
use xshell::{Shell, cmd};

use super::archive::Files;
use super::artefact::{self, Artefact};
use super::{build, checksums, crates, elf, openblas, sbom};

/// The libraries of an archive for Linux find each other in their own folder.
const ORIGIN: &str = "$ORIGIN";

/// Brings them together.
pub(crate) fn gather(shell: &Shell, artefact: &Artefact) -> anyhow::Result<Files> {
    let mlx = mlx(artefact)?;
    let openblas = openblas::fetch(shell, artefact.target)?;
    let crates = crates::of_nif(shell, artefact.target)?;
    let nif = build::nif(shell, artefact)?;

    let mut files = Files::from([("libemily_nif.so".to_owned(), nif)]);
    libraries(shell, &mlx, &openblas, &mut files)?;
    let licence = |name: &str| format!("licences/{name}");
    for name in ["LICENSE-APACHE", "LICENSE-MIT"] {
        files.insert(
            licence(&format!("emily-{name}")),
            shell.read_binary_file(name)?,
        );
    }
    let info = openblas::file(shell, &mlx, |name| name.ends_with(".dist-info"))?;
    let of_mlx = shell.read_binary_file(info.join("licenses/LICENSE"))?;
    files.insert(licence("mlx"), of_mlx);
    files.insert(licence("mlx-c"), crates::mlx_c(shell)?.into_bytes());
    let of_blas = shell.read_binary_file(&openblas.licences)?;
    files.insert(licence("openblas-lapack-gfortran-quadmath"), of_blas);
    files.insert(
        licence("rust-crates"),
        crates::licences(&crates)?.into_bytes(),
    );
    files.insert(
        "sbom.cdx.json".to_owned(),
        sbom::write(artefact, &crates, &files)?,
    );

    let heading = format!("# {}\n", artefact.name());
    let sums = heading + &checksums::sums(&files);
    files.insert(checksums::SUMS.to_owned(), sums.into_bytes());
    Ok(files)
}

/// The folder that MLX's wheel is unpacked in.
fn mlx(artefact: &Artefact) -> anyhow::Result<std::path::PathBuf> {
    ensure!(
        std::env::var_os("MLX_HOME").is_none(),
        "an archive is made of the MLX whose hash is pinned; unset MLX_HOME"
    );
    let variant = match artefact.variant {
        artefact::Variant::Cpu => Variant::Cpu,
    };
    let runtime = Runtime::ensure(variant)?;
    let wheel = runtime.home().parent();
    Ok(wheel.context("MLX is in a wheel's folder")?.to_owned())
}

/// MLX, and what it loads but for the system's: OpenBLAS in place of the two libraries that it looks
/// for, with the Fortran library of MLX's own wheel, which needs nothing more.
fn libraries(
    shell: &Shell,
    mlx: &Path,
    openblas: &openblas::OpenBlas,
    files: &mut Files,
) -> anyhow::Result<()> {
    let libs = mlx.join("mlx_cpu.libs");
    let of_wheel = |prefix: &str| {
        openblas::file(shell, &libs, |name| {
            name.starts_with(prefix) && !name.ends_with(".reference")
        })
    };
    let [gfortran, quadmath] = [of_wheel("libgfortran-")?, of_wheel("libquadmath-")?];
    let name = |path: &Path| -> String {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into()
    };
    let fortran = name(&gfortran);

    let library = strip(shell, &mlx.join("mlx/lib/libmlx.so"))?;
    let looks_for = elf::read(&library)?;
    let blas = |name: &&String| name.starts_with("libblas-") || name.starts_with("liblapack-");
    let mut names: Vec<_> = looks_for.needed.iter().filter(blas).collect();
    ensure!(
        names.len() == 2,
        "MLX looks for BLAS and LAPACK as {names:?}"
    );
    let mut new: Vec<_> = names
        .drain(..)
        .map(|old| (old.as_str(), openblas::LIBRARY))
        .collect();
    new.extend(looks_for.paths.iter().map(|path| (path.as_str(), ORIGIN)));
    files.insert("libmlx.so".to_owned(), renamed(library, &new)?);

    let library = strip(shell, &openblas.library)?;
    let looks_for = elf::read(&library)?;
    let its_fortran = looks_for
        .needed
        .iter()
        .find(|name| name.starts_with("libgfortran-"));
    let new = [
        (
            its_fortran
                .context("OpenBLAS needs Fortran's library")?
                .as_str(),
            fortran.as_str(),
        ),
        (
            looks_for.soname.as_deref().unwrap_or_default(),
            openblas::LIBRARY,
        ),
    ];
    files.insert(openblas::LIBRARY.to_owned(), renamed(library, &new)?);

    for path in [gfortran, quadmath] {
        files.insert(name(&path), strip(shell, &path)?);
    }
    Ok(())
}

fn renamed(mut library: Vec<u8>, names: &[(&str, &str)]) -> anyhow::Result<Vec<u8>> {
    elf::rename(&mut library, names)?;
    Ok(library)
}

/// A library without the linker's symbols.
fn strip(shell: &Shell, library: &Path) -> anyhow::Result<Vec<u8>> {
    let stripped = shell.create_temp_dir()?;
    let to = stripped.path().join("stripped");
    cmd!(shell, "strip --strip-unneeded -o {to} {library}")
        .quiet()
        .run()?;
    Ok(shell.read_binary_file(to)?)
}
