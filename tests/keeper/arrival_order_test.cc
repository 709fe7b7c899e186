// The order of arrival in which the overflow queue gives its jobs.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "core/keeper/arrival_order.h"
#include "tests/support/random.h"

namespace ringmill::test {
namespace {

constexpr std::uint64_t bit_a = 1;
constexpr std::uint64_t bit_b = 2;

std::vector<std::uint64_t> times_of(ArrivalOrder& order, std::uint64_t kind_bits = ~std::uint64_t{0}) {
  std::vector<std::uint64_t> times;
  while (ArrivalRow* const row = order.first(kind_bits)) times.push_back(row->pop().enqueued_at_ns);
  return times;
}

TEST(ArrivalOrderInProcess, nothing_is_given_before_it_is_settled) {
  ArrivalOrder order;
  order.add({.enqueued_at_ns = 5, .hint = 1}, bit_a);
  EXPECT_EQ(order.first(), nullptr);
  EXPECT_FALSE(order.is_empty());
  order.settle(4);
  EXPECT_EQ(order.first(), nullptr);
  order.settle(5);
  EXPECT_EQ(times_of(order), std::vector<std::uint64_t>{5});
  EXPECT_TRUE(order.is_empty());
}

TEST(ArrivalOrderInProcess, jobs_that_a_later_pass_finds_stand_where_their_time_says) {
  ArrivalOrder order;
  for (const std::uint64_t time : {3, 1, 7}) order.add({.enqueued_at_ns = time, .hint = time}, bit_a);
  order.settle(3);
  for (const std::uint64_t time : {6, 5, 9}) order.add({.enqueued_at_ns = time, .hint = time}, bit_a);
  order.settle(9);
  EXPECT_EQ(times_of(order), (std::vector<std::uint64_t>{1, 3, 5, 6, 7, 9}));
}

TEST(ArrivalOrderInProcess, a_job_that_is_queued_again_comes_before_younger_ones) {
  ArrivalOrder order;
  for (const std::uint64_t time : {10, 20}) order.add({.enqueued_at_ns = time, .hint = time}, bit_a);
  order.settle(20);
  order.add({.enqueued_at_ns = 15, .hint = 15}, bit_a);
  order.settle(20);
  EXPECT_EQ(times_of(order), (std::vector<std::uint64_t>{10, 15, 20}));
}

TEST(ArrivalOrderInProcess, one_kind_is_given_without_a_walk_through_the_others) {
  ArrivalOrder order;
  for (std::uint64_t time = 1; time <= 1000; ++time) order.add({.enqueued_at_ns = time, .hint = time}, bit_a);
  order.add({.enqueued_at_ns = 1001, .hint = 1001}, bit_b);
  order.settle(1001);
  EXPECT_TRUE(order.has_kinds(bit_b));
  EXPECT_EQ(times_of(order, bit_b), std::vector<std::uint64_t>{1001});
  EXPECT_FALSE(order.has_kinds(bit_b));
  EXPECT_EQ(times_of(order).size(), 1000U);
}

TEST(ArrivalOrderInProcess, a_row_stays_where_it_is_while_jobs_of_other_kinds_come) {
  ArrivalOrder order;
  order.add({.enqueued_at_ns = 1, .hint = 1}, bit_a);
  order.settle(1);
  ArrivalRow* const row = order.first();
  for (int bit = 1; bit < 64; ++bit) order.add({.enqueued_at_ns = 2, .hint = 2}, std::uint64_t{1} << bit);
  EXPECT_EQ(order.first(), row);
  EXPECT_EQ(row->pop().hint, 1U);
}

TEST(ArrivalOrderInProcess, any_mixture_of_kinds_comes_in_one_order) {
  std::mt19937_64 random(printed_seed());
  ArrivalOrder order;
  std::uint64_t settled = 0;
  std::vector<std::uint64_t> given;
  for (std::uint64_t round = 1; round <= 50; ++round) {
    for (int n = 0; n < 40; ++n) {
      // Nothing is older than what was settled before.
      const std::uint64_t time = settled + 1 + random() % 300;
      order.add({.enqueued_at_ns = time, .hint = time}, std::uint64_t{1} << (random() % 5));
    }
    settled += 150;
    order.settle(settled);
    for (const std::uint64_t time : times_of(order)) given.push_back(time);
  }
  EXPECT_GT(given.size(), 1000U);
  EXPECT_TRUE(std::ranges::is_sorted(given));
}

}  // namespace
}  // namespace ringmill::test
