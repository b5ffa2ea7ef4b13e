// Updates added at places of a tensor, each sum as IEEE 754 has it: src/mlx/cuda.rs.

namespace emily {

// What counts places of this type, and a step beyond the last of them.
template <typename Place>
struct Counter;

template <>
struct Counter<int32_t> {
  using Type = uint32_t;
};

template <>
struct Counter<int64_t> {
  using Type = uint64_t;
};

// The card's own atomic addition takes subnormal numbers for zero. Beside a value of 2^-100 or more a subnormal one is
// nothing anyway, and no sum of such a value is subnormal.
inline __device__ void add(float* to, float value) {
  if (!(fabsf(value) < 0x1p-100f)) {
    atomicAdd(to, value);
    return;
  }
  auto* bits = reinterpret_cast<unsigned int*>(to);
  unsigned int old = *reinterpret_cast<volatile unsigned int*>(bits);
  while (true) {
    float was = __uint_as_float(old);
    unsigned int sum = __float_as_uint(__fadd_rn(was, value));
    // Zeros change nothing as a rule, and a NaN stays one.
    if (sum == old || isnan(was)) {
      return;
    }
    unsigned int seen = atomicCAS(bits, old, sum);
    if (seen == old) {
      return;
    }
    old = seen;
  }
}

// The update in `row` and `column` is added at the sum of the two places.
template <typename Place>
inline __device__ void indexed_add(
    const float* updates,
    const Place* rows,
    const Place* columns,
    float* out,
    int height,
    int width) {
  using Count = typename Counter<Place>::Type;
  Count size = Count(height) * Count(width);
  Count step = Count(gridDim.x) * blockDim.x;
  for (Count i = Count(blockIdx.x) * blockDim.x + threadIdx.x; i < size; i += step) {
    Count row = i / Count(width);
    add(out + rows[row] + columns[i - row * Count(width)], updates[i]);
  }
}

} // namespace emily
