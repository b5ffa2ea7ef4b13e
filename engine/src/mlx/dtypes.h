// MLX's dtypes in the order of `DType::ALL`, which is how the engine's functions in C++ are told of one.

#pragma once

#include "mlx/dtype.h"

namespace emily {

inline const mlx::core::Dtype DTYPES[] = {
    mlx::core::uint8,
    mlx::core::uint16,
    mlx::core::uint32,
    mlx::core::uint64,
    mlx::core::int8,
    mlx::core::int16,
    mlx::core::int32,
    mlx::core::int64,
    mlx::core::float16,
    mlx::core::bfloat16,
    mlx::core::float32,
    mlx::core::float64,
    mlx::core::complex64,
};

} // namespace emily
