// For the main() of a program: an error that nothing can be done about ends it.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <type_traits>
#include <utility>

#include <ringmill/error.h>

namespace ringmill {

/// Returns the value. If there is none, writes the error's message to standard error and ends the process by
/// std::exit(1). For a program's beginning; not in handlers, which return the error in their outcome.
template <class T>
T or_exit(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "%s\n", result.error().message().c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

}  // namespace ringmill
