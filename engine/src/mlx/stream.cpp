// What a stream's owner asks of it: src/mlx/array.rs.

#include <cstddef>
#include <cstdio>
#include <exception>

#include "mlx/array.h"

namespace mx = mlx::core;

extern "C" {

// 1 where an array is computed, 0 where it is not yet, and -1 where a kernel of its stream failed: this is told once,
// and `text` says why.
int emily_is_there(const void* array, char* text, size_t room) noexcept {
  try {
    return static_cast<const mx::array*>(array)->is_available() ? 1 : 0;
  } catch (const std::exception& error) {
    std::snprintf(text, room, "%s", error.what());
  } catch (...) {
    std::snprintf(text, room, "a kernel failed");
  }
  return -1;
}
}
