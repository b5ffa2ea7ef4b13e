//! The Hex package: the files that mix.exs names, brought together from where they are.

use std::path::Path;

use anyhow::Context;
use xshell::{Shell, cmd};

use super::checksums;
use crate::shell;

/// Puts what would be published into a folder, by Hex where it is, and gives the package's name.
///
/// A file is the Elixir project's, or was made with the archives, or is the repository's.
pub(crate) fn unpack(shell: &Shell, archives: &Path, to: &Path) -> anyhow::Result<String> {
    let to = std::path::absolute(to)?;
    shell.remove_path(&to)?;
    let together = shell.create_temp_dir()?;
    let listing = listing(shell)?;
    let mut lines = listing.lines();
    let name = lines
        .next()
        .context("mix.exs names the package")?
        .to_owned();
    for file in lines {
        let places = [
            shell::root().join("elixir"),
            archives.to_owned(),
            shell::root(),
        ];
        let found = places
            .iter()
            .map(|place| place.join(file))
            .find(|path| path.exists());
        let found = found.with_context(|| format!("mix.exs publishes {file}, which is nowhere"))?;
        copy(&found, &together.path().join(file))?;
    }
    let _together = shell.push_dir(together.path());
    if shell::ask(cmd!(shell, "mix hex.info")).is_some() {
        // Hex builds no package that depends on checkouts.
        let build = cmd!(shell, "mix hex.build --unpack --output {to}");
        build
            .env("EMILY_DEPS_PATH", together.path())
            .quiet()
            .ignore_stdout()
            .run()?;
    } else {
        println!(
            "not run: mix hex.build: there is no Hex here; its files are put together by name"
        );
        copy(together.path(), &to)?;
    }
    anyhow::ensure!(
        to.join(checksums::LIST).is_file(),
        "the package knows no archive"
    );
    Ok(name)
}

/// The package's name and then its files, a line each, by mix.exs itself.
fn listing(shell: &Shell) -> anyhow::Result<String> {
    let script = "package = Mix.Project.config()[:package]; \
                  Enum.each([package[:name] | package[:files]], &IO.puts/1)";
    let _elixir = shell.push_dir("elixir");
    Ok(cmd!(
        shell,
        "mix run --no-compile --no-start --no-deps-check -e {script}"
    )
    .quiet()
    .read()?)
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return std::fs::copy(from, to).map(drop);
    }
    std::fs::create_dir_all(to)?;
    for entry in from.read_dir()? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
