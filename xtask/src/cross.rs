//! The platforms that the README names: what clippy says of the code as each has it.

use std::env::consts::{ARCH, OS};

use xshell::{Cmd, Shell, cmd};

use crate::shell;

/// A platform: Rust's name of it, its system and its processor.
type Platform = (&'static str, &'static str, &'static str);

const PLATFORMS: [Platform; 3] = [
    ("x86_64-unknown-linux-gnu", "linux", "x86_64"),
    ("aarch64-unknown-linux-gnu", "linux", "aarch64"),
    ("aarch64-apple-darwin", "macos", "aarch64"),
];

/// Has clippy read all targets for this platform, and the libraries and programs for each other whose standard library
/// is here: criterion, for the benches, would want a C compiler for it.
pub(crate) fn clippy(shell: &Shell) -> anyhow::Result<()> {
    shell::step("clippy");
    let all = here(cmd!(
        shell,
        "cargo clippy --quiet --workspace --all-targets"
    ));
    read(all)?;
    let others = others(shell);
    if !others.is_empty() {
        shell::step("clippy for other platforms");
        let targets = others.into_iter().flat_map(|target| ["--target", target]);
        read(cmd!(shell, "cargo clippy --quiet --workspace").args(targets))?;
    }
    Ok(())
}

fn read(clippy: Cmd<'_>) -> anyhow::Result<()> {
    shell::show(unlinked(clippy.args(["--", "-D", "warnings"])))
}

/// Documents the workspace, warnings denied.
pub(crate) fn document(shell: &Shell) -> anyhow::Result<()> {
    shell::step("documentation");
    let doc = here(cmd!(shell, "cargo doc --quiet --workspace --no-deps"));
    shell::show(unlinked(doc.env("RUSTDOCFLAGS", "-D warnings")))
}

/// The other platforms whose standard library is here; says which are not.
fn others(shell: &Shell) -> Vec<&'static str> {
    let installed = shell::ask(cmd!(shell, "rustup target list --installed"));
    let others = PLATFORMS.into_iter().filter(|platform| !is_this(platform));
    let others = others.map(|(target, ..)| target);
    let is_here = |target: &&str| {
        let reason = match &installed {
            None => "no rustup to ask for its standard library".to_owned(),
            Some(installed) if installed.lines().any(|line| line == *target) => return true,
            Some(_) => format!("no standard library; rustup target add {target}"),
        };
        println!("not run: clippy for {target}: {reason}");
        false
    };
    others.filter(is_here).collect()
}

/// Names this platform, without which cargo would build for this command what it has built for the other platforms.
fn here(command: Cmd<'_>) -> Cmd<'_> {
    let this = PLATFORMS.into_iter().find(is_this);
    command.args(this.iter().flat_map(|(target, ..)| ["--target", target]))
}

fn is_this(&(_, os, arch): &Platform) -> bool {
    (os, arch) == (OS, ARCH)
}

/// Needs neither a platform's MLX nor a C++ compiler for it.
fn unlinked(command: Cmd<'_>) -> Cmd<'_> {
    command.env("EMILY_CHECK_ONLY", "1")
}
