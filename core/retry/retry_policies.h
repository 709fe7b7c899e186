// The retry policies that jobs name by number: interned texts in the segment, parsed once per participant.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/error.h>
#include <ringmill/job.h>

#include "core/retry/backoff.h"
#include "ipc/segment.h"

namespace ringmill {

class RetryPolicies {
 public:
  /// Errors: invalid_argument, no_space.
  static Result<RetryPolicy> intern(const Segment& segment, std::string_view text);
  /// The canonical text; nothing for a number that nobody was given.
  static std::optional<std::string> text_of(const Segment& segment, std::uint32_t policy);
  /// Whether somebody was given this number. Allocates when a policy is met for the first time.
  bool knows(const Segment& segment, RetryPolicy policy);

  /// How long a job waits after so many attempts; by the standard policy if the number means nothing. Allocates when a
  /// policy is met for the first time.
  std::uint64_t delay_ms(const Segment& segment, std::uint32_t policy, std::uint32_t attempts);

 private:
  /// The policy of a number up to most_retry_policies; nothing: nobody was given it, or its text is none.
  const std::optional<Backoff>& find(const Segment& segment, std::uint32_t policy);

  std::vector<std::optional<Backoff>> known_;  // by number
  std::uint64_t random_ = 0;                   // state of the jitter's generator; 0: not begun
};

}  // namespace ringmill
