// Functions that mlx-rs calls and only macOS has.
#ifndef __APPLE__
#include <chrono>
#include <cstdint>

// mlx-rs seeds its random state from this clock, which counts from boot.
extern "C" uint64_t mach_approximate_time() {
  return std::chrono::steady_clock::now().time_since_epoch().count();
}
#endif
