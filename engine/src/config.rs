//! How a worker is set up.

use crate::Device;

/// A worker's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where its ops run.
    pub device: Device,
    /// Accept `f64`, which MLX has on the CPU only. Off by default, so that code written on a CPU
    /// does not fail on a GPU.
    pub f64: bool,
}

impl Default for Config {
    /// The GPU where there is one, else the CPU; no `f64`.
    fn default() -> Config {
        Config {
            device: Device::preferred(),
            f64: false,
        }
    }
}
