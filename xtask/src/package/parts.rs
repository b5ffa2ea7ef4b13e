//! The files of an archive.

use std::path::{Path, PathBuf};

use mlx_runtime::MLX_VERSION;
use xshell::Shell;

use super::archive::Files;
use super::artefact::Target;
use super::{build, checksums, crates, linux, mac, openblas, sbom, wheels};

/// Brings them together.
pub(crate) fn gather(shell: &Shell, target: Target) -> anyhow::Result<Files> {
    let mlx = mlx(shell, target)?;
    let mut files = Files::new();
    match target {
        Target::Linux(arch) => {
            let openblas = openblas::fetch(shell, arch)?;
            linux::libraries(shell, arch, &mlx, &openblas.library, &mut files)?;
            let licences = shell.read_binary_file(&openblas.licences)?;
            files.insert(licence("openblas-lapack-gfortran-quadmath"), licences);
        }
        Target::Mac => mac::libraries(shell, &mlx, &mut files)?,
    }
    // The VM looks for this ending on every Unix.
    let nif = build::nif(shell, target, &mlx.join("mlx"))?;
    files.insert("libemily_nif.so".to_owned(), nif);

    let crates = crates::of_nif(shell, target)?;
    licences(shell, &mlx, &crates, &mut files)?;
    let bom = sbom::write(target, &crates, &files)?;
    files.insert("sbom.cdx.json".to_owned(), bom);
    let sums = checksums::sums(target, &files);
    files.insert(checksums::SUMS.to_owned(), sums.into_bytes());
    Ok(files)
}

fn licence(of: &str) -> String {
    format!("licences/{of}")
}

fn licences(
    shell: &Shell,
    mlx: &Path,
    crates: &[crates::Crate],
    files: &mut Files,
) -> anyhow::Result<()> {
    for name in ["LICENSE-APACHE", "LICENSE-MIT"] {
        let text = shell.read_binary_file(name)?;
        files.insert(licence(&format!("emily-{name}")), text);
    }
    let info = wheels::file(shell, mlx, |name| name.ends_with(".dist-info"))?;
    let of_mlx = shell.read_binary_file(info.join("licenses/LICENSE"))?;
    files.insert(licence("mlx"), of_mlx);
    files.insert(licence("mlx-c"), crates::mlx_c(shell)?.into_bytes());
    let of_crates = crates::licences(crates)?;
    files.insert(licence("rust-crates"), of_crates.into_bytes());
    Ok(())
}

/// The folder that MLX's wheel is unpacked in: not the cache's, which is of this machine only and leads
/// to its BLAS.
fn mlx(shell: &Shell, target: Target) -> anyhow::Result<PathBuf> {
    let (platform, pins) = match target {
        Target::Linux(arch) => (
            linux::platform(arch),
            include_str!("../../../engine/mlx-runtime/wheels/cpu.txt"),
        ),
        Target::Mac => (
            mac::PLATFORM,
            include_str!("../../../engine/mlx-runtime/wheels/metal.txt"),
        ),
    };
    let name = format!("mlx-{MLX_VERSION}-{}", target.variant());
    wheels::unpacked(shell, &name, platform, pins)
}
