// Waiting for a condition instead of for a time. The bound only ends a test that would hang: nothing is measured by it.
#pragma once

#include <chrono>
#include <thread>

namespace ringmill::test {

inline constexpr std::chrono::seconds generous{30};

template <class Condition>
bool await(Condition&& condition, std::chrono::nanoseconds bound = generous) {
  const auto end = std::chrono::steady_clock::now() + bound;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return condition();
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

}  // namespace ringmill::test
