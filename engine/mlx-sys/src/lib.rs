//! Raw bindings to MLX through mlx-c, over the shared library that MLX publishes.
//!
//! This crate stands in for the published mlx-sys 0.7.0, which builds on macOS
//! only, by `[patch.crates-io]`: same name, same version, same items. Its build
//! script finds or fetches the MLX runtime (see `mlx-runtime`), takes mlx-c's
//! sources from the published crate and compiles them.
//!
//! Direct dependents read `DEP_MLX_LIB_DIR`, `DEP_MLX_INCLUDE` and
//! `DEP_MLX_VERSION` in their build scripts; a binary finds the library if its
//! package passes `-Wl,-rpath,$DEP_MLX_LIB_DIR` to the linker.
//!
//! # Safety
//! Every function has the contract of its namesake in mlx-c's headers: handles
//! are live, pointers are valid for what is read or written through them, and
//! each `mlx_*_new` is matched by one `mlx_*_free`.

#[rustfmt::skip]
#[expect(
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    reason = "generated from C, with C's names"
)]
mod bindings;

pub use bindings::*;
