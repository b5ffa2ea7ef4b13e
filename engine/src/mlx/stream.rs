//! Streams: one per worker thread, made on it and used on it.

use std::env;
use std::ffi::{c_char, c_int, c_void};
use std::sync::{Arc, Once};

use emily_spec::{Error, ErrorKind, Result};
use mlx_rs::Stream;

use super::error::answered;
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

/// Who is told that a stream has come to some point.
pub(crate) trait Told: Send + Sync + 'static {
    /// Called on MLX's thread of the stream, so it takes but a moment.
    fn tell(&self);
}

/// Tells `who` once the stream, a CPU's, has computed all that it was given before. Of a GPU's stream MLX has no thread to
/// ask.
///
/// # Errors
/// That of a kernel which failed on the stream, which MLX tells once; then nobody is told of the end.
pub(crate) fn tell<T: Told>(stream: &Stream, who: Arc<T>) -> Result<()> {
    let state = Arc::into_raw(who);
    let answer = answered(|text, room| {
        let (stream, state) = (stream.as_ptr().ctx, state.cast_mut().cast());
        // SAFETY: the handle is an mlx-c one, which points to what MLX calls a stream, a CPU's as promised, and is live.
        // The state may go to its thread, as `Told` is `Send` and `Sync`; a panic there ends the process. The text is of so
        // much room, of which the call writes no more, with a zero at the end. The function is called once, with the
        // state of its type, unless the answer is an error.
        unsafe { emily_tell(stream, told::<T>, state, text, room) }
    });
    if answer.is_err() {
        // SAFETY: it came from `into_raw` above, and nobody else takes it.
        drop(unsafe { Arc::from_raw(state) });
    }
    answer.map(drop)
}

/// # Safety
/// `state` is what `Arc::<T>::into_raw` gave, and this its end.
unsafe extern "C" fn told<T: Told>(state: *mut c_void) {
    // SAFETY: as promised above.
    unsafe { Arc::from_raw(state.cast_const().cast::<T>()) }.tell();
}

unsafe extern "C" {
    fn emily_tell(
        stream: *const c_void,
        tell: unsafe extern "C" fn(*mut c_void),
        state: *mut c_void,
        text: *mut c_char,
        room: usize,
    ) -> c_int;
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
