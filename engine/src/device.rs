//! CPU or GPU, by name.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use emily_spec::{Error, ErrorKind, Result};

use crate::mlx;

/// Where ops run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Device {
    /// The CPU; everywhere.
    Cpu,
    /// The first GPU: Metal on a Mac, CUDA on Linux.
    Gpu,
}

impl Device {
    /// The GPU where there is one, else the CPU.
    pub fn preferred() -> Device {
        if gpu_available() {
            Device::Gpu
        } else {
            Device::Cpu
        }
    }

    /// The name in configuration and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Device::Cpu => "cpu",
            Device::Gpu => "gpu",
        }
    }

    /// Checks that the device is there.
    ///
    /// # Errors
    /// [`ErrorKind::Device`] with what to do. MLX itself would end the process.
    pub fn check(self) -> Result<()> {
        match self {
            Device::Cpu => Ok(()),
            Device::Gpu if gpu_available() => Ok(()),
            Device::Gpu => Err(Error::new(
                ErrorKind::Device,
                "no GPU that this MLX can use; ask for the cpu, or build with \
                 EMILY_MLX_VARIANT=cuda13 (Linux with an NVIDIA GPU) or metal (a Mac)",
            )),
        }
    }
}

fn gpu_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(mlx::gpu_available)
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(text: &str) -> Result<Device> {
        match text {
            "cpu" => Ok(Device::Cpu),
            "gpu" => Ok(Device::Gpu),
            _ => Err(Error::new(
                ErrorKind::Argument,
                format!("unknown device {text:?}; known are cpu gpu"),
            )),
        }
    }
}
