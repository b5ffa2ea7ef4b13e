//! Lets the harnesses find MLX where the engine's build found it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let lib_dir = std::env::var("DEP_EMILY_ENGINE_LIB_DIR").expect("the engine says where MLX is");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib_dir}");
}
