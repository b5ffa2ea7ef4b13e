//! The builds of MLX that Emily runs on, and the wheels each comes in.

use std::fmt;
use std::str::FromStr;

use crate::Error;
use crate::platform::Platform;

/// A build of MLX.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variant {
    /// Processor only.
    Cpu,
    /// NVIDIA GPUs, through CUDA 13.
    Cuda13,
    /// Apple GPUs, through Metal.
    Metal,
}

impl Variant {
    /// Every variant, on every platform.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Cuda13, Self::Metal];

    /// What `EMILY_MLX_VARIANT` names, or the platform's default: Metal on
    /// Apple silicon, the processor elsewhere.
    ///
    /// # Errors
    /// If the variable names no variant.
    pub fn from_env() -> Result<Self, Error> {
        match std::env::var("EMILY_MLX_VARIANT") {
            Ok(name) if !name.is_empty() => name.parse(),
            _ if Platform::target().supported().contains(&Self::Metal) => Ok(Self::Metal),
            _ => Ok(Self::Cpu),
        }
    }

    /// The pinned wheels of this variant, as a requirements file for pip.
    pub(crate) fn wheels(self) -> Result<&'static str, Error> {
        if !Platform::target().supported().contains(&self) {
            return Err(Error::UnsupportedPlatform { variant: self });
        }
        Ok(match self {
            Self::Cpu => include_str!("../wheels/cpu.txt"),
            Self::Cuda13 => include_str!("../wheels/cuda13.txt"),
            Self::Metal => include_str!("../wheels/metal.txt"),
        })
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cpu => "cpu",
            Self::Cuda13 => "cuda13",
            Self::Metal => "metal",
        })
    }
}

impl FromStr for Variant {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|variant| variant.to_string() == name)
            .ok_or_else(|| Error::UnknownVariant(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for variant in Variant::ALL {
            assert_eq!(variant.to_string().parse::<Variant>().unwrap(), variant);
        }
        assert!(matches!(
            "rocm".parse::<Variant>(),
            Err(Error::UnknownVariant(_))
        ));
    }

    #[test]
    fn every_wheel_is_pinned_to_this_version_and_hashed() {
        for &variant in Platform::here().supported() {
            let wheels = variant.wheels().unwrap();
            let mlx = wheels
                .lines()
                .find(|line| line.starts_with("mlx-"))
                .unwrap();
            assert!(mlx.contains(&format!("=={} ", crate::MLX_VERSION)), "{mlx}");
            let logical = wheels.replace("\\\n", " ");
            for line in logical
                .lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
            {
                assert!(
                    line.contains("==") && line.contains("--hash=sha256:"),
                    "{line}"
                );
            }
        }
    }
}
