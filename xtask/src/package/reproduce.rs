//! The same archive from another folder: what it is made of decides its bytes, and not where it is made.

use std::path::Path;

use anyhow::ensure;
use xshell::{Shell, cmd};

use super::archive;
use super::artefact::Target;
use crate::shell;

/// Makes it again of a copy of the sources, with nothing that was built before, and compares.
pub(crate) fn check(shell: &Shell, target: Target, made: &Path) -> anyhow::Result<()> {
    shell::step("the same archive from another folder");
    let folder = shell.create_temp_dir()?;
    let (copy, list) = (folder.path().join("elsewhere"), folder.path().join("files"));
    shell.write_file(&list, cmd!(shell, "git ls-files").read()?)?;
    shell.create_dir(&copy)?;
    let tar = folder.path().join("sources.tar");
    cmd!(shell, "tar cf {tar} --files-from {list}")
        .quiet()
        .run()?;
    cmd!(shell, "tar xf {tar} -C {copy}").quiet().run()?;
    let built = folder.path().join("built");
    {
        let _copy = shell.push_dir(&copy);
        let triple = target.triple();
        let again = cmd!(
            shell,
            "cargo run --quiet --package xtask -- package --target {triple}"
        );
        shell::show(again.env("CARGO_TARGET_DIR", &built))?;
    }
    let name = target.file_name();
    let (first, second) = (
        shell.read_binary_file(made)?,
        shell.read_binary_file(built.join("dist").join(&name))?,
    );
    if first == second {
        println!("{name} has the same bytes from another folder");
        return Ok(());
    }
    let (first, second) = (archive::read(&first)?, archive::read(&second)?);
    let other = first
        .iter()
        .filter(|(name, bytes)| second.get(*name) != Some(*bytes));
    let other: Vec<_> = other.map(|(name, _)| name.as_str()).collect();
    ensure!(
        other.is_empty(),
        "other bytes from another folder: {}",
        other.join(", ")
    );
    anyhow::bail!("the files are the same, and the archive is not")
}
