//! Finds or fetches the MLX runtime: the shared library, its headers, its BLAS.
//!
//! [`Runtime::ensure`] answers with the MLX that `MLX_HOME` names, or else with
//! a copy in Emily's cache, which it fetches at first use from the wheels that
//! MLX publishes (by pip, with the hashes pinned in `wheels/`).
//!
//! What is in the cache is code that will run, so it is looked at each time something is built: whether it is
//! what was unpacked (`record`), and whether anybody else could change it before or after (`trust`). Nothing
//! looks when a program starts, as the loader takes MLX before any code of ours: whoever removes the cache
//! of a program that still runs should not leave its place to others, as `/tmp` does.
//!
//! **Architecture invariant:** nothing here links or loads MLX. Build scripts
//! and `cargo xtask doctor` use this crate before there is anything to link.
#![forbid(unsafe_code)]

mod blas;
mod error;
mod fetch;
mod platform;
mod record;
mod trust;
mod variant;
mod wheel;

use std::path::{Path, PathBuf};

pub use blas::Blas;
pub use error::Error;
pub use platform::cache_dir;
pub use variant::Variant;
pub use wheel::digest;

use platform::Platform;

/// The one MLX version that headers, library and bindings are made for.
pub const MLX_VERSION: &str = "0.32.2";

/// The environment variables that decide which runtime [`Runtime::ensure`] finds.
///
/// A build script that calls it names them in `cargo::rerun-if-env-changed`.
pub const ENV: [&str; 4] = [
    "MLX_HOME",
    "EMILY_CACHE",
    "EMILY_MLX_VARIANT",
    "EMILY_CHECK_ONLY",
];

/// Whether `EMILY_CHECK_ONLY` says that nothing is to be linked: build scripts then neither fetch
/// MLX nor compile C++, so that `cargo check --target …` needs Rust alone, for any platform.
#[must_use]
pub fn check_only() -> bool {
    std::env::var_os("EMILY_CHECK_ONLY").is_some_and(|value| !value.is_empty())
}

/// An MLX of version [`MLX_VERSION`], for this machine or for what a build script builds for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    home: PathBuf,
    lib_dir: PathBuf,
    variant: Variant,
}

impl Runtime {
    /// Finds the runtime, fetching it into the cache if it is not there.
    ///
    /// `MLX_HOME`, when set, is used as it is and never written to; `variant`
    /// is then taken on trust. A cached runtime is compared with the digests of what was unpacked, and has
    /// to be nobody else's to change, at every call; it is also told to use the system's OpenBLAS, if there
    /// is one.
    ///
    /// # Errors
    /// Each [`Error`] says what is missing and what to do about it.
    pub fn ensure(variant: Variant) -> Result<Self, Error> {
        if let Some(home) = platform::env_path("MLX_HOME")? {
            return Self::installed(home, variant);
        }
        let wheels = variant.wheels()?;
        let target = Platform::target();
        if target != Platform::here() {
            return Err(Error::OtherPlatform {
                os: target.os,
                arch: target.arch,
            });
        }
        Self::cached(&cache_dir()?, wheels, variant)
    }

    /// The one that lies in this directory, or is fetched into it.
    fn cached(cache: &Path, wheels: &str, variant: Variant) -> Result<Self, Error> {
        let cache = trust::cache(cache)?;
        let name = format!("mlx-{MLX_VERSION}-{variant}");
        let unpacked = cache.join(&name);
        if !record::is_of(&unpacked, wheels) {
            fetch::fetch(&cache, &name, wheels)?;
        }
        record::verify(&unpacked)?;
        let runtime = Self::installed(unpacked.join("mlx"), variant)?;
        blas::refresh(&unpacked)?;
        Ok(runtime)
    }

    /// The MLX installed at `home`, if it is one and of the right version.
    fn installed(home: PathBuf, variant: Variant) -> Result<Self, Error> {
        let header = home.join("include/mlx/version.h");
        let Some(found) = std::fs::read_to_string(&header)
            .ok()
            .as_deref()
            .and_then(header_version)
        else {
            return Err(Error::NotMlx {
                home,
                missing: "include/mlx/version.h".into(),
            });
        };
        if found != MLX_VERSION {
            return Err(Error::WrongVersion { home, found });
        }
        let Some(lib_dir) = library_dir(&home) else {
            return Err(Error::NotMlx {
                home,
                missing: format!("lib/{}", Platform::target().library()),
            });
        };
        Ok(Self {
            home,
            lib_dir,
            variant,
        })
    }

    /// The directory that holds `include` and `lib`; good as an `MLX_HOME`.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The variant it was asked for as.
    #[must_use]
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// Where the C++ headers (`mlx/mlx.h`) are.
    #[must_use]
    pub fn include_dir(&self) -> PathBuf {
        self.home.join("include")
    }

    /// The directory to link against and to find the library in at run time.
    #[must_use]
    pub fn lib_dir(&self) -> &Path {
        &self.lib_dir
    }

    /// The shared library itself.
    #[must_use]
    pub fn library(&self) -> PathBuf {
        self.lib_dir.join(Platform::target().library())
    }

    /// The version its headers state, which is always [`MLX_VERSION`].
    #[must_use]
    pub fn version(&self) -> &'static str {
        MLX_VERSION
    }

    /// The BLAS and LAPACK that the library loads.
    #[must_use]
    pub fn blas(&self) -> Blas {
        self.home.parent().map_or(Blas::Own, blas::current)
    }
}

/// The directory under `home` that holds the shared library.
fn library_dir(home: &Path) -> Option<PathBuf> {
    let library = Platform::target().library();
    ["lib", "lib64"]
        .map(|dir| home.join(dir))
        .into_iter()
        .find(|dir| dir.join(library).is_file())
}

/// Reads `major.minor.patch` from the text of `mlx/version.h`.
fn header_version(header: &str) -> Option<String> {
    let part = |name: &str| {
        header.lines().find_map(|line| {
            let number = line
                .strip_prefix("#define MLX_VERSION_")?
                .strip_prefix(name)?;
            number.trim().parse::<u32>().ok()
        })
    };
    Some(format!(
        "{}.{}.{}",
        part("MAJOR")?,
        part("MINOR")?,
        part("PATCH")?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "#define MLX_VERSION_MAJOR 0\n#define MLX_VERSION_MINOR 31\n\
                          #define MLX_VERSION_PATCH 7\n#define MLX_VERSION_NUMERIC \\\n  (100000)\n";

    fn install(header: &str) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        let include = home.path().join("include/mlx");
        std::fs::create_dir_all(&include).unwrap();
        std::fs::write(include.join("version.h"), header).unwrap();
        home
    }

    #[test]
    fn another_version_is_refused_by_name() {
        let home = install(HEADER);
        let error = Runtime::installed(home.path().into(), Variant::Cpu).unwrap_err();
        assert!(
            matches!(&error, Error::WrongVersion { found, .. } if found == "0.31.7"),
            "{error}"
        );
    }

    #[test]
    fn a_home_without_the_library_is_refused() {
        let home = install(&HEADER.replace("31", "32").replace('7', "2"));
        let error = Runtime::installed(home.path().into(), Variant::Cpu).unwrap_err();
        assert!(matches!(&error, Error::NotMlx { missing, .. } if missing.starts_with("lib/")));
    }

    #[test]
    fn a_library_that_was_planted_in_the_cache_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let cache = trust::cache(&dir.path().join("cache")).unwrap();
        let unpacked = cache.join(format!("mlx-{MLX_VERSION}-cpu"));
        let include = unpacked.join("mlx/include/mlx");
        std::fs::create_dir_all(&include).unwrap();
        let header = HEADER.replace("31", "32").replace('7', "2");
        std::fs::write(include.join("version.h"), header).unwrap();
        let library = unpacked.join("mlx/lib").join(Platform::target().library());
        std::fs::create_dir_all(library.parent().unwrap()).unwrap();
        std::fs::write(&library, "library").unwrap();
        record::write(&unpacked, "wheels").unwrap();
        let ensured = || Runtime::cached(&cache, "wheels", Variant::Cpu);
        assert_eq!(ensured().unwrap().library(), library);
        std::fs::write(&library, "planted").unwrap();
        let error = ensured().unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
    }

    #[test]
    fn a_home_without_headers_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let error = Runtime::installed(home.path().into(), Variant::Cpu).unwrap_err();
        assert!(matches!(error, Error::NotMlx { .. }));
    }
}
