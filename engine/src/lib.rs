//! Emily's engine: ops on MLX, called from any thread, run on workers that own their MLX stream.
//!
//! [`Worker::submit`] infers the result's type, so that a wrong shape, dtype or attribute is an
//! error at the call, then queues the op and returns the result's [`Handle`] at once; a small one on
//! a CPU, whose operands are there, it computes. The worker builds MLX's lazy graph in the order of
//! submission and starts evaluation when enough is pending. Reading a handle is the synchronisation. What depends on values (an index out of range, a
//! division by zero) is reported there, as the first cause, by everything computed from it.
//!
//! **Architecture invariants:** an MLX array is touched by the one thread that owns its stream, and
//! by others only once it is evaluated; raw `mlx_sys` calls stand in `mlx/`; nothing here knows the
//! BEAM or the oracle.

mod bytes;
mod config;
mod device;
mod ending;
mod host;
pub mod memory;
mod mlx;
mod ops;
pub mod planted;
mod program;
mod reaper;
mod worker;

pub use bytes::Bytes;
pub use config::Config;
pub use device::Device;
pub use ending::wind_down;
pub use mlx::version;
pub use program::{Prepared, optimised};
pub use worker::{Backlog, Handle, Reply, Worker};

/// The release of MLX this engine is written for; [`Worker::start`] refuses any other.
pub const MLX_VERSION: &str = "0.32.2";
