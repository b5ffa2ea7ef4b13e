//! The BEAM side: what of it can run here, how it is built, tested and measured.

use std::path::PathBuf;

use anyhow::Context;
use xshell::{Shell, cmd};

use crate::bench::{self, Row};
use crate::doctor::Finding;
use crate::shell;

/// What the Nx layers and the Elixir library's tests need.
const ELIXIR_FOR_NX: (u32, u32) = (1, 17);

const INSTALL_ELIXIR: &str =
    "install Elixir (Debian, Ubuntu: apt-get install elixir erlang-dev); the Nx layers need 1.17";

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
fn library() -> String {
    let (prefix, suffix) = (std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    format!("{prefix}emily_nif{suffix}")
}

/// Builds what the BEAM layers load, as far as this machine has what they need.
pub(crate) fn prepare(shell: &Shell) -> anyhow::Result<Beam> {
    let Some(version) = elixir_version(shell) else {
        return Ok(Beam::Nothing(format!("no Elixir here; {INSTALL_ELIXIR}")));
    };
    shell::step("the NIF");
    shell::show(cmd!(shell, "cargo build --quiet -p emily-nif"))?;
    shell.set_var(
        "EMILY_NIF",
        shell::target_dir().join("debug").join(library()),
    );
    if version < ELIXIR_FOR_NX {
        let (major, minor) = version;
        return Ok(Beam::NifOnly(format!(
            "Elixir is {major}.{minor}, Nx needs {}.{} or newer",
            ELIXIR_FOR_NX.0, ELIXIR_FOR_NX.1
        )));
    }
    if let Some(reason) = missing_nx(shell) {
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

/// The Elixir on the `PATH`, as major and minor version.
fn elixir_version(shell: &Shell) -> Option<(u32, u32)> {
    let text = shell::ask(cmd!(shell, "elixir --version"))?;
    let number = text.lines().find_map(|line| line.strip_prefix("Elixir "))?;
    let mut parts = number.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Why Nx cannot be had here; `None` when it can.
fn missing_nx(shell: &Shell) -> Option<String> {
    if deps_folder().is_some_and(|folder| folder.join("nx").is_dir()) {
        return None;
    }
    let _elixir = shell.push_dir("elixir");
    let fetch = cmd!(shell, "mix do local.hex --if-missing --force + deps.get");
    if fetch.quiet().ignore_stdout().ignore_stderr().run().is_ok() {
        return None;
    }
    Some(
        "Nx is not here and Hex cannot be reached; go online, or put checkouts of nx, complex \
         and telemetry where EMILY_DEPS_PATH says"
            .to_owned(),
    )
}

/// Where checkouts of Nx and what it needs are on a machine without Hex.
fn deps_folder() -> Option<PathBuf> {
    let named = std::env::var_os("EMILY_DEPS_PATH").map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/emily/deps")))
}

/// Doctor's lines on the BEAM side.
pub(crate) fn findings(shell: &Shell) -> Vec<(&'static str, Finding)> {
    let Some((major, minor)) = elixir_version(shell) else {
        let what = "none; only the Rust layers run".to_owned();
        return vec![("Elixir", Finding::Could(what, INSTALL_ELIXIR.to_owned()))];
    };
    let elixir = ("Elixir", Finding::Good(format!("{major}.{minor}")));
    let nx = match missing_nx(shell) {
        None if (major, minor) >= ELIXIR_FOR_NX => Finding::Good("there".to_owned()),
        None => Finding::Could(
            "Elixir is too old for it".to_owned(),
            INSTALL_ELIXIR.to_owned(),
        ),
        Some(reason) => {
            let (what, remedy) = reason.split_once("; ").unwrap_or((&reason, ""));
            Finding::Could(what.to_owned(), remedy.to_owned())
        }
    };
    vec![elixir, ("Nx", nx)]
}

/// The Elixir library's figures.
pub(crate) fn bench(shell: &Shell) -> anyhow::Result<Vec<Row>> {
    match prepare(shell)? {
        Beam::Whole => {}
        Beam::Nothing(reason) | Beam::NifOnly(reason) => anyhow::bail!("no BEAM bench: {reason}"),
    }
    shell::show(cmd!(shell, "cargo build --quiet --release -p emily-nif"))?;
    shell::step("the Elixir library's benches");
    let mut rows = bench_script(shell, &[])?
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| {
            let row: BeamRow = serde_json::from_str(line).with_context(|| line.to_owned())?;
            Ok(Row::new(
                &row.name,
                row.unit(),
                row.median,
                row.reference,
                row.bar,
            ))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    shell::step("eight processes, turn by turn with eight mlx-rs threads");
    let (processes, threads) = bench::turn_by_turn(
        || eight_processes(shell),
        || bench::brief(shell, "dispatch", "eight_at_once/mlx_rs"),
    )?;
    rows.push(Row::new(
        "eight processes with a stream each, against mlx-rs threads",
        "ns",
        processes,
        threads,
        1.0 / 0.9,
    ));
    Ok(rows)
}

/// The median time of eight processes' chains, in nanoseconds.
fn eight_processes(shell: &Shell) -> anyhow::Result<f64> {
    let printed = bench_script(shell, &["eight_at_once"])?;
    let nanoseconds = printed.lines().last().unwrap_or_default();
    nanoseconds.parse().with_context(|| printed.clone())
}

/// What elixir/bench prints, on an optimised NIF.
fn bench_script(shell: &Shell, args: &[&str]) -> anyhow::Result<String> {
    let library = shell::target_dir().join("release").join(library());
    let _elixir = shell.push_dir("elixir");
    let script = cmd!(shell, "mix run bench/bench.exs {args...}");
    Ok(script
        .env("MIX_ENV", "prod")
        .env("EMILY_NIF", library)
        .read()?)
}

/// A row as elixir/bench prints it.
#[derive(serde::Deserialize)]
struct BeamRow {
    name: String,
    median: f64,
    unit: String,
    reference: f64,
    bar: f64,
}

impl BeamRow {
    fn unit(&self) -> &'static str {
        if self.unit == "bytes" { "bytes" } else { "ns" }
    }
}
