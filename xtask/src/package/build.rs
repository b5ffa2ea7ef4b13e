//! The NIF as it is shipped: optimised, stripped, looking for MLX beside itself, and with nothing in
//! it of the folders that it was built in.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use xshell::{Shell, cmd};

use super::artefact::Target;
use super::{linux, mac};
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

/// Builds it against the MLX at a place, apart from what developers build, since cargo keeps one set of
/// flags in a folder.
pub(crate) fn nif(shell: &Shell, target: Target, mlx: &Path) -> anyhow::Result<Vec<u8>> {
    let tools = Tools::of(shell, target)?;
    shell::step("the NIF, optimised");
    let folder = shell::target_dir().join("package");
    let folders = folders()?;
    let flags = |flag: &str| {
        let map = |(from, to): &(PathBuf, &str)| format!("{flag}={}={to}", from.display());
        folders.iter().map(map).collect::<Vec<_>>()
    };
    let (command, triple) = (tools.command, target.triple());
    // Of two that fit, rustc takes the last and gcc too; the target folder is often in the repository.
    let build = cmd!(
        shell,
        "cargo {command} --release --locked --package emily-nif --target {triple}
         --target-dir {folder} --config profile.release.strip=true"
    )
    .envs(tools.env)
    .env(
        "CARGO_ENCODED_RUSTFLAGS",
        flags("--remap-path-prefix").join("\u{1f}"),
    )
    .env("CXXFLAGS", flags("-ffile-prefix-map").join(" "))
    .env("EMILY_MLX_VARIANT", target.variant())
    .env("EMILY_NIF_RPATH", tools.rpath)
    .env("MLX_HOME", mlx);
    shell::show(build)?;
    let built = folder.join(triple).join("release").join(tools.library);
    Ok(shell.read_binary_file(built)?)
}

/// What builds for a target.
struct Tools {
    /// Cargo's.
    command: &'static str,
    env: Vec<(String, String)>,
    rpath: &'static str,
    /// What is built.
    library: &'static str,
}

impl Tools {
    /// Here cargo and the system's compiler; for Linux on another processor Debian's; for Macs zig.
    fn of(shell: &Shell, target: Target) -> anyhow::Result<Self> {
        let (rpath, library) = match target {
            Target::Linux(_) => (linux::ORIGIN, "libemily_nif.so"),
            Target::Mac => (mac::LOADER_PATH, "libemily_nif.dylib"),
        };
        let mut tools = Self {
            command: "build",
            env: Vec::new(),
            rpath,
            library,
        };
        let triple = target.triple();
        let (tool, remedy) = match target {
            _ if target.is_here() => return Ok(tools),
            Target::Linux(arch) => {
                let compiler = linux::tool(arch, "g++");
                let of = triple.replace('-', "_");
                let linker = format!("CARGO_TARGET_{}_LINKER", of.to_uppercase());
                tools.env.push((format!("CXX_{of}"), compiler.clone()));
                tools.env.push((linker, compiler.clone()));
                (
                    compiler,
                    "Debian, Ubuntu: apt-get install g++-aarch64-linux-gnu",
                )
            }
            Target::Mac => {
                tools.command = "zigbuild";
                // What is for newer systems would be refused by MLX's oldest.
                let (major, minor) = mac::OLDEST;
                let oldest = format!("{major}.{minor}");
                tools.env.push(("MACOSX_DEPLOYMENT_TARGET".into(), oldest));
                (
                    "cargo-zigbuild".to_owned(),
                    "pip install cargo-zigbuild ziglang",
                )
            }
        };
        ensure!(
            shell::ask(cmd!(shell, "{tool} --version")).is_some(),
            "{tool} is not on the PATH; install it ({remedy}), and Rust's standard library (rustup target \
             add {triple})"
        );
        Ok(tools)
    }
}
