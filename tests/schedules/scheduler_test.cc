// Recurring jobs as a keeper enqueues them.
#include <chrono>
#include <random>
#include <set>
#include <string>
#include <thread>

#include "core/schedules/schedule_book.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/log_capture.h"
#include "tests/support/random.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

Schedule payload_every(const std::string& name, std::chrono::milliseconds interval) {
  return {.name = name,
          .times = EveryTimes{interval},
          .kind = std::string(kind_name),
          .level = "default",
          .payload = "tick"};
}

TEST(Scheduler, each_tick_of_a_schedule_becomes_one_job) {
  World world(small_engine(), OpenOptions{});
  ScheduleBook book(world.scratch.directory());
  must(book.add(payload_every("often", 1s), std::chrono::system_clock::now()));
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

/// Turn 2, 25.
TEST(Scheduler, ticks_of_an_engine_that_was_renamed_go_to_it_and_not_to_the_next_one_of_its_name) {
  World world(small_engine(), OpenOptions{});
  const std::filesystem::path name = world.scratch.directory();
  const std::filesystem::path moved = name.string() + ".moved";
  ASSERT_TRUE(await([&] { return world.engine.status().keeper_pid != 0; }));
  std::filesystem::rename(name, moved);
  must(Engine::create(name, world.scratch.place().here(small_engine())));
  const Engine next = must(Engine::open(name, without_keeper));
  must(ScheduleBook(moved).add(payload_every("often", 1s), std::chrono::system_clock::now()));
  auto worker = world.attach();
  must(must(worker->claim(generous)).complete());
  EXPECT_EQ(next.status().totals.enqueued, 0U);
  must(ScheduleBook(moved).remove("often"));
  must(Engine::remove(name, true));
  std::filesystem::rename(moved, name);
}

TEST(Scheduler, a_tick_that_a_dead_keeper_had_enqueued_and_not_marked_is_not_enqueued_again) {
  World world;  // it has no keeper
  ScheduleBook book(world.scratch.directory());
  const auto now = std::chrono::system_clock::now();
  must(book.add(payload_every("hourly", 1h), now - 1h - 1s));
  // As the dead one: tick.T1 and tick.T2 of the one tick that has passed, and no tick.T3. Its job is over by now.
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

TEST(Scheduler, a_schedule_that_fails_is_named_and_holds_up_no_other) {
  const LogCapture log;
  World world;
  ScheduleBook book(world.scratch.directory());
  const auto now = std::chrono::system_clock::now();
  Schedule bad = payload_every("a-bad", 1h);
  bad.level = "nosuch";
  Schedule large = payload_every("a-large", 1h);
  large.payload = std::string(std::size_t{2} << 20, 'x');
  must(book.add(bad, now - 1h - 1s));
  must(book.add(large, now - 1h - 1s));
  must(book.add(payload_every("b-good", 1h), now - 1h - 1s));
  {
    const Engine keeps = world.scratch.open({});
    ASSERT_TRUE(await([&] { return must(book.find("b-good")).last_tick.has_value(); }));
    ASSERT_TRUE(await([&] { return must(book.find("a-bad")).failing_since.has_value(); }));
    std::this_thread::sleep_for(2500ms);  // it is tried again meanwhile
  }
  auto worker = world.attach();
  EXPECT_EQ(as_text(must(worker->claim()).payload()), "tick");
  const Schedule failing = must(book.find("a-bad"));
  EXPECT_EQ(failing.last_tick, std::nullopt);
  EXPECT_NE(failing.last_error.find("no such level: nosuch"), std::string::npos) << failing.last_error;
  EXPECT_NE(must(book.find("a-large")).last_error.find("too long"), std::string::npos);
  EXPECT_EQ(must(book.find("b-good")).last_error, "");
  EXPECT_EQ(log.count("schedule a-bad is not enqueued"), 1U);
  EXPECT_EQ(log.count("schedule a-large is not enqueued"), 1U);
}

TEST(Scheduler, a_schedule_goes_on_when_what_it_lacked_is_there) {
  const LogCapture log;
  World world{small_engine(), OpenOptions{}};
  ScheduleBook book(world.scratch.directory());
  Schedule tenant = payload_every("tenant", 1h);
  tenant.level = "tenant-7";
  must(book.add(tenant, std::chrono::system_clock::now() - 1h - 1s));
  ASSERT_TRUE(await([&] { return must(book.find("tenant")).failing_since.has_value(); }));
  must(world.engine.add_level("tenant-7"));
  ASSERT_TRUE(await([&] { return must(book.find("tenant")).last_tick.has_value(); }));
  EXPECT_EQ(must(book.find("tenant")).failing_since, std::nullopt);
  EXPECT_TRUE(await([&] { return log.has("schedule tenant works again"); }));
}

CreateOptions engine_for_many() {
  CreateOptions options = small_engine();
  options.capacity = 4096;
  return options;
}

constexpr int many = 2000;

/// All of them are due once.
TickTime add_many(const std::filesystem::path& directory) {
  const auto made = std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now()) - 1h - 1s;
  ScheduleBook book(directory);
  for (int n = 0; n < many; ++n) must(book.add(payload_every("s" + std::to_string(n), 1h), made));
  return made + 1h;
}

int marked(ScheduleBook& book, TickTime tick) {
  int count = 0;
  for (const Schedule& schedule : must(book.list())) count += schedule.last_tick == tick ? 1 : 0;
  return count;
}

TEST(Scheduler, thousands_of_ticks_that_are_due_at_once_are_one_batch) {
  World world(engine_for_many());
  const TickTime tick = add_many(world.scratch.directory());
  ScheduleBook book(world.scratch.directory());
  const auto begin = std::chrono::steady_clock::now();
  const Engine keeps = world.scratch.open({});
  ASSERT_TRUE(await([&] { return marked(book, tick) != 0; }));
  EXPECT_EQ(marked(book, tick), many) << "one commit marks all of them";
  // Measured: a fraction of a second. A commit of each takes tens of seconds.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 15s);
  EXPECT_EQ(world.engine.status().totals.enqueued, static_cast<std::uint64_t>(many));
}

TEST(Scheduler, each_of_many_ticks_becomes_one_job_however_often_the_keeper_is_killed) {
  World world(engine_for_many());
  const TickTime tick = add_many(world.scratch.directory());
  ScheduleBook book(world.scratch.directory());
  std::mt19937_64 random(printed_seed());
  int kills = 0;
  for (; kills < 25 && marked(book, tick) != many; ++kills) {
    Child keeper([&] {
      const Engine keeps = world.scratch.open({});
      std::this_thread::sleep_for(60s);
      return 0;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 150));
    keeper.kill();
  }
  {
    const Engine keeps = world.scratch.open({});
    ASSERT_TRUE(await([&] { return marked(book, tick) == many; }));
  }
  std::uint64_t queued = 0;
  for (const LevelStatus& level : world.engine.status().levels) queued += level.queued;
  EXPECT_EQ(queued, static_cast<std::uint64_t>(many)) << kills << " kills";
}

}  // namespace
}  // namespace ringmill::test
