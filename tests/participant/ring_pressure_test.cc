// The wait of a producer that outruns its workers (core/participant/ring_pressure.h).
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "core/participant/ring_pressure.h"
#include "ipc/clock.h"
#include "ipc/invariant.h"
#include "ipc/ring.h"

namespace ringmill::test {
namespace {

/// An empty ring in private memory.
class EmptyRing {
 public:
  Ring view() { return Ring(&level_, slots_.data(), slots_.size()); }

 private:
  LevelEntry level_{};
  std::vector<std::atomic<std::uint64_t>> slots_ = std::vector<std::atomic<std::uint64_t>>(8192);
};

/// A full ring in private memory, and a thread that drains it if asked to.
class FullRing {
 public:
  explicit FullRing(std::uint64_t slot_count) : slots_(slot_count) {
    Ring ring = view();
    std::uint64_t position = ring.tail();
    const auto is_live = [](std::uint64_t) { return true; };
    while (ring.push_at(position, 1, is_live) == Ring::Pushed::done) {
    }
    ring.raise_tail(position);
  }
  ~FullRing() {
    stop_.store(true);
    if (drainer_.joinable()) drainer_.join();
  }
  Ring view() { return Ring(&level_, slots_.data(), slots_.size()); }
  /// The head runs; what it leaves behind is filled again at once.
  void drain_fast() {
    drainer_ = std::thread([this] {
      while (!stop_.load()) level_.head.fetch_add(64);
    });
  }

 private:
  LevelEntry level_{};
  std::vector<std::atomic<std::uint64_t>> slots_;
  std::atomic<bool> stop_{false};
  std::thread drainer_;
};

TEST(RingPressureInProcess, workers_that_do_not_move_hold_no_producer_back_for_long) {
  FullRing full(8192);
  RingPressure pressure;
  EXPECT_FALSE(pressure.has_eased(1, full.view()));
  // Judged slow: it is not asked to wait again and again.
  const std::uint64_t begin_ns = steady_clock_ns();
  int refused_at_once = 0;
  for (int n = 0; n < 1000; ++n) refused_at_once += pressure.has_eased(1, full.view()) ? 0 : 1;
  EXPECT_EQ(refused_at_once, 1000);
  EXPECT_LT(steady_clock_ns() - begin_ns, 1000 * 300'000ULL);  // 1,000 waits would take as long at least
}

TEST(RingPressureInProcess, fast_workers_are_worth_the_wait) {
  FullRing full(8192);
  full.drain_fast();
  RingPressure pressure;
  bool has_eased = false;
  for (int n = 0; n < 100'000 && !has_eased; ++n) has_eased = pressure.has_eased(1, full.view());
  EXPECT_TRUE(has_eased);
}

TEST(RingPressureInProcess, a_producer_waits_while_the_ring_is_empty_and_jobs_wait_for_the_keeper) {
  EmptyRing empty;
  RingPressure pressure;
  pressure.ease_queue(1, empty.view());  // notes how far the keeper has filled it
  std::this_thread::sleep_for(std::chrono::milliseconds{2});
  const std::uint64_t begin_ns = steady_clock_ns();
  pressure.ease_queue(1, empty.view());
  EXPECT_GE(steady_clock_ns() - begin_ns, 6'000'000U);
}

TEST(RingPressureInProcess, a_keeper_that_fills_nothing_holds_no_producer_back_for_ever) {
  EmptyRing empty;
  RingPressure pressure;
  // The first wait notes where the tail is; from 200 ms on without a change there is one wait in a while.
  for (int n = 0; n < 50; ++n) pressure.ease_queue(1, empty.view());
  const std::uint64_t begin_ns = steady_clock_ns();
  for (int n = 0; n < 1000; ++n) pressure.ease_queue(1, empty.view());
  EXPECT_LT(steady_clock_ns() - begin_ns, 1000 * 6'000'000ULL);  // 1,000 waits would take as long at least
}

TEST(RingPressureInProcess, slow_workers_and_a_full_ring_hold_no_producer_back) {
  FullRing full(8192);
  RingPressure pressure;
  const std::uint64_t begin_ns = steady_clock_ns();
  for (int n = 0; n < 1000; ++n) pressure.ease_queue(1, full.view());
  EXPECT_LT(steady_clock_ns() - begin_ns, 1000 * 300'000ULL);
}

TEST(RingPressureInProcess, a_small_ring_is_never_waited_for) {
  FullRing full(64);
  full.drain_fast();
  RingPressure pressure;
  for (int n = 0; n < 1000; ++n) ASSERT_FALSE(pressure.has_eased(1, full.view()));
}

}  // namespace
}  // namespace ringmill::test
