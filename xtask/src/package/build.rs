//! The NIF as it is shipped: optimised, stripped, looking for MLX beside itself, and with nothing in
//! it of the folders that it was built in.

use std::path::PathBuf;

use anyhow::Context;
use xshell::{Shell, cmd};

use super::artefact::Artefact;
use crate::shell;

/// A folder of the builder's, and what stands for it in the library's messages.
pub(crate) fn folders() -> anyhow::Result<Vec<(PathBuf, &'static str)>> {
    let home = || std::env::var_os("HOME").map(PathBuf::from);
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| Some(home()?.join(".cargo")));
    Ok(vec![
        (cargo.context("neither CARGO_HOME nor HOME")?, "/cargo"),
        (shell::root(), "/emily"),
        (std::path::absolute(shell::target_dir())?, "/target"),
        (mlx_runtime::cache_dir()?, "/mlx"),
    ])
}

/// Builds it, apart from what developers build, since cargo keeps one set of flags in a folder.
pub(crate) fn nif(shell: &Shell, artefact: &Artefact) -> anyhow::Result<Vec<u8>> {
    shell::step("the NIF, optimised");
    let (triple, folder) = (
        artefact.target.triple(),
        shell::target_dir().join("package"),
    );
    let folders = folders()?;
    let flags = |flag: &str| {
        let map = |(from, to): &(PathBuf, &str)| format!("{flag}={}={to}", from.display());
        folders.iter().map(map).collect::<Vec<_>>()
    };
    // Of two that fit, rustc takes the last and gcc too; the target folder is often in the repository.
    let build = cmd!(
        shell,
        "cargo build --release --locked --package emily-nif --target {triple}
         --target-dir {folder} --config profile.release.strip=true"
    )
    .env(
        "CARGO_ENCODED_RUSTFLAGS",
        flags("--remap-path-prefix").join("\u{1f}"),
    )
    .env("CXXFLAGS", flags("-ffile-prefix-map").join(" "))
    .env("EMILY_MLX_VARIANT", artefact.variant.name())
    .env("EMILY_NIF_RPATH", "$ORIGIN");
    shell::show(build)?;
    let library = folder.join(triple).join("release/libemily_nif.so");
    Ok(shell.read_binary_file(library)?)
}
