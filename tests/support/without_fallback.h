// For tests of wake-ups: while this lives, no sleeper checks again without a wake.
#pragma once

#include <utility>

#include "ipc/sleepers.h"

namespace ringmill::test {

class WithoutFallback {
 public:
  /// `longest_ns` bounds the sleep of one sort of sleepers: participants, unless another is given: standby processes
  /// (longest_standby_ns), the keeper (longest_keeper_rest_ns), the journal thread (longest_journal_rest_ns), waits for
  /// a job's end (longest_sleep_for_end_ns).
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
