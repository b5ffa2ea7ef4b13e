//! Lets this package's binaries, and those of its dependents, find MLX.
//!
//! A dependent's build script passes `DEP_EMILY_ENGINE_LIB_DIR` to the linker in
//! the same way.

use std::env;

use mlx_runtime::{Error, Runtime, Variant};

fn main() {
    if let Err(error) = use_systems_blas() {
        // Cargo fails a build script that logs errors, and shows no more than them.
        for line in error.to_string().lines() {
            println!("cargo::error={line}");
        }
        return;
    }
    let lib_dir = env::var("DEP_MLX_LIB_DIR").expect("mlx-sys says where the library is");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib_dir}");
    println!("cargo::metadata=lib_dir={lib_dir}");
}

/// Has the runtime look for OpenBLAS again when the system's libraries change.
/// mlx-sys does so too, but compiles mlx-c each time.
fn use_systems_blas() -> Result<(), Error> {
    println!("cargo::rerun-if-changed=build.rs");
    for variable in mlx_runtime::ENV {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let loader_cache = "/etc/ld.so.cache";
    if std::fs::exists(loader_cache).unwrap_or(false) {
        println!("cargo::rerun-if-changed={loader_cache}");
    }
    if mlx_runtime::check_only() {
        return Ok(());
    }
    Runtime::ensure(Variant::from_env()?).map(drop)
}
