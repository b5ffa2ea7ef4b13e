//! Lets this package's binaries, and those of its dependents, find MLX, and compiles what stands between its
//! graph and our kernels.
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
    if !mlx_runtime::check_only() {
        compile_kernel();
    }
}

/// The primitive that has MLX call kernels of the engine's, arrays that are made without one, and what
/// streams are asked.
fn compile_kernel() {
    let include = env::var("DEP_MLX_INCLUDE").expect("mlx-sys says where MLX's headers are");
    let sources = [
        "src/mlx/kernel.cpp",
        "src/mlx/now.cpp",
        "src/mlx/stream.cpp",
    ];
    for source in sources.iter().chain(&["src/mlx/dtypes.h"]) {
        println!("cargo::rerun-if-changed={source}");
    }
    let mut build = cc::Build::new();
    build.cpp(true).std("c++20").warnings(false).debug(false);
    build.opt_level(2).include(include).files(sources);
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "macos") {
        // As for mlx-c: MLX needs macOS 14 anyway.
        build.define("_LIBCPP_DISABLE_AVAILABILITY", None);
    }
    build.compile("emily_kernel");
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
