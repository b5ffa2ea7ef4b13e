//! A kernel of our own on CUDA, in CUDA's C++. MLX makes it when it is first called, as it does its own, and keeps it by
//! its name, on disk too.

use std::ffi::{CStr, CString};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::LazyLock;

use mlx_rs::error::Result;
use mlx_rs::{Array, Dtype};
use mlx_sys::mlx_vector_string;

use super::raw::call;

/// Threads that share a processor.
const BLOCK: i32 = 256;

/// All threads, each of which takes one update after the other.
const MOST: usize = 1 << 24;

/// What the kernel calls.
const FUNCTIONS: &str = include_str!("indexed_add.cuh");

/// Its name, another one for each source, as MLX asks for no more.
static NAME: LazyLock<CString> = LazyLock::new(|| {
    let mut hasher = DefaultHasher::new();
    FUNCTIONS.hash(&mut hasher);
    c_string(&format!("emily_indexed_add_{:016x}", hasher.finish()))
});

static HEADER: LazyLock<CString> = LazyLock::new(|| c_string(FUNCTIONS));

/// Its body, between braces that MLX makes: `updates_shape` is an operand because it is named here.
const BODY: &CStr =
    c"emily::indexed_add(updates, rows, columns, out, updates_shape[0], updates_shape[1]);";

fn c_string(text: &str) -> CString {
    CString::new(text).expect("a source has no zero byte")
}

/// `f32` updates, of a row and a column each, added up at the sum of the two's places in a tensor of that shape.
/// Subnormal sums are kept. Where no update goes is -0.0, which added to a number leaves it.
///
/// Places are all `s32` or all `s64`, and the dtype counts the updates and the places. They are read when the array is
/// evaluated; one out of range writes beyond the result, so the caller clamps them.
pub(crate) fn indexed_add(updates: &Array, places: [&Array; 2], shape: &[i32]) -> Result<Array> {
    let [rows, columns] = places;
    let operands = [updates, rows, columns].map(Array::as_ptr);
    let threads = updates.size().min(MOST) as i32;
    call("indexed_add", |result, stream| {
        // SAFETY: strings, lists and handles are live, and each list goes with its length. What is made here is freed
        // here, once, after its last use. A handle that MLX could not make is empty: the calls that take it say so by
        // their status, and freeing it is allowed.
        unsafe {
            let inputs = mlx_sys::mlx_vector_array_new_data(operands.as_ptr(), operands.len());
            let mut outputs = mlx_sys::mlx_vector_array_new();
            let (of_inputs, of_outputs) =
                (names(&[c"updates", c"rows", c"columns"]), names(&[c"out"]));
            let kernel = mlx_sys::mlx_fast_cuda_kernel_new(
                NAME.as_ptr(),
                of_inputs,
                of_outputs,
                BODY.as_ptr(),
                HEADER.as_ptr(),
                true,
                0,
            );
            let config = mlx_sys::mlx_fast_cuda_kernel_config_new();
            let float = Dtype::Float32.into();
            let statuses = [
                mlx_sys::mlx_fast_cuda_kernel_config_add_output_arg(
                    config,
                    shape.as_ptr(),
                    shape.len(),
                    float,
                ),
                mlx_sys::mlx_fast_cuda_kernel_config_set_grid(config, threads, 1, 1),
                mlx_sys::mlx_fast_cuda_kernel_config_set_thread_group(config, BLOCK, 1, 1),
                mlx_sys::mlx_fast_cuda_kernel_config_set_init_value(config, -0.0),
                // For the name alone: the functions know places by their type.
                mlx_sys::mlx_fast_cuda_kernel_config_add_template_arg_dtype(
                    config,
                    c"Place".as_ptr(),
                    rows.dtype().into(),
                ),
                mlx_sys::mlx_fast_cuda_kernel_apply(
                    &raw mut outputs,
                    kernel,
                    inputs,
                    config,
                    stream,
                ),
                mlx_sys::mlx_vector_array_get(result, outputs, 0),
            ];
            mlx_sys::mlx_fast_cuda_kernel_config_free(config);
            mlx_sys::mlx_fast_cuda_kernel_free(kernel);
            mlx_sys::mlx_vector_string_free(of_inputs);
            mlx_sys::mlx_vector_string_free(of_outputs);
            mlx_sys::mlx_vector_array_free(inputs);
            mlx_sys::mlx_vector_array_free(outputs);
            statuses
                .into_iter()
                .find(|&status| status != 0)
                .unwrap_or(0)
        }
    })
}

/// A list of names, which the caller frees.
fn names(names: &[&CStr]) -> mlx_vector_string {
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: the list outlives the call, which copies the strings, and goes with its length.
    unsafe { mlx_sys::mlx_vector_string_new_data(pointers.as_mut_ptr(), pointers.len()) }
}
