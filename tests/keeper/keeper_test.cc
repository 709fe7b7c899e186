// The keeper: its election, its successor, and the generations that it hands out.
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"
#include "tests/support/shared_block.h"
#include "tests/support/without_fallback.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

/// A process that opens the engine with a keeper, and stays.
Child keeping(const World& world, SharedBlock<std::atomic<int>>& keeps) {
  return Child([&] {
    Engine engine = world.scratch.open();
    if (!await([&] { return engine.keeps(); })) return 1;
    *keeps = 1;
    ::pause();
    return 0;
  });
}

TEST(KeeperInProcess, of_two_engines_with_a_keeper_one_keeps) {
  World world(small_engine(), {});
  ASSERT_TRUE(await([&] { return world.engine.keeps(); }));
  Engine second = world.scratch.open();
  EXPECT_FALSE(second.keeps());
}

TEST(KeeperInProcess, another_takes_over_when_the_keeper_leaves) {
  const World world;
  Engine second = world.scratch.open(without_keeper);
  {
    Engine first = world.scratch.open();
    ASSERT_TRUE(await([&] { return first.keeps(); }));
    second = world.scratch.open();
    ASSERT_FALSE(second.keeps());
  }
  EXPECT_TRUE(await([&] { return second.keeps(); }));
}

/// How many keeper threads of this process sleep in the call that watches several words.
int sleeping_keepers() {
  int count = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    const auto name = read_file(task.path() / "comm");
    const auto call = read_file(task.path() / "syscall");
    const std::string watching = std::to_string(SYS_futex_waitv) + " ";
    if (name && call && name->starts_with("ringmill-keeper") && call->starts_with(watching)) ++count;
  }
  return count;
}

TEST(KeeperInProcess, one_that_leaves_wakes_the_one_that_stands_by) {
  const WithoutFallback without_fallback(longest_standby_ns);
  const World world;
  auto first = std::make_unique<Engine>(world.scratch.open());
  ASSERT_TRUE(await([&] { return first->keeps(); }));
  const Engine second = world.scratch.open();
  ASSERT_TRUE(await([] { return sleeping_keepers() == 2; }));
  first.reset();
  EXPECT_TRUE(await([&] { return second.keeps(); }, 10s));
}

TEST(KeeperInProcess, one_that_leaves_wakes_all_that_stand_by_so_that_the_next_one_is_watched) {
  const WithoutFallback without_fallback(longest_standby_ns);
  const World world;
  std::vector<std::unique_ptr<Engine>> engines;
  for (int n = 0; n < 4; ++n) engines.push_back(std::make_unique<Engine>(world.scratch.open()));
  const auto keeping = [&engines] { return std::ranges::find_if(engines, [](const auto& e) { return e->keeps(); }); };
  while (!engines.empty()) {
    ASSERT_TRUE(await([&] { return keeping() != engines.end(); }, 10s)) << engines.size() << " stand by";
    ASSERT_TRUE(await([&] { return sleeping_keepers() == static_cast<int>(engines.size()); }));
    engines.erase(keeping());
  }
}

TEST(KeeperInProcess, one_that_stood_by_before_the_keeper_was_in_the_registry_takes_over_from_it) {
  const WithoutFallback without_fallback(longest_standby_ns);
  const World world;
  const auto elected = world.scratch.open_core();
  ASSERT_TRUE(must(try_lock_byte(elected->locks.file(), keeper_lock_byte)));
  const Engine standing_by = world.scratch.open();
  ASSERT_TRUE(await([] { return sleeping_keepers() == 1; }));
  unlock_byte(elected->locks.file(), keeper_lock_byte);
  auto keeper = std::make_unique<Engine>(world.scratch.open());
  ASSERT_TRUE(await([&] { return keeper->keeps(); }));
  keeper.reset();
  EXPECT_TRUE(await([&] { return standing_by.keeps(); }, 10s));
}

TEST(KeeperInProcess, no_handover_is_lost_however_near_leaving_and_standing_by_come) {
  const WithoutFallback without_fallback(longest_standby_ns);
  const World world;
  for (int round = 0; round < 200; ++round) {
    auto first = std::make_unique<Engine>(world.scratch.open());
    const auto second = std::make_unique<Engine>(world.scratch.open());
    const auto third = std::make_unique<Engine>(world.scratch.open());
    first.reset();
    ASSERT_TRUE(await([&] { return second->keeps() || third->keeps(); }, 10s)) << "round " << round;
  }
}

TEST(KilledKeeper, another_process_takes_over) {
  const World world;
  SharedBlock<std::atomic<int>> keeps;
  Child keeper = keeping(world, keeps);
  ASSERT_TRUE(await([&] { return *keeps == 1; }));
  Engine standing_by = world.scratch.open();
  ASSERT_FALSE(standing_by.keeps());
  keeper.kill();
  EXPECT_TRUE(await([&] { return standing_by.keeps(); }));
}

TEST(KilledKeeper, the_next_one_gives_back_the_jobs_of_a_worker_that_died_with_it) {
  World world;
  const auto producer = world.attach(Role::producer);
  const JobId id = world.enqueue(*producer, "x");
  SharedBlock<std::atomic<int>> claimed;
  Child killed([&] {
    Engine engine = world.scratch.open();
    if (!await([&] { return engine.keeps(); })) return 1;
    auto worker = must(engine.attach(Role::worker));
    Job job = must(worker->claim());
    *claimed = 1;
    ::pause();
    return 0;
  });
  ASSERT_TRUE(await([&] { return *claimed == 1; }));
  killed.kill();
  ASSERT_EQ(world.state_of(id), JobState::running);
  const Engine next = world.scratch.open();
  EXPECT_TRUE(await([&] { return world.state_of(id) == JobState::queued; }));
}

TEST(KilledKeeper, its_entry_is_free_again_after_the_next_ones_scan) {
  World world;
  SharedBlock<std::atomic<int>> keeps;
  Child keeper = keeping(world, keeps);
  ASSERT_TRUE(await([&] { return *keeps == 1; }));
  keeper.kill();
  Inside inside(world.scratch);
  inside.work().reap_all();
  for_each_entry_in_use(inside.segment(),
                        [&inside](std::uint32_t number, ParticipantState) { EXPECT_EQ(number, inside.number()); });
}

/// Every cell stands at this generation.
void set_generations(const Inside& inside, std::uint64_t generation) {
  for (CellIndex cell = 0; cell < inside.table().capacity(); ++cell) {
    inside.table().state(cell).store(StateWord::make(generation, 0, CellState::free, 0).bits());
  }
}

std::uint64_t durable_limit(const World& world) {
  std::ifstream file(world.scratch.directory() / "generation");
  std::uint64_t limit = 0;
  file >> limit;
  return limit;
}

TEST(GenerationsInProcess, a_cell_at_the_limit_is_used_and_one_beyond_it_is_not) {
  World world;
  Inside inside(world.scratch);
  const auto producer = world.attach(Role::producer);
  const std::uint64_t limit = inside.segment().signals().generation_limit.load();
  set_generations(inside, limit + 1);
  inside.table().state(17).store(StateWord::make(limit, 0, CellState::free, 0).bits());
  EXPECT_EQ(index_of(world.enqueue(*producer, "x")), 17U);
  EXPECT_EQ(code_of(producer->enqueue(world.request("y"))), ErrorCode::would_block);
}

TEST(GenerationsInProcess, the_keeper_raises_the_limit_that_producers_come_near_to) {
  World world;
  Inside inside(world.scratch);
  const auto producer = world.attach(Role::producer);
  const std::uint64_t limit = inside.segment().signals().generation_limit.load();
  set_generations(inside, limit + 1);
  ASSERT_EQ(code_of(producer->enqueue(world.request("x"))), ErrorCode::would_block);
  inside.work().turn(false);
  EXPECT_GT(inside.segment().signals().generation_limit.load(), limit);
}

TEST(GenerationsInProcess, a_raised_limit_is_in_the_engines_directory) {
  World world;
  Inside inside(world.scratch);
  const auto producer = world.attach(Role::producer);
  set_generations(inside, inside.segment().signals().generation_limit.load() + 1);
  ASSERT_EQ(code_of(producer->enqueue(world.request("x"))), ErrorCode::would_block);
  inside.work().turn(false);
  EXPECT_EQ(durable_limit(world), inside.segment().signals().generation_limit.load());
}

TEST(GenerationsInProcess, cells_that_were_passed_over_are_used_after_the_limit_was_raised) {
  World world;
  Inside inside(world.scratch);
  const auto producer = world.attach(Role::producer);
  set_generations(inside, inside.segment().signals().generation_limit.load() + 1);
  ASSERT_EQ(code_of(producer->enqueue(world.request("x"))), ErrorCode::would_block);
  inside.work().turn(false);
  inside.scan();
  EXPECT_TRUE(producer->enqueue(world.request("x")).has_value());
}

TEST(GenerationsInProcess, a_cell_at_the_last_generation_is_retired) {
  World world;
  Inside inside(world.scratch);
  inside.segment().signals().generation_limit.store(most_generation);
  set_generations(inside, most_generation);
  const auto producer = world.attach(Role::producer);
  EXPECT_EQ(code_of(producer->enqueue(world.request("x"))), ErrorCode::would_block);
  inside.scan();
  EXPECT_EQ(code_of(producer->enqueue(world.request("x"))), ErrorCode::would_block);
}

TEST(GenerationsInProcess, the_last_but_one_generation_is_the_last_that_a_job_gets) {
  World world;
  Inside inside(world.scratch);
  inside.segment().signals().generation_limit.store(most_generation);
  set_generations(inside, most_generation);
  inside.table().state(17).store(StateWord::make(most_generation - 1, 0, CellState::free, 0).bits());
  const auto worker = world.attach();
  const JobId id = world.enqueue(*worker, "x");
  EXPECT_EQ(generation_of(id), most_generation - 1);
  must(must(worker->claim()).complete());
  inside.scan();
  EXPECT_EQ(code_of(worker->enqueue(world.request("y"))), ErrorCode::would_block);
}

TEST(GenerationsInProcess, producers_go_on_while_a_running_keeper_raises_the_limit) {
  World world;
  std::uint64_t limit = 0;
  {
    const Inside inside(world.scratch);
    limit = inside.segment().signals().generation_limit.load();
    set_generations(inside, limit - 1);  // two jobs each, and no more without the keeper
  }
  const Engine keeping = world.scratch.open();
  constexpr std::size_t jobs_each = 4000;
  std::array<std::vector<JobId>, 2> ids;
  std::atomic<std::size_t> completed{0};
  std::vector<std::thread> threads;
  for (std::vector<JobId>& own_ids : ids) {
    threads.emplace_back([&world, &own_ids] {
      const auto producer = world.attach(Role::producer);
      for (std::size_t n = 0; n < jobs_each; ++n) {
        const auto id = producer->enqueue(world.request("x"), generous);
        if (!id) return;
        own_ids.push_back(*id);
      }
    });
    threads.emplace_back([&world, &completed] {
      const auto worker = world.attach();
      while (completed.load() < 2 * jobs_each) {
        auto job = worker->claim(10ms);
        if (!job) continue;
        if (job->complete()) completed.fetch_add(1);
      }
    });
  }
  const bool all_ended = await([&] { return completed.load() == 2 * jobs_each; });
  completed.store(2 * jobs_each);  // the threads end, whatever came of it
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(all_ended);
  EXPECT_EQ(ids[0].size() + ids[1].size(), 2 * jobs_each);
  const std::set<JobId> different(ids[0].begin(), ids[0].end());
  EXPECT_EQ(different.size(), ids[0].size());
  for (const JobId id : ids[1]) EXPECT_FALSE(different.contains(id));
  const std::uint64_t highest =
      std::max(generation_of(std::ranges::max(ids[0])), generation_of(std::ranges::max(ids[1])));
  EXPECT_GT(highest, limit);
  EXPECT_LE(highest, durable_limit(world));
}

}  // namespace
}  // namespace ringmill::test
