//! What depends on the platform: supported variants, file names, directories.

use std::env;
use std::path::PathBuf;

use crate::{Error, Variant};

/// A platform, in cargo's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Platform {
    pub(crate) os: String,
    pub(crate) arch: String,
    /// Linux with glibc, and not another C library.
    glibc: bool,
}

impl Platform {
    /// This machine.
    pub(crate) fn here() -> Self {
        Self {
            os: env::consts::OS.to_owned(),
            arch: env::consts::ARCH.to_owned(),
            glibc: cfg!(all(target_os = "linux", target_env = "gnu")),
        }
    }

    /// Where MLX is to run: in a build script what is built for, which cargo says and which may be
    /// another platform than the script's own; else this machine.
    pub(crate) fn target() -> Self {
        let cargo = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).ok();
        match (cargo("OS"), cargo("ARCH")) {
            (Some(os), Some(arch)) => Self {
                glibc: os == "linux" && cargo("ENV").as_deref() == Some("gnu"),
                os,
                arch,
            },
            _ => Self::here(),
        }
    }

    /// The file name of MLX's shared library.
    pub(crate) fn library(&self) -> &'static str {
        if self.os == "macos" {
            "libmlx.dylib"
        } else {
            "libmlx.so"
        }
    }

    /// The variants that MLX publishes wheels of.
    pub(crate) fn supported(&self) -> &'static [Variant] {
        match (self.os.as_str(), self.arch.as_str()) {
            ("linux", "x86_64" | "aarch64") if self.glibc => &[Variant::Cpu, Variant::Cuda13],
            ("macos", "aarch64") => &[Variant::Metal],
            _ => &[],
        }
    }
}

/// Where runtimes are kept: `EMILY_CACHE`, or `emily` in the user's cache.
///
/// # Errors
/// If `EMILY_CACHE` is no absolute path, or if there is no `HOME` to look in.
pub fn cache_dir() -> Result<PathBuf, Error> {
    if let Some(cache) = env_path("EMILY_CACHE")? {
        return Ok(cache);
    }
    let home = || env_path("HOME")?.ok_or(Error::NoCacheDir);
    // The machine that builds has the cache, whatever it builds for.
    let user = if cfg!(target_os = "macos") {
        home()?.join("Library/Caches")
    } else {
        match env_path("XDG_CACHE_HOME") {
            Ok(Some(cache)) => cache,
            // The XDG specification: a relative path counts as unset.
            _ => home()?.join(".cache"),
        }
    };
    Ok(user.join("emily"))
}

/// The absolute path in an environment variable; an empty one counts as unset.
pub(crate) fn env_path(variable: &'static str) -> Result<Option<PathBuf>, Error> {
    match env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
    {
        Some(path) if path.is_relative() => Err(Error::RelativePath { variable, path }),
        path => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(os: &str, arch: &str, glibc: bool) -> Platform {
        Platform {
            os: os.to_owned(),
            arch: arch.to_owned(),
            glibc,
        }
    }

    #[test]
    fn each_platform_has_the_variants_that_mlx_publishes_for_it() {
        let linux = [Variant::Cpu, Variant::Cuda13];
        assert_eq!(platform("linux", "x86_64", true).supported(), linux);
        assert_eq!(platform("linux", "aarch64", true).supported(), linux);
        assert_eq!(platform("linux", "aarch64", false).supported(), []);
        let mac = platform("macos", "aarch64", false);
        assert_eq!(mac.supported(), [Variant::Metal]);
        assert_eq!(mac.library(), "libmlx.dylib");
        assert_eq!(platform("macos", "x86_64", false).supported(), []);
    }
}
