//! The BEAM side: what of it can run here, how it is built and tested.

use std::path::PathBuf;

use emily_find_elixir::{Elixir, Missing};
use xshell::{Shell, cmd};

use crate::shell;

/// How much of the BEAM side can run here.
pub(crate) enum Beam {
    /// Nothing: why, and what to do.
    Nothing(String),
    /// Elixir without Nx: the nif layer. Why not more.
    NifOnly(String),
    /// All of it.
    Whole,
}

/// The NIF library's file name.
pub(crate) fn library() -> String {
    let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    format!("{prefix}emily_nif{suffix}")
}

/// Builds what the BEAM layers load, as far as this machine has what they need.
pub(crate) fn prepare(shell: &Shell) -> anyhow::Result<Beam> {
    let elixir = match find(shell) {
        Ok(elixir) => elixir,
        Err(Missing { reason, remedy }) => {
            return Ok(Beam::Nothing(format!("{reason}; {remedy}")));
        }
    };
    shell::step("the NIF");
    shell::show(cmd!(shell, "cargo build --quiet -p emily-nif"))?;
    shell.set_var(
        "EMILY_NIF",
        shell::target_dir().join("debug").join(library()),
    );
    if let Err(Missing { reason, remedy }) = elixir.for_nx() {
        return Ok(Beam::NifOnly(format!("{reason}; {remedy}")));
    }
    if let Some(reason) = missing(shell, "nx", NX) {
        return Ok(Beam::NifOnly(reason));
    }
    shell::step("the Elixir library");
    let _elixir = shell.push_dir("elixir");
    for env in ["dev", "test"] {
        shell::show(cmd!(shell, "mix compile --warnings-as-errors").env("MIX_ENV", env))?;
    }
    Ok(Beam::Whole)
}

impl Beam {
    /// The layers that this machine has all for: one that does not run has a fault, and is no absence.
    pub(crate) fn layers(&self) -> &'static [&'static str] {
        match self {
            Beam::Nothing(_) => &[],
            Beam::NifOnly(_) => &["nif"],
            Beam::Whole => &["nif", "nx", "backend", "compiler", "grad"],
        }
    }

    /// Runs the Elixir library's own tests, or says why not.
    pub(crate) fn test(&self, shell: &Shell) -> anyhow::Result<()> {
        match self {
            Beam::Whole => {
                shell::step("the Elixir library's tests");
                let _elixir = shell.push_dir("elixir");
                shell::show(cmd!(shell, "mix format --check-formatted"))?;
                shell::show(cmd!(shell, "mix test"))
            }
            Beam::Nothing(reason) | Beam::NifOnly(reason) => {
                println!("not run: the Elixir library's tests: {reason}");
                Ok(())
            }
        }
    }
}

/// The Elixir to use, which `mix` then means too.
pub(crate) fn find(shell: &Shell) -> Result<Elixir, Missing> {
    let elixir = Elixir::find()?;
    shell.set_var("PATH", elixir.search_path());
    Ok(elixir)
}

/// What to do where Nx is missing.
pub(crate) const NX: &str =
    "go online, or put checkouts of nx, complex and telemetry where EMILY_DEPS_PATH says";

/// Why an Elixir library cannot be had here, with what to do; `None` when it can.
pub(crate) fn missing(shell: &Shell, library: &str, remedy: &str) -> Option<String> {
    if let Some(folder) = deps_folder().filter(|folder| folder.join("nx").is_dir()) {
        let is_there = folder.join(library).is_dir();
        return (!is_there).then(|| format!("{library} is not in {}; {remedy}", folder.display()));
    }
    let _elixir = shell.push_dir("elixir");
    let fetch = cmd!(shell, "mix do local.hex --if-missing --force + deps.get");
    if fetch.quiet().ignore_stdout().ignore_stderr().run().is_ok() {
        return None;
    }
    Some(format!(
        "{library} is not here and Hex cannot be reached; {remedy}"
    ))
}

/// Where checkouts of these are, as `app=folder,…`; nothing where Hex has them.
pub(crate) fn checkouts(apps: &[&str]) -> String {
    let Some(folder) = deps_folder().filter(|folder| folder.join("nx").is_dir()) else {
        return String::new();
    };
    // Nx's repository has the library in a folder of its own.
    let inside = |app: &str| [folder.join(app).join(app), folder.join(app)];
    let one = |app: &&str| {
        let place = inside(app)
            .into_iter()
            .find(|place| place.join("mix.exs").is_file());
        place.map(|place| format!("{app}={}", place.display()))
    };
    apps.iter().filter_map(one).collect::<Vec<_>>().join(",")
}

/// Where checkouts of Nx and what it needs are on a machine without Hex.
fn deps_folder() -> Option<PathBuf> {
    let named = std::env::var_os("EMILY_DEPS_PATH").map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/emily/deps")))
}
