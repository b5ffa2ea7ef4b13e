// Included before each of mlx-c's sources: what they expect of the platform
// and Linux, or its compiler, may lack.
#pragma once

#include <version>

#ifdef __cpp_lib_format
#include <format>
#else
#include <sstream>
#include <string>

namespace std {
// As much of std::format as mlx-c uses: plain `{}` and arguments that print.
template <typename... Args>
string format(const char* pattern, const Args&... args) {
  ostringstream out;
  auto put = [&](const auto& arg) {
    for (; *pattern != '\0'; ++pattern) {
      if (pattern[0] == '{' && pattern[1] == '}') {
        pattern += 2;
        out << arg;
        return;
      }
      out << *pattern;
    }
  };
  (put(args), ...);
  out << pattern;
  return out.str();
}
} // namespace std
#endif

// mlx-c names the half-precision types on Arm only. Callers get the bits.
#ifndef __aarch64__
#define HAS_FLOAT16
#define HAS_BFLOAT16
typedef unsigned short float16_t;
typedef unsigned short bfloat16_t;
#endif
