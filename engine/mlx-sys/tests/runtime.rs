//! The library that loads is the one the bindings are for, and it computes.
#![expect(unsafe_code, reason = "the bindings are raw")]

use std::ffi::{CStr, c_int};

use mlx_sys::*;

fn ok(status: c_int) {
    assert_eq!(status, 0, "mlx-c reports an error");
}

#[test]
fn the_loaded_library_is_of_the_version_of_the_headers() {
    // SAFETY: the string is live from `new` to `free`, and `mlx_string_data`
    // points into it, ended by a nul.
    let version = unsafe {
        let mut string = mlx_string_new();
        ok(mlx_version(&mut string));
        let version = CStr::from_ptr(mlx_string_data(string))
            .to_str()
            .unwrap()
            .to_owned();
        ok(mlx_string_free(string));
        version
    };
    assert_eq!(version, mlx_runtime::MLX_VERSION);
}

#[test]
fn addition_adds() {
    // SAFETY: every handle is live from its `new` to its `free`.
    let sum = unsafe {
        let stream = mlx_default_cpu_stream_new();
        let (a, b) = (mlx_array_new_float32(1.5), mlx_array_new_float32(2.25));
        let mut out = mlx_array_new();
        ok(mlx_add(&mut out, a, b, stream));
        let mut sum = 0.0;
        ok(mlx_array_item_float32(&mut sum, out));
        for array in [a, b, out] {
            ok(mlx_array_free(array));
        }
        ok(mlx_stream_free(stream));
        sum
    };
    assert_eq!(sum, 3.75);
}

#[test]
fn halves_come_out_as_their_bits() {
    // SAFETY: every handle is live from its `new` to its `free`.
    let (half, brain) = unsafe {
        let stream = mlx_default_cpu_stream_new();
        let one = mlx_array_new_float32(1.0);
        let mut out = mlx_array_new();
        let (mut half, mut brain) = (float16_t(0), 0);
        ok(mlx_astype(&mut out, one, mlx_dtype__MLX_FLOAT16, stream));
        ok(mlx_array_item_float16(&mut half, out));
        ok(mlx_astype(&mut out, one, mlx_dtype__MLX_BFLOAT16, stream));
        ok(mlx_array_item_bfloat16(&mut brain, out));
        for array in [one, out] {
            ok(mlx_array_free(array));
        }
        ok(mlx_stream_free(stream));
        (half.0, brain)
    };
    assert_eq!((half, brain), (0x3c00, 0x3f80));
}
