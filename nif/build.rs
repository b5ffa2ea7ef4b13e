//! Lets the library find MLX where the engine's build found it, and leave what the VM has to the VM.

/// Where the library is to look for MLX instead: an archive has both in one folder, wherever that is.
const RPATH: &str = "EMILY_NIF_RPATH";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let lib_dir = std::env::var("DEP_EMILY_ENGINE_LIB_DIR").expect("the engine says where MLX is");
    println!("cargo::rerun-if-env-changed={RPATH}");
    let rpath = std::env::var(RPATH).unwrap_or(lib_dir);
    println!("cargo::rustc-link-arg=-Wl,-rpath,{rpath}");
    let macos = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "macos");
    if macos {
        // Else the library is called by where it was linked.
        println!("cargo::rustc-link-arg=-Wl,-install_name,@rpath/libemily_nif.dylib");
    }
    let unresolved = if macos {
        "-Wl,-undefined,dynamic_lookup"
    } else {
        "-Wl,--unresolved-symbols=ignore-all"
    };
    println!("cargo::rustc-link-arg={unresolved}");
}
