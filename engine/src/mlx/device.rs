//! The MLX that is loaded, and its devices.

use std::ffi::CStr;
use std::sync::Once;

/// Initializes MLX, once, before anything else is asked of it.
///
/// mlx-c's own handler of errors prints and calls `exit`; mlx-rs replaces it within its first fallible call.
/// And MLX's allocator makes the last of several GPUs the current one of the thread that it is made on, which
/// could then not move a buffer of the first to where the CPU reads: it is made on a thread that ends.
pub(crate) fn initialize() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        // Reads a counter of the allocator, and cannot fail.
        let first = || drop(mlx_rs::memory::active_memory());
        match std::thread::Builder::new().spawn(first) {
            Ok(thread) => drop(thread.join()),
            // A process that may have no more threads can have no worker either.
            Err(_) => first(),
        }
    });
}

/// True when MLX was built with a GPU backend and finds a device for it.
pub(crate) fn gpu_available() -> bool {
    initialize();
    let mut available = false;
    // SAFETY: the device is made, used and freed here, once each; `available` outlives the call
    // that writes it. MLX reports a failure by the status, and leaves `available` as it was.
    unsafe {
        let device = mlx_sys::mlx_device_new_type(mlx_sys::mlx_device_type__MLX_GPU, 0);
        mlx_sys::mlx_device_is_available(&raw mut available, device);
        mlx_sys::mlx_device_free(device);
    }
    available
}

/// The release of the MLX library that is loaded, `"0.32.2"`; empty when it does not say.
pub fn version() -> String {
    initialize();
    // SAFETY: the string is made, filled, read and freed here. Its text ends with a zero byte and
    // lives until the free; where it stayed empty its pointer may be null, which is checked.
    unsafe {
        let mut text = mlx_sys::mlx_string_new();
        let status = mlx_sys::mlx_version(&raw mut text);
        let start = mlx_sys::mlx_string_data(text);
        let version = if status == 0 && !start.is_null() {
            CStr::from_ptr(start).to_string_lossy().into_owned()
        } else {
            String::new()
        };
        mlx_sys::mlx_string_free(text);
        version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_the_release_the_engine_is_written_for() {
        assert_eq!(version(), crate::MLX_VERSION);
    }

    #[test]
    fn asking_for_a_gpu_never_ends_the_process() {
        let there = gpu_available();
        assert_eq!(there, crate::Device::Gpu.check().is_ok());
    }
}
