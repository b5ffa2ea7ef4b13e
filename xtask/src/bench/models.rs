//! Whole models beside PyTorch and JAX, which elixir/bench/models.exs measures.

use std::path::{Path, PathBuf};

use anyhow::Context;
use xshell::{Cmd, Shell, cmd};

use super::beam::optimised_nif;
use super::figure::{Row, Unit};
use crate::{beam, fetched, shell, slices};

/// What models.exs has cases of.
pub(super) const MODELS: [&str; 4] = ["minilm", "gpt2", "vit", "whisper"];

/// The models' figures, and what a model needs while it loads, where the system tells.
pub(super) fn rows(
    shell: &Shell,
    only: &[String],
    rounds: u32,
    torchx: Option<&Path>,
) -> anyhow::Result<Vec<Row>> {
    // The script runs in another folder.
    let torchx = torchx.map(std::path::absolute).transpose()?;
    let beam = beam::prepare(shell)?;
    if let Some(reason) = slices::prepare(shell, &beam)? {
        anyhow::bail!("no bench of models: {reason}");
    }
    let python = peers(shell)?;
    let minilm = fetched::minilm(shell)?;
    let mut models = Vec::new();
    for name in MODELS {
        if !only.is_empty() && !only.iter().any(|one| one == name) {
            continue;
        }
        let folder = match name {
            "minilm" => minilm.clone(),
            "whisper" => fetched::whisper(shell)?,
            name => random(shell, &python, name)?,
        };
        models.push(format!("{name}={}", folder.display()));
    }
    let nif = optimised_nif(shell)?;
    let _nif = shell.push_env("EMILY_NIF", nif);
    let _environment = shell.push_env("MIX_ENV", "slices");
    let _elixir = shell.push_dir("elixir");
    shell::show(cmd!(shell, "mix compile"))?;
    shell::step("models, turn by turn with PyTorch's and JAX's");
    let printed = script(shell)
        .arg("--python")
        .arg(python)
        .args(["--rounds", &rounds.to_string()])
        .args(
            torchx
                .iter()
                .flat_map(|folder| [Path::new("--torchx"), folder]),
        )
        .args(models)
        .read()?;
    let mut rows = rows_of(&printed)?;
    if cfg!(target_os = "linux") {
        rows.push(loading(shell, &minilm)?);
    } else {
        println!("not measured: the peak of loading; it takes Linux");
    }
    Ok(rows)
}

/// The rows that a script printed, a line of JSON each.
pub(super) fn rows_of(printed: &str) -> anyhow::Result<Vec<Row>> {
    let lines = printed.lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect()
}

/// The resident memory that loading MiniLM takes at its peak.
fn loading(shell: &Shell, minilm: &Path) -> anyhow::Result<Row> {
    let first = shell::root().join("fixtures/slices/bert");
    let printed = script(shell).arg("loading").arg(first).arg(minilm).read()?;
    let line = printed.lines().last().unwrap_or_default();
    let (peak, weights) = line.split_once(' ').with_context(|| printed.clone())?;
    Ok(Row::new(
        "peak of loading MiniLM, against its weights",
        Unit::Bytes,
        peak.parse()?,
        weights.parse()?,
        1.2,
    ))
}

fn script(shell: &Shell) -> Cmd<'_> {
    on_two_cores(shell, "bench/models.exs")
}

/// A script of elixir/bench, with the first two cores for it and for what it starts, where the system can say so:
/// neither JAX nor MLX takes a number of threads.
pub(super) fn on_two_cores<'shell>(shell: &'shell Shell, script: &str) -> Cmd<'shell> {
    let run = ["run", "--no-compile", script];
    if cfg!(target_os = "linux") {
        cmd!(shell, "taskset --cpu-list 0,1 mix {run...}")
    } else {
        cmd!(shell, "mix {run...}")
    }
}

/// A Python with what peers.txt pins, 7 GB on Linux since PyPI's PyTorch has CUDA in it.
pub(super) fn peers(shell: &Shell) -> anyhow::Result<PathBuf> {
    let venv = std::path::absolute(shell::target_dir().join("bench-models-venv"))?;
    let python = venv.join("bin/python");
    if !python.exists() {
        shell::step("PyTorch and JAX");
        shell::show(cmd!(shell, "python3 -m venv {venv}"))?;
    }
    let pins = "elixir/bench/peers.txt";
    shell::show(cmd!(
        shell,
        "{python} -m pip install --quiet --requirement {pins}"
    ))?;
    Ok(python)
}

/// The folder of a model with random weights.
fn random(shell: &Shell, python: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let folder = std::path::absolute(shell::target_dir().join("bench-models").join(name))?;
    if !folder.join("model.safetensors").is_file() {
        shell::show(cmd!(
            shell,
            "{python} -B elixir/bench/peers.py make {name} {folder}"
        ))?;
    }
    Ok(folder)
}
