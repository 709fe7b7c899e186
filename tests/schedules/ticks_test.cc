// Which ticks of a schedule are due, by its policy for missed ones.
#include <gtest/gtest.h>

#include "core/schedules/schedule.h"
#include "tests/support/must.h"

namespace ringmill::test {
namespace {

using namespace std::chrono;
using namespace std::chrono_literals;
using Ticks = std::vector<TickTime>;

constexpr TickTime created = sys_days(2026y / June / 1) + 10h + 250ms;

Schedule every(milliseconds interval, MissedTicks missed) {
  Schedule schedule{.name = "beat", .times = EveryTimes{interval}};
  schedule.missed = missed;
  schedule.created_at = schedule.begins_after = created;
  return schedule;
}

Schedule by_cron(const char* expression, MissedTicks missed) {
  Schedule schedule = every(1s, missed);
  schedule.times = CronTimes{must(Cron::parse(expression)), must(Zone::load("Europe/Berlin"))};
  return schedule;
}

TEST(TicksInProcess, an_interval_is_anchored_at_the_creation) {
  const Schedule beat = every(10s, MissedTicks::once);
  EXPECT_EQ(next_tick(beat, created - 1h), created + 10s);
  EXPECT_EQ(next_tick(beat, created), created + 10s);
  EXPECT_EQ(next_tick(beat, created + 10s - 1ms), created + 10s);
  EXPECT_EQ(next_tick(beat, created + 10s), created + 20s);
  EXPECT_EQ(next_tick(beat, created + days(36500) + 1ms), created + days(36500) + 10s);
}

TEST(TicksInProcess, a_tick_is_due_from_its_time_on) {
  for (const auto missed : {MissedTicks::once, MissedTicks::skip, MissedTicks::all}) {
    const Schedule beat = every(10s, missed);
    EXPECT_EQ(due_ticks(beat, created + 10s - 1ms), Ticks{}) << name_of(missed);
    EXPECT_EQ(due_ticks(beat, created + 10s), Ticks{created + 10s}) << name_of(missed);
    EXPECT_EQ(due_ticks(beat, created + 11s), Ticks{created + 10s}) << name_of(missed);
  }
}

TEST(TicksInProcess, a_tick_that_is_marked_is_not_due_again) {
  for (const auto missed : {MissedTicks::once, MissedTicks::skip, MissedTicks::all}) {
    Schedule beat = every(10s, missed);
    beat.last_tick = created + 10s;
    EXPECT_EQ(due_ticks(beat, created + 10s + 500ms), Ticks{}) << name_of(missed);
    EXPECT_EQ(due_ticks(beat, created + 20s), Ticks{created + 20s}) << name_of(missed);
  }
}

TEST(TicksInProcess, skip_takes_only_a_tick_within_the_grace) {
  const Schedule beat = every(10s, MissedTicks::skip);
  EXPECT_EQ(due_ticks(beat, created + 11s), Ticks{created + 10s});
  EXPECT_EQ(due_ticks(beat, created + 11s + 1ms), Ticks{});
  EXPECT_EQ(due_ticks(beat, created + 95s), Ticks{});
  EXPECT_EQ(due_ticks(beat, created + 100s + 1s), Ticks{created + 100s});
}

TEST(TicksInProcess, once_takes_the_last_one_for_all) {
  EXPECT_EQ(due_ticks(every(10s, MissedTicks::once), created + 95s), Ticks{created + 90s});
  EXPECT_EQ(due_ticks(every(1s, MissedTicks::once), created + days(3650) + 1ms), Ticks{created + days(3650)});
  const TickTime now = sys_days(2029y / June / 1) + 12h;
  EXPECT_EQ(due_ticks(by_cron("30 2 * * *", MissedTicks::once), now), Ticks{sys_days(2029y / June / 1) + 30min});
  EXPECT_EQ(due_ticks(by_cron("* * 1 1 *", MissedTicks::once), now),
            Ticks{sys_days(2029y / January / 1) + 22h + 59min});
}

TEST(TicksInProcess, all_takes_each_but_a_thousand_at_most) {
  EXPECT_EQ(due_ticks(every(10s, MissedTicks::all), created + 35s),
            (Ticks{created + 10s, created + 20s, created + 30s}));
  Schedule beat = every(1s, MissedTicks::all);
  const Ticks first = due_ticks(beat, created + 1500s);
  ASSERT_EQ(first.size(), 1000U);
  EXPECT_EQ(first.front(), created + 1s);
  EXPECT_EQ(first.back(), created + 1000s);
  beat.last_tick = first.back();
  const Ticks second = due_ticks(beat, created + 1500s);
  ASSERT_EQ(second.size(), 500U);
  EXPECT_EQ(second.back(), created + 1500s);
}

TEST(TicksInProcess, a_paused_schedule_has_none_and_a_resumed_one_none_of_the_pause) {
  Schedule beat = every(10s, MissedTicks::all);
  beat.paused = true;
  EXPECT_EQ(due_ticks(beat, created + 1h), Ticks{});
  beat.paused = false;
  beat.begins_after = created + 95s;
  EXPECT_EQ(due_ticks(beat, created + 110s), (Ticks{created + 100s, created + 110s}));
}

TEST(TicksInProcess, a_clock_that_is_set_back_brings_no_tick_again) {
  Schedule beat = every(10s, MissedTicks::all);
  beat.last_tick = created + 1h;
  EXPECT_EQ(due_ticks(beat, created + 30s), Ticks{});
  EXPECT_EQ(due_ticks(beat, created + 1h + 9s), Ticks{});
  EXPECT_EQ(due_ticks(beat, created + 1h + 10s), Ticks{created + 1h + 10s});
}

TEST(TicksInProcess, times_that_cannot_be_understood_never_come) {
  Schedule schedule = every(1s, MissedTicks::all);
  schedule.times = BrokenTimes{"0 0 * * *", "Europe/Atlantis", "no such time zone"};
  EXPECT_EQ(next_tick(schedule, created), std::nullopt);
  EXPECT_EQ(due_ticks(schedule, created + 1h), Ticks{});
}

TEST(TicksInProcess, a_tick_has_a_key_of_its_own) {
  EXPECT_EQ(unique_key_of("beat", TickTime(1500ms)), "schedule:beat:1500");
  EXPECT_NE(unique_key_of("beat", created), unique_key_of("beat", created + 1ms));
}

TEST(TicksInProcess, policies_have_names) {
  for (const auto missed : {MissedTicks::once, MissedTicks::skip, MissedTicks::all}) {
    EXPECT_EQ(missed_ticks_of(name_of(missed)), missed);
  }
  EXPECT_EQ(missed_ticks_of("none"), std::nullopt);
}

}  // namespace
}  // namespace ringmill::test
