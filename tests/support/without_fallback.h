// For tests of wake-ups: while this lives, nobody who sleeps looks again by itself.
#pragma once

#include <utility>

#include "ipc/sleepers.h"

namespace ringmill::test {

class WithoutFallback {
 public:
  /// `longest_ns` is how long they sleep at most: participants, unless another is given: those who stand by
  /// (longest_standby_ns), the keeper (longest_keeper_rest_ns), the journal thread (longest_journal_rest_ns), those who
  /// wait for a job's end (longest_sleep_for_end_ns).
  explicit WithoutFallback(std::uint64_t& longest_ns = longest_sleep_ns)
      : longest_ns_(longest_ns), before_(std::exchange(longest_ns, no_timeout)) {}
  WithoutFallback(const WithoutFallback&) = delete;
  WithoutFallback& operator=(const WithoutFallback&) = delete;
  ~WithoutFallback() { longest_ns_ = before_; }

 private:
  std::uint64_t& longest_ns_;
  std::uint64_t before_;
};

}  // namespace ringmill::test
