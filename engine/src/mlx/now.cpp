// Arrays that are computed when they are made, outside of any graph: src/mlx/kernel/now.rs.
//
// Nothing here touches a stream, so any thread may call it. An operand is evaluated, so that nobody changes it.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <utility>

#include "mlx/allocator.h"
#include "mlx/array.h"
#include "mlx/backend/common/utils.h"

#include "dtypes.h"

namespace mx = mlx::core;

extern "C" {

// As kernel.cpp has it.
struct EmilyOperand {
  const void* data;
  const int32_t* shape;
  const int64_t* strides;
  size_t rank;
};

// Where an evaluated array's elements are, for as long as it lives.
void emily_operand(const void* handle, EmilyOperand* operand) noexcept {
  const auto& array = *static_cast<const mx::array*>(handle);
  operand->data = array.size() > 0 ? array.data<char>() : nullptr;
  operand->shape = array.shape().data();
  operand->strides = array.strides().data();
  operand->rank = array.ndim();
}

// A computed array, which the caller owns, and the place of its elements, for the caller to write before anybody
// reads; null where there is no memory for one.
void* emily_made(const int32_t* shape, size_t rank, size_t dtype, void** data) noexcept {
  auto type = emily::DTYPES[dtype];
  size_t bytes = mx::size_of(type);
  for (size_t axis = 0; axis < rank; ++axis) {
    bytes *= static_cast<size_t>(shape[axis]);
  }
  auto buffer = mx::allocator::malloc(bytes);
  if (buffer.ptr() == nullptr) {
    return nullptr;
  }
  *data = buffer.raw_ptr();
  try {
    return new mx::array(buffer, mx::Shape(shape, shape + rank), type);
  } catch (...) {
    mx::allocator::free(buffer);
    return nullptr;
  }
}

// What makes a view, as now.rs numbers it.
enum EmilyView { kReshape = 0, kTranspose = 1, kSlice = 2, kBroadcast = 3 };

// A view of an evaluated array, with these strides, from this element on, marked as MLX's own kernels mark it when
// they make one: what reads it later goes by that. The caller owns it; null where there is no memory for it.
void* emily_view(
    const void* handle,
    EmilyView kind,
    const int32_t* shape,
    const int64_t* strides,
    size_t rank,
    int64_t offset) noexcept {
  try {
    const auto& in = *static_cast<const mx::array*>(handle);
    mx::array out(mx::Shape(shape, shape + rank), in.dtype(), nullptr, {});
    out.set_status(mx::array::Status::available);
    mx::Strides steps(strides, strides + rank);
    auto flags = in.flags();
    auto size = in.data_size();
    auto [unrepeated, by_rows, by_columns] = mx::check_contiguity(out.shape(), steps);
    switch (kind) {
      case kReshape: {
        // Of a dense array.
        auto longest = std::max_element(out.shape().begin(), out.shape().end());
        flags.col_contiguous = out.size() <= 1 || out.size() == static_cast<size_t>(*longest);
        break;
      }
      case kTranspose:
        if (flags.contiguous && size == in.size()) {
          flags.row_contiguous = by_rows;
          flags.col_contiguous = by_columns;
        }
        break;
      case kSlice: {
        int64_t first = 0, last = 0;
        for (size_t axis = 0; axis < rank; ++axis) {
          auto reach = steps[axis] * (out.shape()[axis] - 1);
          (steps[axis] > 0 ? last : first) += reach;
        }
        size = static_cast<size_t>(last - first) + 1;
        flags.row_contiguous = by_rows;
        flags.col_contiguous = by_columns;
        flags.contiguous = unrepeated == size;
        break;
      }
      case kBroadcast:
        if (out.size() > in.size()) {
          flags.row_contiguous = flags.col_contiguous = false;
        }
        break;
    }
    out.copy_shared_buffer(in, steps, flags, size, offset);
    return new mx::array(std::move(out));
  } catch (...) {
    return nullptr;
  }
}

// What MLX goes by: whether it is contiguous, so by rows and so by columns, and how many elements it spans.
void emily_marks(const void* handle, size_t marks[4]) noexcept {
  const auto& array = *static_cast<const mx::array*>(handle);
  marks[0] = array.flags().contiguous;
  marks[1] = array.flags().row_contiguous;
  marks[2] = array.flags().col_contiguous;
  marks[3] = array.data_size();
}
}
