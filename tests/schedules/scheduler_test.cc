// Recurring jobs as a keeper enqueues them.
#include <chrono>
#include <set>
#include <string>
#include <thread>

#include "core/schedules/schedule_book.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

Schedule every(const std::string& name, std::chrono::milliseconds interval) {
  return {.name = name,
          .times = EveryTimes{interval},
          .kind = std::string(kind_name),
          .level = "default",
          .payload = "tick"};
}

TEST(Scheduler, each_tick_of_a_schedule_becomes_one_job) {
  World world(small_engine(), OpenOptions{});
  ScheduleBook book(world.scratch.directory());
  must(book.add(every("often", 1s), std::chrono::system_clock::now()));
  auto worker = world.attach();
  std::set<std::uint64_t> ids;
  for (int n = 0; n < 2; ++n) {
    Job job = must(worker->claim(generous));
    EXPECT_EQ(as_text(job.payload()), "tick");
    EXPECT_TRUE(ids.insert(job.id().value()).second);
    must(job.complete());
  }
  must(book.remove("often"));
}

TEST(Scheduler, a_tick_that_a_dead_keeper_had_enqueued_and_not_marked_is_not_enqueued_again) {
  World world;  // nobody keeps it
  ScheduleBook book(world.scratch.directory());
  const auto now = std::chrono::system_clock::now();
  must(book.add(every("hourly", 1h), now - 1h - 1s));
  // As the dead one: T1 and T2 of the one tick that has passed, and no T3. Its job is over by now.
  const auto due = must(book.due(now));
  ASSERT_EQ(due.size(), 1U);
  ASSERT_EQ(due[0].ticks.size(), 1U);
  auto participant = world.attach();
  must(participant->enqueue_unique(world.request("tick"), unique_key_of("hourly", due[0].ticks[0]), 10min));
  must(must(participant->claim()).complete());
  {
    const Engine keeps = world.scratch.open({});
    ASSERT_TRUE(await([&] { return must(book.find("hourly")).last_tick == due[0].ticks[0]; }));
  }
  EXPECT_EQ(code_of(participant->claim()), ErrorCode::would_block);
}

}  // namespace
}  // namespace ringmill::test
