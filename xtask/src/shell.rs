//! The repository root, and how commands run there.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Instant;

use xshell::{Cmd, Shell};

/// A shell in the repository root.
pub(crate) fn at_root() -> anyhow::Result<Shell> {
    let shell = Shell::new()?;
    shell.change_dir(root());
    Ok(shell)
}

/// The repository root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Says what happens next, and how long after the start, on stderr, so that the report on stdout stays clean.
pub(crate) fn step(what: &str) {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    eprintln!("\n── {what} (at {} s)", START.elapsed().as_secs());
}

/// Runs a command with its output shown; its failure is this program's, without a backtrace of it.
pub(crate) fn show(command: Cmd<'_>) -> anyhow::Result<()> {
    let text = command.to_string();
    let status = command.quiet().ignore_status();
    let code = std::process::Command::from(status).status()?;
    anyhow::ensure!(code.success(), "`{text}` failed ({code})");
    Ok(())
}

/// A command's standard output, trimmed; `None` when it is missing or fails.
pub(crate) fn ask(command: Cmd<'_>) -> Option<String> {
    command.quiet().ignore_stderr().read().ok()
}
