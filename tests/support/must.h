// Results in tests: the value, or the end of this test with the error's own words.
#pragma once

#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <ringmill/error.h>

namespace ringmill::test {

template <class T>
T must(Result<T> result) {
  if (!result) {
    throw std::runtime_error(std::string(name_of(result.error().code())) + ": " + result.error().message());
  }
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

/// The code of a result that must have failed.
template <class T>
ErrorCode code_of(const Result<T>& result) {
  if (result) throw std::runtime_error("this call was expected to fail, and did not");
  return result.error().code();
}

}  // namespace ringmill::test
