//! Why there is no runtime, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::platform::Platform;
use crate::{MLX_VERSION, Variant};

/// Why there is no runtime. Every message ends in its remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `python3` is not on the `PATH`.
    #[error(
        "python3 is needed to fetch MLX {MLX_VERSION} and is not on the PATH\n\
         install Python 3 with pip (Debian, Ubuntu: `apt-get install python3-pip`), or point \
         MLX_HOME at an installed MLX {MLX_VERSION}"
    )]
    NoPython,

    /// `python3` has no pip.
    #[error(
        "python3 has no pip, which is needed to fetch MLX {MLX_VERSION}\n\
         install it (`python3 -m ensurepip --user`; Debian, Ubuntu: `apt-get install python3-pip`), \
         or point MLX_HOME at an installed MLX {MLX_VERSION}"
    )]
    NoPip,

    /// pip could not reach its package index.
    #[error(
        "pip could not reach its package index to fetch MLX {MLX_VERSION}\n\
         check the network and pip's settings (`python3 -m pip config list`), or point MLX_HOME \
         at an installed MLX {MLX_VERSION}\npip said:\n{output}"
    )]
    NoNetwork {
        /// What pip wrote.
        output: String,
    },

    /// A wheel is not the one whose hash is pinned.
    #[error(
        "a wheel of MLX {MLX_VERSION} does not have the pinned hash and was not unpacked\n\
         the index or a proxy serves other files than the ones Emily was tested with; try \
         another index (PIP_INDEX_URL), and tell us if that fails too\npip said:\n{output}"
    )]
    HashMismatch {
        /// What pip wrote.
        output: String,
    },

    /// The index has no wheel that fits this machine.
    #[error(
        "pip found no wheel of MLX {MLX_VERSION} for this machine\n\
         Linux needs glibc 2.35 or newer and pip 20.3 or newer, macOS needs 14.0 or newer; also \
         check that pip's index carries MLX (`python3 -m pip config list`)\npip said:\n{output}"
    )]
    NoWheel {
        /// What pip wrote.
        output: String,
    },

    /// Python failed in some other way.
    #[error("{step} failed\npython3 said:\n{output}")]
    Python {
        /// What it was doing.
        step: &'static str,
        /// What it wrote.
        output: String,
    },

    /// MLX publishes no wheel of the variant for this platform.
    #[error(
        "MLX's {variant} variant does not run on {} {}; {}",
        Platform::target().os,
        Platform::target().arch,
        supported()
    )]
    UnsupportedPlatform {
        /// The variant asked for.
        variant: Variant,
    },

    /// It is built for another platform than this one.
    #[error(
        "MLX {MLX_VERSION} for {os} {arch} is not fetched from another platform\n\
         point MLX_HOME at one, or set EMILY_CHECK_ONLY=1 if `cargo check` is all that is wanted"
    )]
    OtherPlatform {
        /// The system built for.
        os: String,
        /// Its processor.
        arch: String,
    },

    /// `EMILY_MLX_VARIANT` names no variant.
    #[error("EMILY_MLX_VARIANT is `{0}`; it can be cpu, cuda13 or metal")]
    UnknownVariant(String),

    /// `MLX_HOME` is not an installation of MLX with a shared library.
    #[error(
        "{} is no installed MLX with a shared library: it has no {missing}\n\
         unset MLX_HOME to use the cached runtime, or install MLX {MLX_VERSION} there (CMake: \
         -DBUILD_SHARED_LIBS=ON)",
        home.display()
    )]
    NotMlx {
        /// Where it was looked for.
        home: PathBuf,
        /// The file that is not there.
        missing: String,
    },

    /// The headers are of another version.
    #[error(
        "{} holds MLX {found}, and Emily needs {MLX_VERSION}: other versions differ in their ABI\n\
         unset MLX_HOME to use the cached runtime, or install MLX {MLX_VERSION} there",
        home.display()
    )]
    WrongVersion {
        /// Where the headers are.
        home: PathBuf,
        /// The version they state.
        found: String,
    },

    /// Somebody else could put another library there, or has.
    #[error(
        "{} {why}: whoever can change it runs code in every process that loads MLX\n\
         make it yours alone (`chown`, `chmod go-w`) if you know what is in it, or point EMILY_CACHE at a \
         directory of your own",
        path.display()
    )]
    Untrusted {
        /// What is not trusted.
        path: PathBuf,
        /// Why it is not.
        why: String,
    },

    /// The runtime in the cache is not what was unpacked there.
    #[error(
        "the MLX runtime in {} is not what was unpacked there: {name} {what}\n\
         remove that directory, unless you want to know who changed it, and build again: it is fetched anew",
        tree.display()
    )]
    Damaged {
        /// Where it is.
        tree: PathBuf,
        /// The file that differs.
        name: String,
        /// How it differs.
        what: &'static str,
    },

    /// A wheel holds what no wheel should.
    #[error("{wheel} was not unpacked: {why}\nthat is no wheel of MLX's; please tell us")]
    BadWheel {
        /// Its file name.
        wheel: String,
        /// What is wrong with it.
        why: String,
    },

    /// A variable that binaries will depend on holds a relative path.
    #[error("{variable} must be an absolute path, and is `{}`", path.display())]
    RelativePath {
        /// The variable.
        variable: &'static str,
        /// What it holds.
        path: PathBuf,
    },

    /// There is no directory for caches.
    #[error("there is no HOME to keep the MLX runtime under\nset EMILY_CACHE to a directory")]
    NoCacheDir,

    /// The file system said no.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: an [`Error::Io`] about `path`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

fn supported() -> String {
    match Platform::target().supported() {
        [] => "MLX runs on Linux with glibc (x86_64, aarch64) and on macOS (aarch64)".to_owned(),
        variants => {
            let names: Vec<_> = variants.iter().map(Variant::to_string).collect();
            format!(
                "set EMILY_MLX_VARIANT to one that does ({})",
                names.join(", ")
            )
        }
    }
}
