//! Finds the Elixir that the suite's BEAM layers and the library's own tests run on.
//!
//! **Architecture invariant:** this crate depends on nothing. xtask uses it before anything is built
//! that links MLX.
#![forbid(unsafe_code)]

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest Elixir that the Nx-free part of the library compiles with.
const OLDEST: (u32, u32) = (1, 14);

/// The oldest Elixir that Nx compiles with.
const OLDEST_FOR_NX: (u32, u32) = (1, 17);

const INSTALL: &str = "install Elixir (Debian, Ubuntu: apt-get install elixir erlang-dev; the Nx \
                       layers need 1.17), or point EMILY_ELIXIR at its elixir command";

/// An Elixir of this machine, new enough for the Nx-free part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elixir {
    program: PathBuf,
    version: (u32, u32),
}

/// Why there is none, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Why.
    pub reason: String,
    /// What to do.
    pub remedy: &'static str,
}

impl Elixir {
    /// The one that `EMILY_ELIXIR` names, else that on the `PATH`.
    ///
    /// # Errors
    /// When there is none, or one that is too old.
    pub fn find() -> Result<Elixir, Missing> {
        let program = env::var_os("EMILY_ELIXIR").filter(|path| !path.is_empty());
        Elixir::at(program.map_or_else(|| "elixir".into(), PathBuf::from))
    }

    fn at(program: PathBuf) -> Result<Elixir, Missing> {
        let output = Command::new(&program).arg("--version").output();
        let output = output
            .map_err(|error| missing(format!("{} does not start: {error}", program.display())))?;
        let version = version(&String::from_utf8_lossy(&output.stdout))
            .ok_or_else(|| missing(format!("{} does not tell its version", program.display())))?;
        let elixir = Elixir { program, version };
        elixir.at_least(OLDEST, "Emily").map(|()| elixir)
    }

    /// Whether Nx compiles with it.
    ///
    /// # Errors
    /// When it is too old.
    pub fn for_nx(&self) -> Result<(), Missing> {
        self.at_least(OLDEST_FOR_NX, "Nx")
    }

    fn at_least(&self, oldest: (u32, u32), what: &str) -> Result<(), Missing> {
        if self.version >= oldest {
            return Ok(());
        }
        let ((major, minor), (oldest, least)) = (self.version, oldest);
        Err(missing(format!(
            "Elixir is {major}.{minor}, and {what} needs {oldest}.{least} or newer"
        )))
    }

    /// Major and minor version.
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// The `elixir` command.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Another command of the same installation: `mix`, `elixirc`.
    pub fn tool(&self, name: &str) -> Command {
        let mut tool = Command::new(self.program.with_file_name(name));
        tool.env("PATH", self.search_path());
        tool
    }

    /// The `PATH` with this Elixir first on it: `mix` starts the `elixir` that it finds there.
    pub fn search_path(&self) -> OsString {
        let path = env::var_os("PATH").unwrap_or_default();
        let folder = self.program.parent().filter(|f| !f.as_os_str().is_empty());
        let Some(folder) = folder else {
            return path;
        };
        let mut first = folder.as_os_str().to_owned();
        first.push(":");
        first.push(path);
        first
    }
}

fn missing(reason: String) -> Missing {
    Missing {
        reason,
        remedy: INSTALL,
    }
}

/// Major and minor from `elixir --version`.
fn version(text: &str) -> Option<(u32, u32)> {
    let number = text.lines().find_map(|line| line.strip_prefix("Elixir "))?;
    let mut parts = number.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elixir(version: (u32, u32)) -> Elixir {
        Elixir {
            program: "/opt/elixir/bin/elixir".into(),
            version,
        }
    }

    #[test]
    fn versions_are_read() {
        let text = "Erlang/OTP 25 [erts-13.1.5]\n\nElixir 1.14.0 (compiled with Erlang/OTP 24)\n";
        assert_eq!(version(text), Some((1, 14)));
        assert_eq!(version("Erlang/OTP 25"), None);
    }

    #[test]
    fn one_that_is_too_old_is_told_with_what_is_needed() {
        assert_eq!(elixir((2, 0)).for_nx(), Ok(()));
        let missing = elixir((1, 14)).for_nx().unwrap_err();
        assert_eq!(missing.reason, "Elixir is 1.14, and Nx needs 1.17 or newer");
    }

    #[test]
    fn one_that_is_not_there_is_told_by_its_name() {
        let missing = Elixir::at("/no/such/elixir".into()).unwrap_err();
        assert!(missing.reason.starts_with("/no/such/elixir does not start"));
    }

    #[test]
    fn its_tools_start_the_same_elixir() {
        let path = elixir((1, 18)).search_path().into_string().unwrap();
        assert!(path.starts_with("/opt/elixir/bin:"), "{path}");
        let tool = elixir((1, 18)).tool("mix");
        assert_eq!(tool.get_program(), "/opt/elixir/bin/mix");
    }
}
