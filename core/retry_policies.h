// The retry policies that jobs name by number: interned texts in the segment, parsed once per participant.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/error.h>
#include <ringmill/job.h>

#include "core/backoff.h"
#include "ipc/segment.h"

namespace ringmill {

class RetryPolicies {
 public:
  /// Errors: invalid_argument, no_space.
  static Result<RetryPolicy> intern(const Segment& segment, std::string_view text);
  /// The canonical text; nothing for a number that nobody was given.
  static std::optional<std::string> text_of(const Segment& segment, std::uint32_t policy);
  static bool is_known(const Segment& segment, RetryPolicy policy) noexcept {
    return text_of(segment, static_cast<std::uint32_t>(policy)).has_value();
  }

  /// How long a job waits after so many attempts; by the standard policy if the number means nothing. Allocates when a
  /// policy is met for the first time.
  std::uint64_t delay_ms(const Segment& segment, std::uint32_t policy, std::uint32_t attempts);

 private:
  std::vector<std::optional<Backoff>> known_;  // by number
  std::uint64_t random_ = 0;                   // state of the jitter's generator; 0: not begun
};

}  // namespace ringmill
