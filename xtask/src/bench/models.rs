//! Whole models beside PyTorch and JAX, which elixir/bench/models.exs measures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use xshell::{Cmd, Shell, cmd};

use super::beam::optimised_nif;
use super::figure::Row;
use crate::{beam, fetched, shell, slices};

/// What `--models` measures.
#[derive(Serialize)]
pub(super) struct Figures {
    models: Vec<ModelRow>,
    /// What a model needs while it loads, where the system tells.
    pub(super) loading: Vec<Row>,
}

/// A case as models.exs prints it.
#[derive(Serialize, Deserialize)]
struct ModelRow {
    name: String,
    /// How many tokens a call generates, if it does.
    tokens: Option<u32>,
    /// The median time of a call, by who computes.
    ns: BTreeMap<String, f64>,
    /// The fastest of Emily's over the fastest of the peers'.
    ratio: f64,
}

/// What models.exs has cases of.
pub(super) const MODELS: [&str; 4] = ["minilm", "gpt2", "vit", "whisper"];

const EMILY: &[&str] = &["eager", "compiled", "fast"];
const PEERS: &[&str] = &["torch", "jax", "torchx"];

pub(super) fn figures(
    shell: &Shell,
    only: &[String],
    rounds: u32,
    torchx: Option<&Path>,
) -> anyhow::Result<Figures> {
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
    let models = printed
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect::<anyhow::Result<_>>()?;
    let loading = if cfg!(target_os = "linux") {
        vec![loading(shell, &minilm)?]
    } else {
        println!("not measured: the peak of loading; it takes Linux");
        Vec::new()
    };
    Ok(Figures { models, loading })
}

/// The resident memory that loading MiniLM takes at its peak.
fn loading(shell: &Shell, minilm: &Path) -> anyhow::Result<Row> {
    let first = shell::root().join("fixtures/slices/bert");
    let printed = script(shell).arg("loading").arg(first).arg(minilm).read()?;
    let line = printed.lines().last().unwrap_or_default();
    let (peak, weights) = line.split_once(' ').with_context(|| printed.clone())?;
    Ok(Row::new(
        "peak of loading MiniLM, against its weights",
        "bytes",
        peak.parse()?,
        weights.parse()?,
        1.2,
    ))
}

/// models.exs, with the first two cores for it and for what it starts, where the system can say so: neither
/// JAX nor MLX takes a number of threads.
fn script(shell: &Shell) -> Cmd<'_> {
    let run = ["run", "--no-compile", "bench/models.exs"];
    if cfg!(target_os = "linux") {
        cmd!(shell, "taskset --cpu-list 0,1 mix {run...}")
    } else {
        cmd!(shell, "mix {run...}")
    }
}

/// A Python with what peers.txt pins, 7 GB on Linux since PyPI's PyTorch has CUDA in it.
fn peers(shell: &Shell) -> anyhow::Result<PathBuf> {
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

/// The table of all models.
pub(super) fn print(figures: &Figures) {
    print!("\n{:<48}", "model (times of a call, or tokens per second)");
    for way in EMILY.iter().chain(PEERS) {
        print!(" {way:>12}");
    }
    println!(" {:>6}", "ratio");
    for row in &figures.models {
        print!("{:<48}", row.name);
        for way in EMILY.iter().chain(PEERS) {
            print!(" {:>12}", row.figure(way));
        }
        println!(" {:>6.2}", row.ratio);
    }
}

impl ModelRow {
    fn figure(&self, way: &str) -> String {
        match (self.ns.get(way), self.tokens) {
            (None, _) => "–".to_owned(),
            (Some(ns), None) => format!("{:.1} ms", ns / 1e6),
            (Some(ns), Some(tokens)) => format!("{:.1} /s", f64::from(tokens) * 1e9 / ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_has_a_time_or_tokens_a_second_or_a_dash() {
        let line = |tokens: &str| {
            let ns = r#"{"eager": 2.5e9, "torchx": 4e9}"#;
            let line = format!(r#"{{"name": "m", "tokens": {tokens}, "ns": {ns}, "ratio": 1.0}}"#);
            serde_json::from_str::<ModelRow>(&line).unwrap()
        };
        assert_eq!(line("null").figure("eager"), "2500.0 ms");
        assert_eq!(line("64").figure("torchx"), "16.0 /s");
        assert_eq!(line("64").figure("jax"), "–");
    }
}
