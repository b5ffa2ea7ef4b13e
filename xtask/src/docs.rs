//! `cargo xtask docs`: the Elixir library's documentation, where ExDoc is; a warning is an error.

use xshell::{Shell, cmd};

use crate::beam::{self, Beam};
use crate::shell;

pub(crate) fn run(shell: &Shell) -> anyhow::Result<()> {
    let beam = beam::prepare(shell)?;
    check(shell, &beam)
}

/// Builds the documentation, or says why not.
pub(crate) fn check(shell: &Shell, beam: &Beam) -> anyhow::Result<()> {
    let _environment = shell.push_env("MIX_ENV", "docs");
    let missing = match beam {
        Beam::Nothing(reason) | Beam::NifOnly(reason) => Some(reason.clone()),
        Beam::Whole => beam::missing(shell, "ex_doc", REMEDY),
    };
    if let Some(reason) = missing {
        println!("not run: the Elixir library's documentation: {reason}");
        return Ok(());
    }
    shell::step("the Elixir library's documentation");
    let _elixir = shell.push_dir("elixir");
    shell::show(cmd!(shell, "mix docs --warnings-as-errors"))
}

const REMEDY: &str = "go online, or put checkouts of ex_doc and all that it needs (`@docs_apps` in \
                      elixir/mix.exs) where EMILY_DEPS_PATH says";
