//! Operations beside NumPy, JAX, PyTorch and MLX, which elixir/bench/ops.exs measures.

use xshell::{Shell, cmd};

use super::beam::optimised_nif;
use super::figure::Row;
use super::models::{on_two_cores, peers, rows_of};
use crate::beam::{self, Beam};
use crate::shell;

/// The figures, after so many rounds of turns.
pub(super) fn rows(shell: &Shell, rounds: u32) -> anyhow::Result<Vec<Row>> {
    match beam::prepare(shell)? {
        Beam::Whole => {}
        Beam::Nothing(reason) | Beam::NifOnly(reason) => {
            anyhow::bail!("no bench of operations: {reason}")
        }
    }
    let python = peers(shell)?;
    let _nif = shell.push_env("EMILY_NIF", optimised_nif(shell)?);
    let _environment = shell.push_env("MIX_ENV", "prod");
    let _elixir = shell.push_dir("elixir");
    shell::show(cmd!(shell, "mix compile"))?;
    shell::step("operations, turn by turn with others'");
    let rounds = rounds.to_string();
    let script = on_two_cores(shell, "bench/ops.exs").arg(python).arg(rounds);
    rows_of(&script.read()?)
}
