// The window of claims in advance, without an engine.
#include "core/participant/prefetch_window.h"

#include <gtest/gtest.h>

namespace ringmill::test {
namespace {

/// Claims a batch as a consumer does, and hands it out. Returns how many jobs the window asked for.
std::uint32_t run_batch(PrefetchWindow& window, std::uint64_t& now_ns, std::uint64_t handler_ns) {
  const std::uint32_t asked = window.adapt(now_ns);
  window.begin(now_ns);
  window.fill(asked);
  while (!window.is_empty()) {
    static_cast<void>(window.next());
    now_ns += handler_ns;
  }
  return asked;
}

TEST(PrefetchWindow, begins_with_one_job_and_grows_twofold_while_handlers_are_fast) {
  PrefetchWindow window;
  window.restart(64);
  std::uint64_t now_ns = 1'000'000;
  for (const std::uint32_t expected : {1U, 2U, 4U, 8U, 16U, 32U, 64U, 64U}) {
    EXPECT_EQ(run_batch(window, now_ns, 100), expected);
  }
  EXPECT_FALSE(window.is_slow());
}

TEST(PrefetchWindow, asks_for_as_many_jobs_as_take_200_us) {
  PrefetchWindow window;
  window.restart(64);
  std::uint64_t now_ns = 1'000'000;
  for (int n = 0; n < 8; ++n) run_batch(window, now_ns, 10'000);
  EXPECT_EQ(run_batch(window, now_ns, 10'000), 20U);
  EXPECT_TRUE(window.is_slow());
}

TEST(PrefetchWindow, goes_back_to_one_job_at_the_first_slow_batch) {
  PrefetchWindow window;
  window.restart(64);
  std::uint64_t now_ns = 1'000'000;
  for (int n = 0; n < 8; ++n) run_batch(window, now_ns, 100);
  EXPECT_EQ(run_batch(window, now_ns, 1'000'000), 64U);
  EXPECT_EQ(run_batch(window, now_ns, 1'000'000), 1U);
}

TEST(PrefetchWindow, asks_for_no_more_than_the_subscription_allows) {
  PrefetchWindow window;
  window.restart(3);
  std::uint64_t now_ns = 1'000'000;
  for (int n = 0; n < 8; ++n) EXPECT_LE(run_batch(window, now_ns, 1), 3U);
  EXPECT_EQ(run_batch(window, now_ns, 1), 3U);
}

TEST(PrefetchWindow, a_batch_is_measured_from_the_end_of_its_wait) {
  PrefetchWindow window;
  window.restart(64);
  static_cast<void>(window.adapt(1'000'000));
  window.begin(1'000'000);
  window.begin_at(5'000'000'000);  // the claim has waited for five seconds
  window.fill(1);
  static_cast<void>(window.next());
  EXPECT_EQ(window.adapt(5'000'000'100), 2U);
  EXPECT_FALSE(window.is_slow());
}

TEST(PrefetchWindow, hands_claims_out_in_their_order_and_is_empty_afterwards) {
  PrefetchWindow window;
  Claim* const room = window.begin(0);
  for (std::uint32_t n = 0; n < 3; ++n) room[n] = {.index = 10 + n, .slot = n};
  window.fill(3);
  for (std::uint32_t n = 0; n < 3; ++n) EXPECT_EQ(window.next().index, 10 + n);
  EXPECT_TRUE(window.is_empty());
}

TEST(PrefetchWindow, pauses_only_after_a_short_batch_and_before_a_long_one) {
  PrefetchWindow window;
  EXPECT_EQ(window.pauses_to_gather(64), 0U);  // before a first job
  window.note_found(5);
  EXPECT_EQ(window.pauses_to_gather(64), 22U);
  EXPECT_EQ(window.pauses_to_gather(15), 0U);  // handlers are slow
  window.note_found(16);
  EXPECT_EQ(window.pauses_to_gather(64), 0U);
}

}  // namespace
}  // namespace ringmill::test
