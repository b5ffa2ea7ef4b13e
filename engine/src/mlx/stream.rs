//! Streams: one per worker thread, made on it and used on it.

use std::env;
use std::sync::Once;

use emily_spec::{Error, ErrorKind, Result};
use mlx_rs::Stream;

use super::initialize;
use crate::Device;

/// A new stream that belongs to this thread. MLX never frees it, so threads keep theirs.
///
/// # Errors
/// [`ErrorKind::Internal`] where MLX refuses.
pub(crate) fn new_stream(device: Device) -> Result<Stream> {
    initialize();
    let device = match device {
        Device::Cpu => mlx_rs::Device::cpu(),
        Device::Gpu => {
            configure_cuda();
            mlx_rs::Device::gpu()
        }
    };
    let stream = Stream::new_with_device(&device);
    if stream.as_ptr().ctx.is_null() {
        return Err(Error::new(
            ErrorKind::Internal,
            format!("MLX could not make a stream on {device}"),
        ));
    }
    Ok(stream)
}

/// Waits until everything on the stream is computed.
///
/// # Errors
/// What MLX reports of the work it waited for.
pub(crate) fn synchronize(stream: &Stream) -> Result<()> {
    // SAFETY: the stream is live, and belongs to this thread.
    if unsafe { mlx_sys::mlx_synchronize(stream.as_ptr()) } == 0 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Internal,
        "MLX could not wait for its stream",
    ))
}

/// MLX's defaults on CUDA that do not suit several workers and exact answers; a variable that the
/// user has set stays.
fn configure_cuda() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for (name, value) in [
            // Two threads that capture graphs at once abort the process.
            ("MLX_USE_CUDA_GRAPHS", "0"),
            // TF32 keeps ten bits of an f32's mantissa.
            ("MLX_ENABLE_TF32", "0"),
        ] {
            if cfg!(target_os = "linux") && env::var_os(name).is_none() {
                // SAFETY: runs once, before the first GPU stream, so before MLX and CUDA read the
                // variable. What remains is another thread of the process that reads the
                // environment at this very moment through C: the BEAM's own calls do not, they
                // keep a copy.
                unsafe { env::set_var(name, value) };
            }
        }
    });
}
