// A rate limit: the generic cell rate algorithm, a token bucket in one word.
//
// The word is the time at which the bucket will be full again. Taking a token moves it on by the interval between two
// tokens, and is refused while no token is there. A token is taken at the moment when a job begins and never kept, so
// in any span of time at most burst + span / interval jobs begin, whatever stood still before.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "core/table/job_table.h"
#include "ipc/clock.h"
#include "ipc/layout.h"

namespace ringmill {

/// `count` tokens in each period; at most `burst` at once after a time without any.
struct TokenRate {
  std::uint64_t period_ns = 0;
  std::uint32_t count = 0;  // 0: no limit
  std::uint32_t burst = 1;

  static TokenRate of(const KindRule& rule) noexcept {
    return {.period_ns = rule.rate_period_ns.load(), .count = rule.rate_count.load(), .burst = rule.burst.load()};
  }

  /// Nothing is believed: whatever stands in shared memory gives some interval.
  constexpr std::uint64_t interval_ns() const noexcept {
    return std::clamp<std::uint64_t>(period_ns / std::max(count, 1U), 1, most_period_ns);
  }
  constexpr std::uint32_t most_at_once() const noexcept { return std::clamp(burst, 1U, most_burst); }
  constexpr std::uint64_t tolerance_ns() const noexcept { return std::uint64_t{most_at_once() - 1} * interval_ns(); }

  static constexpr std::uint64_t most_period_ns = 7ULL * 24 * 3600 * 1'000'000'000;
  static constexpr std::uint32_t most_burst = 10'000;
};

/// Returns how far the bucket is from full at `now_ns`. A word further away than tokens can move it is damaged, and
/// counts as an empty bucket.
constexpr std::uint64_t lack_ns(std::uint64_t word, std::uint64_t now_ns, TokenRate rate) noexcept {
  return std::min(word - std::min(word, now_ns), rate.tolerance_ns() + rate.interval_ns());
}

/// Returns how many tokens there are.
constexpr std::uint32_t tokens_at(std::uint64_t word, std::uint64_t now_ns, TokenRate rate) noexcept {
  const std::uint64_t lack = lack_ns(word, now_ns, rate);
  if (lack > rate.tolerance_ns()) return 0;
  return static_cast<std::uint32_t>((rate.tolerance_ns() - lack) / rate.interval_ns()) + 1;
}

/// Returns when there will be `count` tokens, 1 to most_at_once(), if none is taken; `now_ns` if they are there.
constexpr std::uint64_t tokens_due_ns(std::uint64_t word, std::uint64_t now_ns, std::uint32_t count,
                                      TokenRate rate) noexcept {
  const std::uint64_t needed_ns = lack_ns(word, now_ns, rate) + std::uint64_t{count - 1} * rate.interval_ns();
  return later_by(now_ns, needed_ns - std::min(needed_ns, rate.tolerance_ns()));
}

/// Takes a token. Returns false if there is none.
inline bool take_token(std::atomic<std::uint64_t>& word, std::uint64_t now_ns, TokenRate rate) noexcept {
  std::uint64_t seen = word.load();
  // A lost swap means that another worker took a token: that does not happen 1,000 times in a row.
  for (int left = 1000; left != 0; --left) {
    const std::uint64_t lack = lack_ns(seen, now_ns, rate);
    if (lack > rate.tolerance_ns()) return false;
    if (word.compare_exchange_weak(seen, later_by(now_ns, lack + rate.interval_ns()))) return true;
  }
  return false;
}

}  // namespace ringmill
