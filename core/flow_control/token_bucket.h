// A rate limit: the generic cell rate algorithm, a token bucket in one word.
//
// The word is the time at which the bucket will be full again. Taking a token moves it on by the interval between two
// tokens. A caller may take a token of the future: it gets the time from which the token may be used. So tokens are
// given in order, one to each caller, and no caller has to retry.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "core/table/job_table.h"
#include "ipc/clock.h"

namespace ringmill {

/// `count` tokens in each period; at most `burst` at once after a time without any.
struct TokenRate {
  std::uint64_t period_ns = 0;
  std::uint32_t count = 0;  // 0: no limit
  std::uint32_t burst = 1;

  /// Nothing is believed: whatever stands in shared memory gives some interval.
  constexpr std::uint64_t interval_ns() const noexcept {
    return std::clamp<std::uint64_t>(period_ns / std::max(count, 1U), 1, most_period_ns);
  }
  constexpr std::uint64_t tolerance_ns() const noexcept {
    return std::uint64_t{std::clamp(burst, 1U, most_burst) - 1} * interval_ns();
  }

  static constexpr std::uint64_t most_period_ns = 7ULL * 24 * 3600 * 1'000'000'000;
  static constexpr std::uint32_t most_burst = 10'000;
};

/// The next token, and what the word is once it is taken.
struct Token {
  std::uint64_t due_ns = 0;  // now, or later
  std::uint64_t next_ns = 0;
};
constexpr Token next_token(std::uint64_t word, std::uint64_t now_ns, TokenRate rate) noexcept {
  // Ten years is for ever: beyond that tokens have no order any more.
  const std::uint64_t latest_ns = later_by(now_ns, most_wait_ms * 1'000'000);
  const std::uint64_t from_ns = std::clamp(word, now_ns, latest_ns);
  const std::uint64_t tolerance_ns = rate.tolerance_ns();
  return {.due_ns = std::max(now_ns, from_ns - std::min(from_ns, tolerance_ns)),
          .next_ns = later_by(from_ns, rate.interval_ns())};
}

/// Takes a token; returns from when on it may be used, `now_ns` at the earliest.
inline std::uint64_t take_token(std::atomic<std::uint64_t>& word, std::uint64_t now_ns, TokenRate rate) noexcept {
  std::uint64_t seen = word.load();
  Token token = next_token(seen, now_ns, rate);
  // A lost swap means that another worker got this token: that does not happen 1,000 times in a row.
  for (int left = 1000; left != 0 && !word.compare_exchange_weak(seen, token.next_ns); --left) {
    token = next_token(seen, now_ns, rate);
  }
  return token.due_ns;
}

}  // namespace ringmill
