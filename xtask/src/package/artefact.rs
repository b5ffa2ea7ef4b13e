//! What archives there are, and their names.

use std::fmt;
use std::str::FromStr;

use anyhow::Context;

/// What an archive is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Linux with glibc, and MLX on the processor.
    Linux(Arch),
    /// macOS on Apple silicon, and MLX on Metal, whose kernels were compiled beforehand.
    Mac,
}

/// A processor that Linux runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arch {
    X86_64,
    Aarch64,
}

/// Emily's version, which the NIF and the Elixir code share.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Target {
    const ALL: [Self; 3] = [
        Self::Linux(Arch::X86_64),
        Self::Linux(Arch::Aarch64),
        Self::Mac,
    ];

    /// This machine, if there is an archive for it.
    pub(crate) fn here() -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.is_here())
    }

    pub(crate) fn is_here(self) -> bool {
        let here = (std::env::consts::OS, std::env::consts::ARCH);
        match self {
            Self::Linux(Arch::X86_64) => here == ("linux", "x86_64"),
            Self::Linux(Arch::Aarch64) => here == ("linux", "aarch64"),
            Self::Mac => here == ("macos", "aarch64"),
        }
    }

    /// Rust's name of it.
    pub(crate) fn triple(self) -> &'static str {
        match self {
            Self::Linux(Arch::X86_64) => "x86_64-unknown-linux-gnu",
            Self::Linux(Arch::Aarch64) => "aarch64-unknown-linux-gnu",
            Self::Mac => "aarch64-apple-darwin",
        }
    }

    /// The build of MLX in its archive, as `EMILY_MLX_VARIANT` and MLX's wheels are called.
    pub(crate) fn variant(self) -> &'static str {
        match self {
            Self::Linux(Arch::X86_64 | Arch::Aarch64) => "cpu",
            Self::Mac => "metal",
        }
    }

    /// The archive's name: version, variant and target, `emily-0.1.0-cpu-x86_64-unknown-linux-gnu`.
    pub(crate) fn archive(self) -> String {
        format!("emily-{VERSION}-{}-{self}", self.variant())
    }

    pub(crate) fn file_name(self) -> String {
        format!("{}.tar.gz", self.archive())
    }

    /// The most bytes that users should have to wait for.
    pub(crate) fn budget(self) -> usize {
        match self {
            Self::Linux(Arch::X86_64 | Arch::Aarch64) => 20_000_000,
            // MLX's own wheel takes 42.5 MB, most of it compiled kernels, and the NIF two.
            Self::Mac => 45_000_000,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.triple())
    }
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        let found = Self::ALL.into_iter().find(|target| target.triple() == name);
        found.with_context(|| {
            let all = Self::ALL.map(Self::triple).join(", ");
            format!("there is no archive for it; there are {all}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_another_is_told_with_those_that_there_are() {
        for target in Target::ALL {
            assert_eq!(target.to_string().parse::<Target>().unwrap(), target);
        }
        let error = "riscv64gc-unknown-linux-gnu".parse::<Target>().unwrap_err();
        assert!(
            error.to_string().contains("aarch64-apple-darwin"),
            "{error}"
        );
    }
}
