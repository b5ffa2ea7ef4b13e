//! `cargo xtask ci`: the gate. CI.md says what a red of each step means.

use xshell::{Shell, cmd};

use crate::{codegen, cross, shell, test};

pub(crate) fn run(shell: &Shell) -> anyhow::Result<()> {
    shell::step("formatting");
    shell::show(cmd!(shell, "cargo fmt --all --check"))?;
    shell::step("clippy");
    shell::show(cmd!(
        shell,
        "cargo clippy --quiet --workspace --all-targets -- -D warnings"
    ))?;
    shell::step("documentation");
    let doc = cmd!(shell, "cargo doc --quiet --workspace --no-deps");
    shell::show(doc.env("RUSTDOCFLAGS", "-D warnings"))?;
    cross::check(shell)?;
    test::run(shell)?;
    codegen::check(shell)
}
