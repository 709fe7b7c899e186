// Steps of the wall clock, as the keeper tells them.
#include "core/keeper/clock_watch.h"

#include <gtest/gtest.h>

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t second = 1'000'000'000;
constexpr std::uint64_t wall_at_start = 1'790'000'000 * second;

TEST(ClockWatchInProcess, a_step_in_either_direction_is_told_once_with_its_length) {
  ClockWatch watch;
  EXPECT_EQ(watch.look(5 * second, wall_at_start, 5 * second), std::nullopt);  // where it stands is no step
  EXPECT_EQ(watch.look(6 * second, wall_at_start + second, 6 * second), std::nullopt);
  EXPECT_EQ(watch.look(7 * second, wall_at_start + 3'602 * second, 7 * second), 3'600'000ms);
  EXPECT_EQ(watch.look(8 * second, wall_at_start + 3'603 * second, 8 * second), std::nullopt);
  EXPECT_EQ(watch.look(9 * second, wall_at_start + 4 * second, 9 * second), -3'600'000ms);
  EXPECT_EQ(watch.look(10 * second, wall_at_start + 5 * second, 10 * second), std::nullopt);
}

TEST(ClockWatchInProcess, a_clock_that_is_slewed_or_a_host_that_slept_is_no_step) {
  ClockWatch watch;
  watch.look(0, wall_at_start, 0);
  std::uint64_t drift = 0;
  for (std::uint64_t n = 1; n < 10'000; ++n) {
    drift += 500'000;  // the most that adjtimex() slews in a second: five seconds in all
    EXPECT_EQ(watch.look(n * second, wall_at_start + n * second + drift, n * second), std::nullopt);
  }
  // Both clocks go on in a suspend.
  EXPECT_EQ(watch.look(90'000 * second, wall_at_start + 90'000 * second + drift, 90'000 * second), std::nullopt);
}

TEST(ClockWatchInProcess, a_look_that_was_held_up_between_its_readings_tells_nothing) {
  ClockWatch watch;
  watch.look(0, wall_at_start, 0);
  EXPECT_EQ(watch.look(second, wall_at_start + second, 9 * second), std::nullopt);
  EXPECT_EQ(watch.look(10 * second, wall_at_start + 10 * second, 10 * second), std::nullopt);
}

}  // namespace
}  // namespace ringmill::test
