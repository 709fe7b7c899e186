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
  constexpr TokenRate rate = hundred_a_second(3);
  for (std::uint32_t left = 3; left != 0; --left) {
    EXPECT_EQ(tokens_at(word, noon, rate), left);
    EXPECT_TRUE(take_token(word, noon, rate));
  }
  EXPECT_EQ(tokens_at(word, noon, rate), 0U);
  EXPECT_FALSE(take_token(word, noon, rate));
  for (std::uint32_t n = 1; n <= 3; ++n) EXPECT_EQ(tokens_due_ns(word, noon, n, rate), noon + n * 10 * ms);
  EXPECT_FALSE(take_token(word, noon + 10 * ms - 1, rate));
  EXPECT_TRUE(take_token(word, noon + 10 * ms, rate));
}

TEST(TokenBucketInProcess, a_second_of_takers_gets_a_second_of_tokens) {
  std::atomic<std::uint64_t> word{0};
  std::uint32_t count = 0;
  for (std::uint64_t now = noon; now < noon + 1000 * ms; now += ms) {
    if (take_token(word, now, hundred_a_second(1))) ++count;
  }
  EXPECT_EQ(count, 100U);
}

TEST(TokenBucketInProcess, tokens_that_nobody_took_do_not_gather_beyond_the_burst) {
  std::atomic<std::uint64_t> word{0};
  for (int n = 0; n < 10; ++n) take_token(word, noon, hundred_a_second(1));
  std::uint32_t count = 0;
  const std::uint64_t after_a_stall = noon + 60'000 * ms;
  while (take_token(word, after_a_stall, hundred_a_second(5))) ++count;
  EXPECT_EQ(count, 5U);
}

TEST(TokenBucketInProcess, no_span_has_more_tokens_than_burst_and_rate_allow) {
  std::mt19937_64 random(printed_seed());
  for (const std::uint32_t burst : {1U, 2U, 7U, 100U}) {
    std::atomic<std::uint64_t> word{0};
    std::vector<std::uint64_t> taken;
    std::uint64_t now = noon;
    while (taken.size() < 2000) {
      now += random() % 16 == 0 ? random() % (300 * ms) : random() % (8 * ms);
      const std::uint32_t there = tokens_at(word, now, hundred_a_second(burst));
      const bool took = take_token(word, now, hundred_a_second(burst));
      ASSERT_EQ(took, there != 0);
      if (took) taken.push_back(now);
    }
    for (std::size_t first = 0; first < taken.size(); ++first) {
      for (std::size_t last = first + burst; last < std::min(first + burst + 50, taken.size()); ++last) {
        ASSERT_LE((last - first + 1 - burst) * 10 * ms, taken[last] - taken[first]) << "burst " << burst;
      }
    }
  }
}

TEST(TokenBucketInProcess, a_word_of_nonsense_is_an_empty_bucket_that_fills) {
  for (const TokenRate rate : {TokenRate{}, TokenRate{.period_ns = ~0ULL, .count = 0, .burst = ~0U},
                               TokenRate{.period_ns = 0, .count = ~0U, .burst = 0}}) {
    std::atomic<std::uint64_t> word{std::numeric_limits<std::uint64_t>::max()};
    EXPECT_FALSE(take_token(word, noon, rate));
    EXPECT_LE(tokens_due_ns(word, noon, 1, rate), noon + rate.interval_ns());
    word = noon;
    EXPECT_TRUE(take_token(word, noon, rate));
  }
}

}  // namespace
}  // namespace ringmill::test
