// How long a job that failed waits before its next attempt.
//
//   fixed:100ms                 always that long
//   exponential:1s,2,1h         1 s after the first attempt, then 2, 4, 8 s ..., never more than 1 h; of that a random
//                               part (full jitter), so that jobs that failed together do not come back together
//   exponential:1s,1.5,1h,none  the same by another factor, without jitter
//   list:1s,10s,5m              one after the other; the last one is repeated
//
// A delay is 0 to 24 days, in whole milliseconds (250us is 1 ms). The factor is 1 to 1000 with at most three decimals.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <ringmill/error.h>

namespace ringmill {

class Backoff {
 public:
  /// No delay is longer: what is added to a clock stays far from its end, and 31 bits hold it.
  static constexpr std::chrono::milliseconds most_delay = std::chrono::days(24);
  /// Of a canonical text: what the segment's name entries hold.
  static constexpr std::size_t most_text = 63;
  /// What a job has that says nothing else. The first retries come soon, for what is only briefly out of order; after
  /// twelve failures it is an hour, which a broken peer can bear; and no two jobs come back in step.
  static constexpr std::string_view default_text = "exponential:1s,2,1h";

  /// The policy of default_text.
  Backoff() noexcept = default;
  /// Error invalid_argument: says what is wrong with which part.
  static Result<Backoff> parse(std::string_view text);

  /// The one text of this policy, at most most_text bytes of [a-z0-9:,.]: parse() of it gives the same policy, and two
  /// policies are equal when their texts are.
  std::string text() const;

  /// The delay after `attempts_ended` attempts have failed (0 is taken for 1), for any number of them: the arithmetic
  /// saturates at the policy's own bound, which is at most most_delay. `random` is 64 random bits, for jitter only.
  /// Allocates nothing.
  std::uint64_t delay_ms(std::uint64_t attempts_ended, std::uint64_t random) const noexcept;

  bool operator==(const Backoff&) const noexcept = default;

 private:
  enum class Shape : std::uint8_t { fixed, exponential, list };
  /// As many as a text of most_text bytes can have ("list:0us,0us,..." has fewer; "list:1s,2s,..." is the longest).
  static constexpr std::size_t most_delays = (most_text + 1 - 5) / 3;

  static Result<Backoff> parse_fixed(std::string_view words);
  static Result<Backoff> parse_exponential(std::string_view words);
  static Result<Backoff> parse_list(std::string_view words);

  Shape shape_ = Shape::exponential;
  bool full_jitter_ = true;
  std::uint8_t count_ = 2;
  std::uint32_t factor_thousandths_ = 2000;
  /// Milliseconds. fixed: the one; exponential: base and cap; list: all of them. The rest is zero.
  std::array<std::uint32_t, most_delays> delays_{1000, 3'600'000};
};

/// A canonical text: what Backoff::text() gives. is_valid_name() does not hold for it: a name has no comma, but all the
/// rest of these characters.
bool is_valid_backoff(std::string_view text);

}  // namespace ringmill
