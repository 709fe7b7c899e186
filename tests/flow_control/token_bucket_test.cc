// The rate limit's arithmetic, on a clock that the test moves.
#include <algorithm>
#include <atomic>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "core/flow_control/token_bucket.h"
#include "tests/support/random.h"

namespace ringmill::test {
namespace {

constexpr std::uint64_t ms = 1'000'000;
constexpr std::uint64_t noon = 1'000'000 * ms;

constexpr TokenRate hundred_a_second(std::uint32_t burst) {
  return {.period_ns = 1000 * ms, .count = 100, .burst = burst};
}

TEST(TokenBucketInProcess, tokens_are_an_interval_apart_once_the_burst_is_used_up) {
  std::atomic<std::uint64_t> word{0};
  for (std::uint64_t n = 0; n < 3; ++n) EXPECT_EQ(take_token(word, noon, hundred_a_second(3)), noon);
  for (std::uint64_t n = 1; n < 1000; ++n) EXPECT_EQ(take_token(word, noon, hundred_a_second(3)), noon + n * 10 * ms);
}

TEST(TokenBucketInProcess, a_second_of_takers_gets_a_second_of_tokens) {
  std::atomic<std::uint64_t> word{0};
  std::uint32_t count = 0;
  for (std::uint64_t now = noon; now < noon + 1000 * ms; now += ms) {
    if (next_token(word.load(), now, hundred_a_second(1)).due_ns == now) {
      EXPECT_EQ(take_token(word, now, hundred_a_second(1)), now);
      ++count;
    }
  }
  EXPECT_EQ(count, 100U);
}

TEST(TokenBucketInProcess, no_span_has_more_tokens_than_burst_and_rate_allow) {
  std::mt19937_64 random(printed_seed());
  for (const std::uint32_t burst : {1U, 2U, 7U, 100U}) {
    std::atomic<std::uint64_t> word{0};
    std::vector<std::uint64_t> due;
    std::uint64_t now = noon;
    for (int n = 0; n < 2000; ++n) {
      now += random() % 4 == 0 ? random() % (300 * ms) : random() % (8 * ms);
      due.push_back(take_token(word, now, hundred_a_second(burst)));
      EXPECT_GE(due.back(), now);
      EXPECT_GE(due.back(), due[due.size() - std::min<std::size_t>(due.size(), 2)]) << "tokens overtake each other";
    }
    for (std::size_t first = 0; first < due.size(); ++first) {
      for (std::size_t last = first + burst; last < std::min(first + burst + 50, due.size()); ++last) {
        ASSERT_LE((last - first + 1 - burst) * 10 * ms, due[last] - due[first]) << "burst " << burst;
      }
    }
  }
}

TEST(TokenBucketInProcess, a_word_of_nonsense_gives_a_token_within_ten_years) {
  constexpr std::uint64_t ten_years_ns = most_wait_ms * ms;
  for (const std::uint64_t word : {std::uint64_t{0}, std::numeric_limits<std::uint64_t>::max()}) {
    for (const TokenRate rate : {TokenRate{}, TokenRate{.period_ns = ~0ULL, .count = 0, .burst = ~0U},
                                 TokenRate{.period_ns = 0, .count = ~0U, .burst = 0}}) {
      const Token token = next_token(word, noon, rate);
      EXPECT_GE(token.due_ns, noon);
      EXPECT_LE(token.due_ns, noon + ten_years_ns);
      EXPECT_GE(token.next_ns, token.due_ns);
    }
  }
}

}  // namespace
}  // namespace ringmill::test
