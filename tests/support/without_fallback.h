// For tests of wake-ups: while this lives, no sleeper looks again by itself.
#pragma once

#include <utility>

#include "ipc/sleepers.h"

namespace ringmill::test {

class WithoutFallback {
 public:
  WithoutFallback() : before_(std::exchange(longest_sleep_ns, no_timeout)) {}
  WithoutFallback(const WithoutFallback&) = delete;
  WithoutFallback& operator=(const WithoutFallback&) = delete;
  ~WithoutFallback() { longest_sleep_ns = before_; }

 private:
  std::uint64_t before_;
};

}  // namespace ringmill::test
