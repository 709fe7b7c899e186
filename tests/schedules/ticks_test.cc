// Which ticks of a schedule are due, by its policy for missed ones.
#include <gtest/gtest.h>

#include "core/schedules/schedule.h"
#include "tests/support/must.h"

namespace ringmill::test {
namespace {

using namespace std::chrono;
using namespace std::chrono_literals;
using TickTimes = std::vector<TickTime>;

constexpr TickTime made_at = sys_days(2026y / June / 1) + 10h + 250ms;

Schedule beat_every(milliseconds interval, MissedTicks missed) {
  Schedule schedule{.name = "beat", .times = EveryTimes{interval}};
  schedule.missed = missed;
  schedule.created_at = schedule.begins_after = made_at;
  return schedule;
}

Schedule beat_by_cron(const char* expression, MissedTicks missed) {
  Schedule schedule = beat_every(1s, missed);
  schedule.times = CronTimes{must(Cron::parse(expression)), must(Zone::load("Europe/Berlin"))};
  return schedule;
}

TEST(TicksInProcess, an_interval_is_anchored_at_the_creation) {
  const Schedule beat = beat_every(10s, MissedTicks::once);
  EXPECT_EQ(next_tick(beat, made_at - 1h), made_at + 10s);
  EXPECT_EQ(next_tick(beat, made_at), made_at + 10s);
  EXPECT_EQ(next_tick(beat, made_at + 10s - 1ms), made_at + 10s);
  EXPECT_EQ(next_tick(beat, made_at + 10s), made_at + 20s);
  EXPECT_EQ(next_tick(beat, made_at + days(36500) + 1ms), made_at + days(36500) + 10s);
}

TEST(TicksInProcess, a_tick_is_due_from_its_time_on) {
  for (const auto missed : {MissedTicks::once, MissedTicks::skip, MissedTicks::all}) {
    const Schedule beat = beat_every(10s, missed);
    EXPECT_EQ(due_ticks(beat, made_at + 10s - 1ms), TickTimes{}) << name_of(missed);
    EXPECT_EQ(due_ticks(beat, made_at + 10s), TickTimes{made_at + 10s}) << name_of(missed);
    EXPECT_EQ(due_ticks(beat, made_at + 11s), TickTimes{made_at + 10s}) << name_of(missed);
  }
}

TEST(TicksInProcess, a_tick_that_is_marked_is_not_due_again) {
  for (const auto missed : {MissedTicks::once, MissedTicks::skip, MissedTicks::all}) {
    Schedule beat = beat_every(10s, missed);
    beat.last_tick = made_at + 10s;
    EXPECT_EQ(due_ticks(beat, made_at + 10s + 500ms), TickTimes{}) << name_of(missed);
    EXPECT_EQ(due_ticks(beat, made_at + 20s), TickTimes{made_at + 20s}) << name_of(missed);
  }
}

TEST(TicksInProcess, skip_takes_only_a_tick_within_the_grace) {
  const Schedule beat = beat_every(10s, MissedTicks::skip);
  EXPECT_EQ(due_ticks(beat, made_at + 11s), TickTimes{made_at + 10s});
  EXPECT_EQ(due_ticks(beat, made_at + 11s + 1ms), TickTimes{});
  EXPECT_EQ(due_ticks(beat, made_at + 95s), TickTimes{});
  EXPECT_EQ(due_ticks(beat, made_at + 100s + 1s), TickTimes{made_at + 100s});
}

TEST(TicksInProcess, once_takes_the_last_one_for_all) {
  EXPECT_EQ(due_ticks(beat_every(10s, MissedTicks::once), made_at + 95s), TickTimes{made_at + 90s});
  EXPECT_EQ(due_ticks(beat_every(1s, MissedTicks::once), made_at + days(3650) + 1ms), TickTimes{made_at + days(3650)});
  const TickTime now = sys_days(2029y / June / 1) + 12h;
  EXPECT_EQ(due_ticks(beat_by_cron("30 2 * * *", MissedTicks::once), now),
            TickTimes{sys_days(2029y / June / 1) + 30min});
  EXPECT_EQ(due_ticks(beat_by_cron("* * 1 1 *", MissedTicks::once), now),
            TickTimes{sys_days(2029y / January / 1) + 22h + 59min});
}

TEST(TicksInProcess, all_takes_each_but_a_thousand_at_most) {
  EXPECT_EQ(due_ticks(beat_every(10s, MissedTicks::all), made_at + 35s),
            (TickTimes{made_at + 10s, made_at + 20s, made_at + 30s}));
  Schedule beat = beat_every(1s, MissedTicks::all);
  const TickTimes first = due_ticks(beat, made_at + 1500s);
  ASSERT_EQ(first.size(), 1000U);
  EXPECT_EQ(first.front(), made_at + 1s);
  EXPECT_EQ(first.back(), made_at + 1000s);
  beat.last_tick = first.back();
  const TickTimes second = due_ticks(beat, made_at + 1500s);
  ASSERT_EQ(second.size(), 500U);
  EXPECT_EQ(second.back(), made_at + 1500s);
}

TEST(TicksInProcess, a_paused_schedule_has_none_and_a_resumed_one_none_of_the_pause) {
  Schedule beat = beat_every(10s, MissedTicks::all);
  beat.paused = true;
  EXPECT_EQ(due_ticks(beat, made_at + 1h), TickTimes{});
  beat.paused = false;
  beat.begins_after = made_at + 95s;
  EXPECT_EQ(due_ticks(beat, made_at + 110s), (TickTimes{made_at + 100s, made_at + 110s}));
}

TEST(TicksInProcess, a_clock_that_is_set_back_brings_no_tick_again) {
  Schedule beat = beat_every(10s, MissedTicks::all);
  beat.last_tick = made_at + 1h;
  EXPECT_EQ(due_ticks(beat, made_at + 30s), TickTimes{});
  EXPECT_EQ(due_ticks(beat, made_at + 1h + 9s), TickTimes{});
  EXPECT_EQ(due_ticks(beat, made_at + 1h + 10s), TickTimes{made_at + 1h + 10s});
}

TEST(TicksInProcess, times_that_cannot_be_understood_never_come) {
  Schedule schedule = beat_every(1s, MissedTicks::all);
  schedule.times = BrokenTimes{"0 0 * * *", "Europe/Atlantis", "no such time zone"};
  EXPECT_EQ(next_tick(schedule, made_at), std::nullopt);
  EXPECT_EQ(due_ticks(schedule, made_at + 1h), TickTimes{});
}

TEST(TicksInProcess, a_tick_has_a_key_of_its_own) {
  EXPECT_EQ(unique_key_of("beat", TickTime(1500ms)), "schedule:beat:1500");
  EXPECT_NE(unique_key_of("beat", made_at), unique_key_of("beat", made_at + 1ms));
}

TEST(TicksInProcess, policies_have_names) {
  for (const auto missed : {MissedTicks::once, MissedTicks::skip, MissedTicks::all}) {
    EXPECT_EQ(missed_ticks_of(name_of(missed)), missed);
  }
  EXPECT_EQ(missed_ticks_of("none"), std::nullopt);
}

}  // namespace
}  // namespace ringmill::test
