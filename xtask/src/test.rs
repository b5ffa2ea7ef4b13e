//! `cargo xtask test`: every test there is; `long` ones of models take minutes, and are for the long CI.

use emily_flags::Flags;
use xshell::{Shell, cmd};

use crate::beam::{self, Beam};
use crate::{conformance, docs, shell, slices};

pub(crate) fn run(shell: &Shell, long: bool) -> anyhow::Result<()> {
    let beam = beam::prepare(shell)?;
    let mut layers = beam.layers().to_vec();
    let models = slices::prepare(shell, &beam)?;
    match &models {
        None => layers.push("slices"),
        Some(reason) => println!("not run: the models: {reason}"),
    }
    shell::step("the workspace's tests and every conformance trial");
    let report = shell::target_dir().join("conformance");
    shell.set_var("EMILY_CONFORMANCE_REPORT", &report);
    shell.set_var("EMILY_CONFORMANCE_REQUIRE", layers.join(","));
    shell::show(cmd!(shell, "cargo test --quiet --workspace"))?;
    executors(shell, long)?;
    beam.test(shell)?;
    queued(shell, &beam)?;
    docs::check(shell, &beam)?;
    if models.is_none() {
        slices::test(shell, long)?;
    }
    Ok(())
}

/// Replays the cases of floats on the kernels that this machine does not choose: MLX's own, and if it is `long` the
/// engine's for lesser processors.
fn executors(shell: &Shell, long: bool) -> anyhow::Result<()> {
    let floats = ["f32", "f16", "bf16"].map(str::to_owned);
    let mut flags = Flags::of_layer("native", floats.into());
    let mut choices = vec![("EMILY_EXECUTOR", "mlx")];
    if long {
        choices.extend(["portable", "avx2"].map(|set| ("EMILY_CPU", set)));
    }
    for (name, value) in choices {
        shell::step(&format!("the cases of floats with {name}={value}"));
        let _choice = shell.push_env(name, value);
        flags.report = Some(shell::target_dir().join(format!("conformance-{value}")));
        conformance::replay(shell, &flags, None, None)?;
    }
    Ok(())
}

/// What a tensor's life is, also where no op is computed in the call.
fn queued(shell: &Shell, beam: &Beam) -> anyhow::Result<()> {
    let _off = shell.push_env("EMILY_INLINE", "off");
    shell::step("workers that queue small ops as well");
    // What the NIF calls is in a VM.
    shell::show(cmd!(
        shell,
        "cargo test --quiet --workspace --exclude emily-nif --lib -- worker::"
    ))?;
    shell::show(cmd!(
        shell,
        "cargo test --quiet --workspace --test ending --test inline --test memory"
    ))?;
    if let Beam::Whole = beam {
        let _elixir = shell.push_dir("elixir");
        let tests = [
            "dispatch",
            "lifecycle",
            "memory",
            "native",
            "stream",
            "telemetry",
        ];
        let tests = tests.map(|test| format!("test/emily/{test}_test.exs"));
        shell::show(cmd!(shell, "mix test {tests...}"))?;
    }
    Ok(())
}

/// Ends processes with the engine and VMs in every way there is, so many times each.
pub(crate) fn ends(shell: &Shell, times: u32) -> anyhow::Result<()> {
    let _times = shell.push_env("EMILY_ENDS", times.to_string());
    shell::step("ends of a process");
    shell::show(cmd!(shell, "cargo test --quiet --workspace --test ending"))?;
    if let Beam::Nothing(reason) | Beam::NifOnly(reason) = beam::prepare(shell)? {
        println!("not run: the ends of a VM: {reason}");
        return Ok(());
    }
    shell::step("ends of a VM");
    let _elixir = shell.push_dir("elixir");
    shell::show(cmd!(shell, "mix test test/emily/ending_test.exs"))
}
