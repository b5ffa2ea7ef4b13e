//! The platforms that the README names and this machine is not: whether the code compiles there.

use std::env::consts::{ARCH, OS};

use xshell::{Shell, cmd};

use crate::shell;

/// Rust's name of each platform, its system and its processor.
const PLATFORMS: [(&str, &str, &str); 3] = [
    ("x86_64-unknown-linux-gnu", "linux", "x86_64"),
    ("aarch64-unknown-linux-gnu", "linux", "aarch64"),
    ("aarch64-apple-darwin", "macos", "aarch64"),
];

/// Checks each of the other platforms whose standard library is here.
pub(crate) fn check(shell: &Shell) -> anyhow::Result<()> {
    let installed = shell::ask(cmd!(shell, "rustup target list --installed"));
    for (target, os, arch) in PLATFORMS {
        if (os, arch) == (OS, ARCH) {
            continue;
        }
        let Some(installed) = &installed else {
            println!("not run: check of {target}: no rustup to ask for its standard library");
            continue;
        };
        if !installed.lines().any(|line| line == target) {
            println!("not run: check of {target}: no standard library; rustup target add {target}");
            continue;
        }
        shell::step(&format!("compiles for {target}"));
        let check = cmd!(shell, "cargo check --quiet --workspace --target {target}");
        // Neither that platform's MLX nor a C++ compiler for it: nothing is linked.
        shell::show(
            check
                .env("EMILY_CHECK_ONLY", "1")
                .env("RUSTFLAGS", "-D warnings"),
        )?;
    }
    Ok(())
}
