//! Constants of any element type.

use emily_spec::{DType, Shape, TensorType};
use half::{bf16, f16};
use mlx_rs::Array;

use super::upload;

/// The integer `value` as a scalar of this dtype: modulo 2^bits, or the nearest float.
pub(crate) fn integer(dtype: DType, value: i128) -> Array {
    if dtype.is_integer() {
        return from_bytes(dtype, &value.to_le_bytes()[..dtype.size()]);
    }
    real(dtype, value as f64)
}

/// `value` as a scalar of this dtype: the nearest float, or truncated to an integer.
pub(crate) fn real(dtype: DType, value: f64) -> Array {
    match dtype {
        DType::F16 => from_bytes(dtype, &f16::from_f32(odd(value)).to_ne_bytes()),
        DType::Bf16 => from_bytes(dtype, &bf16::from_f32(odd(value)).to_ne_bytes()),
        DType::F32 => from_bytes(dtype, &(value as f32).to_ne_bytes()),
        DType::F64 => from_bytes(dtype, &value.to_ne_bytes()),
        DType::C64 => complex(value, 0.0),
        DType::U8
        | DType::U16
        | DType::U32
        | DType::U64
        | DType::S8
        | DType::S16
        | DType::S32
        | DType::S64 => integer(dtype, value as i128),
    }
}

/// The `f32` towards zero, its last bit set where that is inexact: what it rounds to in fewer digits
/// is what the value itself rounds to (the crate `half` drops the low half of an `f64`).
fn odd(value: f64) -> f32 {
    let near = value as f32;
    if !near.is_finite() || f64::from(near) == value {
        return near;
    }
    let above = f64::from(near).abs() > value.abs();
    f32::from_bits((near.to_bits() - u32::from(above)) | 1)
}

/// The nearest complex number as a scalar.
pub(crate) fn complex(re: f64, im: f64) -> Array {
    let parts = [re, im].map(|part| (part as f32).to_ne_bytes());
    from_bytes(DType::C64, parts.as_flattened())
}

fn from_bytes(dtype: DType, bytes: &[u8]) -> Array {
    let ty = TensorType::new(dtype, Shape::scalar());
    upload(&ty, bytes).expect("a scalar's bytes are its dtype's size")
}
