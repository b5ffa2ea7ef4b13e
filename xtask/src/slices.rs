//! `cargo xtask slices`: the layer `slices` alone, whole models that Bumblebee runs on Emily.

use std::path::PathBuf;

use emily_flags::Flags;
use xshell::{Shell, cmd};

use crate::beam::{self, Beam};
use crate::{codegen, conformance, fetched, shell};

/// Which trials to run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run real weights instead, which are fetched once: MiniLM and whisper-base, 220 MB.
    #[arg(long)]
    real: bool,
    /// Run public checkpoints instead, those that Hugging Face's cache has here, against what is published of them.
    #[arg(long, conflicts_with_all = ["real", "dtype", "exact", "filter"])]
    hub: bool,
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
    if args.hub {
        return hub(shell);
    }
    shell::step("the models");
    let mut flags = Flags {
        report: Some(shell::target_dir().join("slices")),
        ..Flags::of_layer("slices", args.dtype.clone())
    };
    if args.real {
        fetched::minilm(shell)?;
        fetched::whisper(shell)?;
        flags.models = Some(fetched::models()?);
    }
    conformance::replay(shell, &flags, args.exact.as_deref(), args.filter.as_deref())
}

/// Asks the checkpoints of the cache; what is not there is said.
fn hub(shell: &Shell) -> anyhow::Result<()> {
    shell::step("public checkpoints");
    let _elixir = shell.push_dir("elixir");
    let main = "Emily.Conformance.Slices.Hub.main()";
    shell::show(cmd!(shell, "mix run --no-compile -e {main}").env("MIX_ENV", "slices"))
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

/// What brings a folder.
type Fetch = fn(&Shell) -> anyhow::Result<PathBuf>;

/// Runs the tests of what people do with models, with what they need; [`prepare`] has built the rest.
/// `long` ones too take minutes.
pub(crate) fn test(shell: &Shell, long: bool) -> anyhow::Result<()> {
    shell::step("the tests of models");
    let fetch: [(&str, Fetch); 3] = [
        ("EMILY_MINILM", fetched::minilm),
        ("EMILY_WHISPER", fetched::whisper),
        ("EMILY_DIGITS", fetched::digits),
    ];
    for (variable, fetch) in fetch {
        if shell.var(variable).is_ok() {
            continue;
        }
        // Without its folder the tests say that they do not run; this is why.
        match fetch(shell) {
            Ok(folder) => shell.set_var(variable, folder),
            Err(error) => println!("not run: the tests that need {variable}: {error}"),
        }
    }
    shell.set_var("EMILY_REPORT", codegen::report());
    let long = if long {
        &["--include", "long"][..]
    } else {
        &[]
    };
    let _elixir = shell.push_dir("elixir");
    shell::show(cmd!(shell, "mix test {long...}").env("MIX_ENV", "slices"))
}

const REMEDY: &str = "go online, or put checkouts of bumblebee and all that it needs (`@model_apps` in \
                      elixir/mix.exs) where EMILY_DEPS_PATH says";
