//! What depends on the machine: supported variants, file names, directories.

use std::env;
use std::path::PathBuf;

use crate::{Error, Variant};

/// The file name of MLX's shared library.
pub(crate) const LIBRARY: &str = if cfg!(target_os = "macos") {
    "libmlx.dylib"
} else {
    "libmlx.so"
};

/// The variants that MLX publishes wheels of for this platform.
pub(crate) fn supported() -> &'static [Variant] {
    let linux = cfg!(all(target_os = "linux", target_env = "gnu"));
    let arm = cfg!(target_arch = "aarch64");
    if linux && (arm || cfg!(target_arch = "x86_64")) {
        &[Variant::Cpu, Variant::Cuda13]
    } else if cfg!(target_os = "macos") && arm {
        &[Variant::Metal]
    } else {
        &[]
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
