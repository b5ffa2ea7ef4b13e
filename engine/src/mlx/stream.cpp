// What a stream's owner asks of it: src/mlx/stream.rs and array.rs.

#include <cstddef>
#include <cstdio>
#include <exception>

#include "mlx/array.h"
#include "mlx/scheduler.h"

namespace mx = mlx::core;

namespace {

// Does what MLX may throw at: -1, with the text of it, where it did.
template <typename F>
int told(char* text, size_t room, F&& ask) noexcept {
  try {
    return ask();
  } catch (const std::exception& error) {
    std::snprintf(text, room, "%s", error.what());
  } catch (...) {
    std::snprintf(text, room, "a kernel failed");
  }
  return -1;
}

} // namespace

extern "C" {

// Has the stream's own thread call `tell` once, after what it was given before. -1 where it does not: a kernel of the
// stream failed, which is told once, and `text` says why.
int emily_tell(
    const void* stream, void (*tell)(void*), void* state, char* text, size_t room) noexcept {
  return told(text, room, [&] {
    mx::scheduler::enqueue(
        *static_cast<const mx::Stream*>(stream), [tell, state] { tell(state); });
    return 1;
  });
}

// 1 where an array is computed, 0 where it is not yet, and -1 where a kernel of its stream failed, as above.
int emily_is_there(const void* array, char* text, size_t room) noexcept {
  return told(text, room, [&] {
    return static_cast<const mx::array*>(array)->is_available() ? 1 : 0;
  });
}
}
