// Recurring jobs from a program.
#include <ringmill/schedules.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

ScheduledJob beat(std::chrono::milliseconds every = 1h) {
  return {.name = "beat", .every = every, .kind = std::string(kind_name), .payload = "tick"};
}

TEST(SchedulesInProcess, what_was_put_is_found_with_all_that_it_says) {
  World world;
  Schedules schedules(world.engine);
  must(schedules.put({.name = "report",
                      .cron = "30 2 * * mon-fri",
                      .zone = "Europe/Berlin",
                      .kind = "report",
                      .level = "low",
                      .payload = "night",
                      .missed = MissedTicks::skip,
                      .lease = 90min,
                      .max_attempts = 3,
                      .backoff = "fixed:1m",
                      .expires = 4h,
                      .no_overlap = true}));
  const ScheduleInfo info = must(schedules.find("report"));
  EXPECT_EQ(info.job.cron, "30 2 * * mon-fri");
  EXPECT_EQ(info.job.zone, "Europe/Berlin");
  EXPECT_EQ(info.job.level, "low");
  EXPECT_EQ(info.job.payload, "night");
  EXPECT_EQ(info.job.missed, MissedTicks::skip);
  EXPECT_EQ(info.job.lease, 90min);
  EXPECT_EQ(info.job.max_attempts, 3);
  EXPECT_EQ(info.job.backoff, "fixed:1m");
  EXPECT_EQ(info.job.expires, 4h);
  EXPECT_TRUE(info.job.no_overlap);
  EXPECT_TRUE(info.next_tick.has_value());
  EXPECT_TRUE(info.trouble.empty());
  EXPECT_EQ(must(schedules.list()).size(), 1U);
}

TEST(SchedulesInProcess, putting_the_same_times_again_changes_the_job_and_not_the_ticks) {
  World world;
  Schedules schedules(world.engine);
  must(schedules.put(beat()));
  must(schedules.pause("beat"));
  const ScheduleInfo before = must(schedules.find("beat"));
  std::this_thread::sleep_for(5ms);
  ScheduledJob changed = beat();
  changed.payload = "other";
  changed.max_attempts = 2;
  must(schedules.put(changed));
  const ScheduleInfo after = must(schedules.find("beat"));
  EXPECT_EQ(after.created_at, before.created_at);
  EXPECT_TRUE(after.paused);
  EXPECT_EQ(after.job.payload, "other");
  EXPECT_EQ(after.job.max_attempts, 2);
  must(schedules.put(beat(2h)));
  EXPECT_GT(must(schedules.find("beat")).created_at, before.created_at);
  EXPECT_EQ(must(schedules.find("beat")).job.max_attempts, default_max_attempts);
  EXPECT_EQ(code_of(schedules.add(beat())), ErrorCode::already_exists);
}

TEST(SchedulesInProcess, what_cannot_be_is_refused) {
  World world;
  Schedules schedules(world.engine);
  ScheduledJob job = beat();
  job.level = "nosuch";
  EXPECT_EQ(code_of(schedules.put(job)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(schedules.put(beat(99ms))), ErrorCode::invalid_argument);
  job = beat();
  job.cron = "* * * * *";
  EXPECT_EQ(code_of(schedules.put(job)), ErrorCode::invalid_argument);
  job = beat();
  job.backoff = "sometimes";
  EXPECT_EQ(code_of(schedules.put(job)), ErrorCode::invalid_argument);
  job = beat();
  job.kind = "no kind!";
  EXPECT_EQ(code_of(schedules.put(job)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(schedules.remove("beat")), ErrorCode::not_found);
  EXPECT_TRUE(must(schedules.list()).empty());
}

TEST(SchedulesInProcess, ticks_come_every_tenth_of_a_second_with_what_their_job_asks_for) {
  World world(small_engine(), OpenOptions{});
  Schedules schedules(world.engine);
  ScheduledJob job = beat(100ms);
  job.lease = 1500ms;
  job.max_attempts = 4;
  const auto worker = world.attach();
  must(schedules.put(job));
  const auto begin = std::chrono::steady_clock::now();
  for (int n = 0; n < 5; ++n) {
    Job tick = must(worker->claim(generous));
    EXPECT_EQ(as_text(tick.payload()), "tick");
    EXPECT_EQ(tick.lease(), 1500ms);
    EXPECT_EQ(must(world.engine.job(tick.id())).max_attempts, 4U);
    must(tick.complete());
  }
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 350ms);
  must(schedules.remove("beat"));
}

TEST(SchedulesInProcess, a_tick_is_passed_over_while_the_job_of_the_last_one_runs) {
  World world(small_engine(), OpenOptions{});
  Schedules schedules(world.engine);
  ScheduledJob job = beat(100ms);
  job.no_overlap = true;
  const auto worker = world.attach();
  must(schedules.put(job));
  Job long_one = must(worker->claim(generous));
  const auto last_tick = must(schedules.find("beat")).last_tick;
  EXPECT_TRUE(await([&] { return must(schedules.find("beat")).last_tick > last_tick; }));
  std::this_thread::sleep_for(250ms);
  EXPECT_EQ(code_of(worker->claim()), ErrorCode::would_block) << "it runs beside itself";
  must(long_one.complete());
  must(must(worker->claim(generous)).complete());
  must(schedules.remove("beat"));
}

}  // namespace
}  // namespace ringmill::test
