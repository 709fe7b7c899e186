// The order of arrival in which the overflow queue gives its jobs.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "core/keeper/arrival_order.h"
#include "tests/support/random.h"

namespace ringmill::test {
namespace {

constexpr std::uint64_t bit_a = 1;
constexpr std::uint64_t bit_b = 2;

Arrived arrived(std::uint64_t time) {
  Arrived job;
  job.enqueued_at_ns = time;
  job.hint = time & Ring::hint_mask;
  return job;
}

/// Behind all jobs of this time.
Arrived end_of(std::uint64_t time) {
  Arrived end;
  end.enqueued_at_ns = time;
  end.order = Arrived::most_order;
  return end;
}

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
  order.settle(end_of(4));
  EXPECT_EQ(order.first(), nullptr);
  order.settle(end_of(5));
  EXPECT_EQ(times_of(order), std::vector<std::uint64_t>{5});
  EXPECT_TRUE(order.is_empty());
}

TEST(ArrivalOrderInProcess, jobs_that_a_later_pass_finds_stand_where_their_time_says) {
  ArrivalOrder order;
  for (const std::uint64_t time : {3, 1, 7}) order.add(arrived(time), bit_a);
  order.settle(end_of(3));
  for (const std::uint64_t time : {6, 5, 9}) order.add(arrived(time), bit_a);
  order.settle(end_of(9));
  EXPECT_EQ(times_of(order), (std::vector<std::uint64_t>{1, 3, 5, 6, 7, 9}));
}

TEST(ArrivalOrderInProcess, jobs_of_some_ticks_that_one_pass_finds_mixed_stand_by_tick_and_cell) {
  for (const std::uint64_t ticks : {3, 16, 17, 40}) {
    std::mt19937_64 random(printed_seed());
    ArrivalOrder order;
    std::vector<std::pair<std::uint64_t, std::uint32_t>> expected;
    for (std::uint32_t cell = 0; cell < 2000; ++cell) {
      Arrived job = arrived(1 + random() % ticks);
      job.hint = cell;
      job.order = Arrived::by_cell(cell) & Arrived::most_order;
      expected.emplace_back(job.enqueued_at_ns, cell);
      order.add(job, bit_a);
    }
    std::ranges::sort(expected);
    order.settle(end_of(ticks));
    std::vector<std::pair<std::uint64_t, std::uint32_t>> given;
    while (ArrivalRow* const row = order.first()) {
      const Arrived job = row->pop();
      given.emplace_back(job.enqueued_at_ns, static_cast<std::uint32_t>(job.hint));
    }
    EXPECT_EQ(given, expected) << ticks;
  }
}

TEST(ArrivalOrderInProcess, a_job_that_is_queued_again_comes_before_younger_ones) {
  ArrivalOrder order;
  for (const std::uint64_t time : {10, 20}) order.add(arrived(time), bit_a);
  order.settle(end_of(20));
  order.add(arrived(15), bit_a);
  order.settle(end_of(20));
  EXPECT_EQ(times_of(order), (std::vector<std::uint64_t>{10, 15, 20}));
}

TEST(ArrivalOrderInProcess, jobs_of_one_time_that_return_from_the_ring_stand_before_the_others_in_its_order) {
  ArrivalOrder order;
  const auto of_one_time = [&order](std::uint64_t hint, std::uint32_t place) {
    Arrived job = arrived(hint);
    job.enqueued_at_ns = 5;
    job.order = place & Arrived::most_order;
    order.add(job, bit_a);
  };
  of_one_time(70, Arrived::by_cell(70));
  of_one_time(60, Arrived::by_cell(60));
  order.settle(end_of(5));
  of_one_time(9, Arrived::by_position(1000));
  of_one_time(8, Arrived::by_position(1001));
  order.settle(end_of(5));
  std::vector<std::uint64_t> hints;
  while (ArrivalRow* const row = order.first()) hints.push_back(row->pop().hint);
  EXPECT_EQ(hints, (std::vector<std::uint64_t>{9, 8, 60, 70}));
}

TEST(ArrivalOrderInProcess, a_job_that_a_pass_missed_comes_in_the_order_of_its_cell_among_those_of_its_time) {
  ArrivalOrder order;
  const auto found = [&order](std::uint32_t cell) {
    Arrived job = arrived(cell);
    job.enqueued_at_ns = 5;
    job.order = Arrived::by_cell(cell) & Arrived::most_order;
    order.add(job, bit_a);
    return job;
  };
  const Arrived known = found(100);
  found(150);  // by the pass after that, which has missed 140
  order.settle(known);
  EXPECT_EQ(order.first()->pop().hint, 100U);
  EXPECT_EQ(order.first(), nullptr);
  found(140);
  order.settle(end_of(5));
  EXPECT_EQ(order.first()->pop().hint, 140U);
  EXPECT_EQ(order.first()->pop().hint, 150U);
}

TEST(ArrivalOrderInProcess, one_kind_is_given_without_a_walk_through_the_others) {
  ArrivalOrder order;
  for (std::uint64_t time = 1; time <= 1000; ++time) order.add(arrived(time), bit_a);
  order.add(arrived(1001), bit_b);
  order.settle(end_of(1001));
  EXPECT_TRUE(order.has_kinds(bit_b));
  EXPECT_EQ(times_of(order, bit_b), std::vector<std::uint64_t>{1001});
  EXPECT_FALSE(order.has_kinds(bit_b));
  EXPECT_EQ(times_of(order).size(), 1000U);
}

TEST(ArrivalOrderInProcess, a_row_stays_where_it_is_while_jobs_of_other_kinds_come) {
  ArrivalOrder order;
  order.add(arrived(1), bit_a);
  order.settle(end_of(1));
  ArrivalRow* const row = order.first();
  for (int bit = 1; bit < 64; ++bit) order.add(arrived(2), std::uint64_t{1} << bit);
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
      order.add(arrived(time), std::uint64_t{1} << (random() % 5));
    }
    settled += 150;
    order.settle(end_of(settled));
    for (const std::uint64_t time : times_of(order)) given.push_back(time);
  }
  EXPECT_GT(given.size(), 1000U);
  EXPECT_TRUE(std::ranges::is_sorted(given));
}

}  // namespace
}  // namespace ringmill::test
