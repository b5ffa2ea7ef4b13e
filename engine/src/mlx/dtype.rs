//! Element types in both vocabularies.

use emily_spec::DType;
use mlx_rs::{Array, Dtype};

/// MLX's name for this element type.
pub(crate) const fn to_mlx(dtype: DType) -> Dtype {
    match dtype {
        DType::U8 => Dtype::Uint8,
        DType::U16 => Dtype::Uint16,
        DType::U32 => Dtype::Uint32,
        DType::U64 => Dtype::Uint64,
        DType::S8 => Dtype::Int8,
        DType::S16 => Dtype::Int16,
        DType::S32 => Dtype::Int32,
        DType::S64 => Dtype::Int64,
        DType::F16 => Dtype::Float16,
        DType::Bf16 => Dtype::Bfloat16,
        DType::F32 => Dtype::Float32,
        DType::F64 => Dtype::Float64,
        DType::C64 => Dtype::Complex64,
    }
}

/// The array's element type. A mask is `u8`: MLX stores its bools as bytes 0 and 1.
pub(crate) fn dtype_of(array: &Array) -> DType {
    match array.dtype() {
        Dtype::Bool | Dtype::Uint8 => DType::U8,
        Dtype::Uint16 => DType::U16,
        Dtype::Uint32 => DType::U32,
        Dtype::Uint64 => DType::U64,
        Dtype::Int8 => DType::S8,
        Dtype::Int16 => DType::S16,
        Dtype::Int32 => DType::S32,
        Dtype::Int64 => DType::S64,
        Dtype::Float16 => DType::F16,
        Dtype::Bfloat16 => DType::Bf16,
        Dtype::Float32 => DType::F32,
        Dtype::Float64 => DType::F64,
        Dtype::Complex64 => DType::C64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dtype_survives_the_round_trip() {
        for dtype in DType::ALL {
            let array = mlx_rs::ops::zeros_dtype(&[1], to_mlx(dtype)).unwrap();
            assert_eq!(dtype_of(&array), dtype);
            assert_eq!(array.item_size(), dtype.size());
        }
    }
}
