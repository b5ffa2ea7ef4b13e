//! Compiles mlx-c against the MLX runtime, and links both.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

use anyhow::{Context, bail};
use mlx_runtime::{Runtime, Variant};
use serde_json::Value;

fn main() {
    if let Err(error) = build() {
        // Cargo fails a build script that logs errors, and shows no more than them.
        for line in format!("{error:#}").lines() {
            println!("cargo::error={line}");
        }
    }
}

fn build() -> anyhow::Result<()> {
    for variable in mlx_runtime::ENV {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    for file in [
        "src/compat.h",
        "src/compat.cpp",
        "upstream/Cargo.toml",
        "upstream/Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={file}");
    }
    if mlx_runtime::check_only() {
        // Dependents ask where the library is, and nothing looks there.
        let nowhere = env::var("OUT_DIR").context("cargo sets OUT_DIR")?;
        println!("cargo::rustc-env=MLX_C_ROOT={nowhere}");
        println!("cargo::metadata=lib_dir={nowhere}");
        return Ok(());
    }
    let runtime = Runtime::ensure(Variant::from_env()?)?;
    // A missing file makes cargo run this again, so a deleted cache comes back.
    println!("cargo::rerun-if-changed={}", runtime.library().display());

    let mlx_c = mlx_c_root()?;
    compile(&mlx_c, &runtime)?;

    let lib_dir = runtime.lib_dir().display();
    println!("cargo::rustc-link-search=native={lib_dir}");
    println!("cargo::rustc-link-lib=dylib=mlx");
    // For this package's own tests; dependents do the same with `lib_dir`.
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib_dir}");
    println!("cargo::rustc-env=MLX_C_ROOT={}", mlx_c.display());
    println!("cargo::metadata=lib_dir={lib_dir}");
    println!(
        "cargo::metadata=include={}",
        runtime.include_dir().display()
    );
    println!("cargo::metadata=version={}", runtime.version());
    Ok(())
}

fn compile(mlx_c: &Path, runtime: &Runtime) -> anyhow::Result<()> {
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++20")
        .warnings(false)
        // Nobody debugs mlx-c from here, and it takes twice as long with symbols.
        .debug(false)
        .opt_level(2)
        .include(runtime.include_dir())
        .include(mlx_c)
        .flag("-include")
        .flag("src/compat.h")
        .file("src/compat.cpp")
        .file(unit(mlx_c)?);
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "macos") {
        // MLX needs macOS 14, where all of libc++ is there, whatever older
        // system rustc names as its target.
        build.define("_LIBCPP_DISABLE_AVAILABILITY", None);
    }
    build
        .try_compile("mlxc")
        .context("compiling mlx-c, which needs a C++20 compiler")
}

/// Writes a file that includes mlx-c's sources: each of two dozen alone would have the compiler read all of MLX's
/// headers, which takes minutes.
fn unit(mlx_c: &Path) -> anyhow::Result<PathBuf> {
    let folder = mlx_c.join("mlx/c");
    let mut sources = BTreeSet::new();
    for entry in folder.read_dir().context("reading mlx-c's sources")? {
        let source = entry?.path();
        // mlx-c's own build leaves object.cpp out too.
        if source.extension() == Some(OsStr::new("cpp")) && !source.ends_with("object.cpp") {
            sources.insert(source);
        }
    }
    let unit = Path::new(&env::var("OUT_DIR").context("cargo sets OUT_DIR")?).join("mlx-c.cpp");
    let include = |source: &PathBuf| format!("#include \"{}\"\n", source.display());
    fs::write(&unit, sources.iter().map(include).collect::<String>())?;
    Ok(unit)
}

/// The mlx-c sources inside the published mlx-sys, which cargo downloads and
/// checks against `upstream/Cargo.lock` if it has not yet.
fn mlx_c_root() -> anyhow::Result<PathBuf> {
    let offline = metadata(&["--offline"])?;
    let output = if offline.status.success() {
        offline
    } else {
        metadata(&[])?
    };
    if !output.status.success() {
        bail!(
            "cargo cannot download mlx-c (inside the published mlx-sys)\n\
             check the network, or run `cargo fetch` on engine/mlx-sys/upstream/Cargo.toml where \
             there is one\ncargo said:\n{}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let manifest = metadata["packages"]
        .as_array()
        .and_then(|packages| packages.iter().find(|package| package["name"] == "mlx-sys"))
        .and_then(|package| package["manifest_path"].as_str())
        .context("cargo metadata does not list the published mlx-sys")?;
    Ok(Path::new(manifest).with_file_name("src").join("mlx-c"))
}

fn metadata(options: &[&str]) -> anyhow::Result<Output> {
    Command::new(env::var_os("CARGO").context("cargo sets CARGO")?)
        .args(["metadata", "--locked", "--format-version=1"])
        .args(["--manifest-path", "upstream/Cargo.toml"])
        .args(options)
        .output()
        .context("running cargo metadata")
}
