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
  /// Returns the policy's canonical text, or nothing for a number that is not in use.
  static std::optional<std::string> text_of(const Segment& segment, std::uint32_t policy);
  /// Returns whether the number is in use. Allocates when it meets a policy for the first time.
  bool knows(const Segment& segment, RetryPolicy policy);

  /// How long a job waits after so many attempts; by the standard policy if the number means nothing. Allocates when a
  /// policy is met for the first time.
  std::uint64_t delay_ms(const Segment& segment, std::uint32_t policy, std::uint32_t attempts);

 private:
  /// Returns the policy of a number up to most_retry_policies, or nothing if the number is not in use or its text is
  /// invalid.
  const std::optional<Backoff>& find(const Segment& segment, std::uint32_t policy);

  std::vector<std::optional<Backoff>> known_;  // by number
  std::uint64_t random_ = 0;                   // state of the jitter's generator; 0: not begun
};

}  // namespace ringmill
