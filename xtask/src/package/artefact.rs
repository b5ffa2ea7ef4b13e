//! What archives there are, and their names.

/// A build of MLX, as archives are named by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Variant {
    /// The processor only.
    Cpu,
}

/// A platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Target {
    /// Linux with glibc on x86-64.
    #[value(name = "x86_64-unknown-linux-gnu")]
    X86_64Linux,
}

/// One archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Artefact {
    pub(crate) variant: Variant,
    pub(crate) target: Target,
}

/// Emily's version, which the NIF and the Elixir code share.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

impl Variant {
    /// Its name in file names, and what `EMILY_MLX_VARIANT` calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
        }
    }
}

impl Target {
    /// Rust's name of it.
    pub(crate) fn triple(self) -> &'static str {
        match self {
            Self::X86_64Linux => "x86_64-unknown-linux-gnu",
        }
    }
}

impl Artefact {
    pub(crate) fn new(variant: Variant, target: Target) -> Self {
        Self { variant, target }
    }

    /// `emily-0.1.0-cpu-x86_64-unknown-linux-gnu`: version, variant and target.
    pub(crate) fn name(&self) -> String {
        let (variant, target) = (self.variant.name(), self.target.triple());
        format!("emily-{VERSION}-{variant}-{target}")
    }

    pub(crate) fn file_name(&self) -> String {
        format!("{}.tar.gz", self.name())
    }

    /// The most bytes that users should have to wait for.
    pub(crate) fn budget(&self) -> usize {
        match self.variant {
            Variant::Cpu => 20_000_000,
        }
    }
}
