//! What a BEAM needs before it can answer: Elixir, the NIF library, compiled Elixir code, Nx.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use emily_find_elixir::Elixir;

use super::peer::Peer;
use crate::layer::Absent;

/// The library's file name as cargo gives it.
const LIBRARY: &str = if cfg!(target_os = "macos") {
    "libemily_nif.dylib"
} else {
    "libemily_nif.so"
};

/// Which of the Elixir code is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// `Emily.Native` and the server: no Nx, no mix.
    Native,
    /// The whole library with Nx.
    Nx,
    /// The same with Bumblebee, in Mix's environment `slices`.
    Models,
    /// The same beside a foreign backend, and only that is started.
    Peer(Peer),
}

/// Builds what is needed and gives the command that starts a server.
///
/// # Errors
/// What is missing, and how to get it.
pub(super) fn command(code: &Code) -> Result<Vec<String>, Absent> {
    let elixir = Elixir::find()?;
    let library = library()?;
    let (paths, start) = match code {
        Code::Native => (vec![compile(&elixir)?], "Emily.Conformance.Server.main()"),
        Code::Nx => (
            compile_with_mix(&elixir, &library, "dev")?,
            "{:ok, _} = Application.ensure_all_started(:emily); Emily.Conformance.Server.main()",
        ),
        Code::Models => {
            built(&project().join("_build/slices/lib/bumblebee/ebin/bumblebee.app"))?;
            (
                compile_with_mix(&elixir, &library, "slices")?,
                "{:ok, _} = Application.ensure_all_started([:emily, :bumblebee]); \
                 Emily.Conformance.Server.main()",
            )
        }
        Code::Peer(peer) => (
            // What is named later comes first: the backend runs with the Nx that it came with.
            [compile_with_mix(&elixir, &library, "dev")?, peer.ebins()?].concat(),
            "Emily.Conformance.Server.main(System.argv())",
        ),
    };
    let mut command = vec![
        "env".to_owned(),
        format!("EMILY_NIF={}", library.display()),
        // What a VM dies of is in its last words; a dump of its memory helps nobody.
        "ERL_CRASH_DUMP_BYTES=0".to_owned(),
    ];
    command.extend([
        elixir.program().display().to_string(),
        "--erl".into(),
        "-noinput".into(),
    ]);
    for path in paths {
        command.extend(["-pa".to_owned(), path.display().to_string()]);
    }
    command.extend(["-e".to_owned(), start.to_owned()]);
    if let Code::Peer(peer) = code {
        command.extend(["--".to_owned(), peer.term.clone()]);
    }
    Ok(command)
}

/// The repository's `elixir` folder.
fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../elixir")
}

/// The folder of this program, where cargo puts what it builds.
fn beside_this_program() -> Option<PathBuf> {
    Some(env::current_exe().ok()?.parent()?.to_owned())
}

/// `EMILY_NIF`, else the library that cargo built for this profile.
fn library() -> Result<PathBuf, Absent> {
    let remedy = "cargo build -p emily-nif (cargo xtask conformance does it)";
    if let Some(path) = env::var_os("EMILY_NIF").map(PathBuf::from) {
        return match path.is_file() {
            true => Ok(path),
            false => Err(absent(
                format!("EMILY_NIF is {}: no file", path.display()),
                remedy,
            )),
        };
    }
    let here = beside_this_program().unwrap_or_default();
    // Tests lie one folder deeper than what they are built from.
    let built = [here.join(LIBRARY), here.join("..").join(LIBRARY)];
    let found = built.into_iter().find(|path| path.is_file());
    found.ok_or_else(|| absent("the NIF library is not built", remedy))
}

impl From<emily_find_elixir::Missing> for Absent {
    fn from(missing: emily_find_elixir::Missing) -> Absent {
        absent(missing.reason, missing.remedy)
    }
}

/// Compiles the part without Nx, and gives the folder with it.
fn compile(elixir: &Elixir) -> Result<PathBuf, Absent> {
    let (major, minor) = elixir.version();
    let out = beside_this_program()
        .unwrap_or_else(env::temp_dir)
        .join(format!("emily-native-elixir-{major}.{minor}"));
    std::fs::create_dir_all(&out)
        .map_err(|error| absent(format!("{}: {error}", out.display()), "make it writable"))?;
    let mut elixirc = elixir.tool("elixirc");
    elixirc.current_dir(project()).arg("-o").arg(&out).args([
        "lib/emily/native.ex",
        "lib/emily/native/*.ex",
        "lib/emily/error.ex",
        "lib/emily/reply.ex",
        "conformance/server.ex",
        "conformance/nif.ex",
    ]);
    succeed(elixirc, "see what elixirc says").map(|()| out)
}

/// Bumblebee takes minutes to compile, which nobody should wait for without knowing.
fn built(app: &Path) -> Result<(), Absent> {
    match app.is_file() {
        true => Ok(()),
        false => Err(absent("Bumblebee is not built", "cargo xtask slices")),
    }
}

/// Compiles the whole library with Nx, in one of Mix's environments, and gives the folders with all of it.
fn compile_with_mix(
    elixir: &Elixir,
    library: &Path,
    environment: &str,
) -> Result<Vec<PathBuf>, Absent> {
    elixir.for_nx()?;
    let mut mix = elixir.tool("mix");
    mix.current_dir(project())
        .arg("compile")
        .env("MIX_ENV", environment)
        .env("EMILY_NIF", library);
    succeed(
        mix,
        "`mix deps.get` in elixir/, or, without Hex, checkouts of nx, complex and telemetry where \
         EMILY_DEPS_PATH says",
    )?;
    let folder = project().join("_build").join(environment).join("lib");
    let apps = std::fs::read_dir(&folder)
        .map_err(|error| absent(format!("{}: {error}", folder.display()), "mix compile"))?;
    Ok(apps
        .filter_map(|app| Some(app.ok()?.path().join("ebin")))
        .collect())
}

/// Runs a command to its end; when it fails, its last line is the reason.
fn succeed(mut command: Command, remedy: &str) -> Result<(), Absent> {
    let said = |output: &Output| {
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        text.lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or_default()
            .to_owned()
    };
    let name = command.get_program().display().to_string();
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(absent(format!("{name} failed: {}", said(&output)), remedy)),
        Err(error) => Err(absent(format!("{name} does not start: {error}"), remedy)),
    }
}

pub(super) fn absent(reason: impl Into<String>, remedy: impl Into<String>) -> Absent {
    Absent {
        reason: reason.into(),
        remedy: remedy.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_by_its_last_line() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo first; echo last >&2; exit 1"]);
        let absent = succeed(command, "fix it").unwrap_err();
        assert!(absent.reason.ends_with("failed: last"), "{}", absent.reason);
        assert_eq!(absent.remedy, "fix it");
    }
}
