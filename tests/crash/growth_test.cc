// Growing and giving back, killed or stopped after each of their instructions: no cell is lost, none is given twice,
// and the engine holds its whole capacity afterwards.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/inspect/invariants.h"
#include "core/keeper/trimming.h"
#include "ipc/registry.h"
#include "ipc/sleepers.h"
#include "tests/crash/single_step.h"
#include "tests/crash/stepped_test.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"

namespace ringmill::crash {
namespace {

using namespace std::chrono_literals;
using test::Inside;
using test::must;
using State = SteppedProcess::State;

/// Three chunks of 64 cells, of which an empty engine has two.
constexpr std::uint32_t grown_capacity = 192;
constexpr std::uint32_t first_cells = 128;
constexpr std::size_t most_trials = 60;

CreateOptions engine_of_three_chunks() {
  CreateOptions options = test::small_engine_with_room();
  options.capacity = grown_capacity;
  options.cell_size = 4096;
  options.keep_memory = 0ms;
  options.reserve.emplace();
  return options;
}

class GrowthStepped : public SteppedTest {
 protected:
  struct Grown : test::World {
    Grown() : World(engine_of_three_chunks()) {}
    JobRequest memory_job() const {
      JobRequest job = request("payload");
      job.durability = Durability::memory;
      return job;
    }
    /// Enqueues up to so many, until there is no room.
    std::uint32_t fill(std::uint32_t most = grown_capacity) {
      const auto producer = attach(Role::producer);
      std::uint32_t count = 0;
      while (count < most && producer->enqueue(memory_job())) ++count;
      return count;
    }
    void drain() {
      const auto worker = attach();
      while (auto job = worker->claim()) must(job->complete());
    }
    std::uint64_t jobs() const { return engine.status().cells_used; }
  };

  /// Some of the points, spread over the whole path; the first and the last ones all.
  static std::vector<std::uint64_t> sample_of(const StepPath& path, std::size_t trials = most_trials) {
    const auto all = path.first_visits();
    const std::vector<std::uint64_t> points(all.begin(), all.end());
    const std::size_t step = std::max<std::size_t>(1, points.size() / trials);
    std::vector<std::uint64_t> sample;
    for (std::size_t n = 0; n < points.size(); n += step) sample.push_back(points[n]);
    return sample;
  }
  /// Steps through one enqueue of what `job` returns.
  static std::function<void()> stepped_enqueue(test::World& world, std::function<JobRequest()> job) {
    return [&world, job = std::move(job)] {
      Engine engine = world.scratch.open(test::without_keeper);
      const auto producer = must(engine.attach(Role::producer));
      static_cast<void>(
          producer->enqueue({.kind = world.kind, .level = Level{99}}));  // binds what the first call binds
      ringmill_step_begin();
      static_cast<void>(producer->enqueue(job()));
      ringmill_step_end();
    };
  }
  static std::function<void()> enqueue_that_grows(Grown& world) {
    return stepped_enqueue(world, [&world] { return world.memory_job(); });
  }
  /// So many turns of a keeper, two seconds apart.
  static void take_turns(Trimming& trimming, int turns, std::uint64_t& now_ns) {
    for (int n = 0; n < turns; ++n) trimming.turn(now_ns += 2'000'000'000);
  }
  static std::function<void()> give_back(test::World& world) {
    return [&world] {
      Inside inside(world.scratch);
      Trimming trimming(inside.segment(), inside.number());
      std::uint64_t now_ns = steady_clock_ns();
      ringmill_step_begin();
      take_turns(trimming, 6, now_ns);
      ringmill_step_end();
    };
  }
  /// A keeper repairs what the dead have left, and gives back what can go in so many turns.
  static void repair(test::World& world, int turns = 12) {
    Inside inside(world.scratch);
    inside.work().reap_all();
    Trimming trimming(inside.segment(), inside.number());
    std::uint64_t now_ns = steady_clock_ns();
    take_turns(trimming, turns, now_ns);
    EXPECT_FALSE(trimming.is_busy());
    for (const std::string& finding : check_invariants(inside.segment(), false)) ADD_FAILURE() << finding;
  }
};

TEST_F(GrowthStepped, a_grower_that_is_killed_anywhere_costs_no_cell) {
  std::optional<StepPath> path;
  {
    Grown world;
    ASSERT_EQ(world.fill(first_cells), first_cells);
    path = path_of(enqueue_that_grows(world));
    ASSERT_EQ(world.jobs(), first_cells + 1);
  }
  ASSERT_TRUE(path);
  for (const std::uint64_t n : sample_of(*path)) {
    SCOPED_TRACE("killed after " + std::to_string(n));
    Grown world;
    world.fill(first_cells);
    SteppedProcess process(enqueue_that_grows(world));
    ASSERT_EQ(process.run_to_begin(), State::between);
    process.follow(*path, n);
    process.kill();
    repair(world);
    world.fill();
    EXPECT_EQ(world.jobs(), grown_capacity);
  }
}

TEST_F(GrowthStepped, a_grower_that_is_stopped_anywhere_is_in_no_other_producers_way) {
  std::optional<StepPath> path;
  {
    Grown world;
    world.fill(first_cells);
    path = path_of(enqueue_that_grows(world));
  }
  ASSERT_TRUE(path);
  for (const std::uint64_t n : sample_of(*path)) {
    SCOPED_TRACE("stopped after " + std::to_string(n));
    Grown world;
    world.fill(first_cells);
    SteppedProcess process(enqueue_that_grows(world));
    ASSERT_EQ(process.run_to_begin(), State::between);
    process.follow(*path, n);
    world.fill();  // as far as it can: the stopped one may have the new cells in hand
    ASSERT_EQ(process.run_to_end(), State::at_end) << process.ending();
    ASSERT_EQ(process.let_go(), State::ended);
    ASSERT_TRUE(process.ended_well()) << process.ending();
    world.fill();
    EXPECT_EQ(world.jobs(), grown_capacity);
  }
}

TEST_F(GrowthStepped, a_keeper_that_is_killed_anywhere_while_it_gives_back_costs_no_cell) {
  std::optional<StepPath> path;
  {
    Grown world;
    ASSERT_EQ(world.fill(), grown_capacity);
    world.drain();
    path = path_of(give_back(world));
    const Inside inside(world.scratch);
    ASSERT_FALSE(inside.table().is_there(grown_capacity - 1));
  }
  ASSERT_TRUE(path);
  for (const std::uint64_t n : sample_of(*path)) {
    SCOPED_TRACE("killed after " + std::to_string(n));
    Grown world;
    world.fill();
    world.drain();
    SteppedProcess process(give_back(world));
    ASSERT_EQ(process.run_to_begin(), State::between);
    process.follow(*path, n);
    process.kill();
    repair(world);
    EXPECT_EQ(world.fill(), grown_capacity);
    EXPECT_EQ(world.jobs(), grown_capacity);
  }
}

/// A process that is stopped inside a visit, and a chunk that is on its way to be given back because of nothing else.
class StoppedVisitor : public GrowthStepped {
 protected:
  void SetUp() override {
    GrowthStepped::SetUp();
    if (IsSkipped()) return;
    ASSERT_EQ(world_.fill(), grown_capacity);
    world_.drain();
    visitor_.emplace([this] {
      Engine engine = world_.scratch.open(test::without_keeper);
      const auto producer = must(engine.attach(Role::producer));
      ringmill_step_begin();
      static_cast<void>(producer->enqueue(world_.memory_job()));
      ringmill_step_end();
    });
    ASSERT_EQ(visitor_->run_to_begin(), State::between);
    inside_.emplace(world_.scratch);
    while (!is_visiting()) ASSERT_EQ(visitor_->step(1), State::between);
    trimming_.emplace(inside_->segment(), inside_->number());
    for (int n = 0; n < 6; ++n) trimming_->turn(now_ns_ += 1'000'000);
    ASSERT_TRUE(trimming_->is_busy());
  }
  bool is_visiting() const {
    bool found = false;
    for_each_entry_in_use(inside_->segment(), [&](std::uint32_t number, ParticipantState) {
      found |= inside_->segment().participant(number).process_id.load() ==
                   static_cast<std::uint32_t>(visitor_->process_id()) &&
               inside_->segment().participant(number).visit.load() % 2 != 0;
    });
    return found;
  }

  Grown world_;
  std::optional<SteppedProcess> visitor_;
  std::optional<Inside> inside_;
  std::optional<Trimming> trimming_;
  std::uint64_t now_ns_ = steady_clock_ns();
};

TEST_F(StoppedVisitor, keeps_memory_and_no_room) {
  EXPECT_LT(world_.fill(), grown_capacity - 1) << "the chunk is no room while it is on its way";
  world_.drain();
  trimming_->turn(now_ns_ += 60'000'000);
  EXPECT_FALSE(trimming_->is_busy());
  EXPECT_GE(world_.fill(), grown_capacity - 1);  // the stopped one may have a cell in hand
  for (const std::string& finding : check_invariants(inside_->segment(), false)) ADD_FAILURE() << finding;
}

TEST_F(StoppedVisitor, makes_no_producer_wait) {
  world_.fill();
  std::thread producer([this] { EXPECT_TRUE(world_.attach(Role::producer)->enqueue(world_.memory_job(), 10s)); });
  ASSERT_TRUE(
      test::await([this] { return Sleepers(inside_->segment(), inside_->segment().signals().space_waiters).any(); }));
  trimming_->turn(now_ns_ += 1'000'000);
  producer.join();
}

/// The arena's chunks (core/keeper/arena_trimming.h): four of 64 KiB.
constexpr std::uint32_t arena_chunks = 4;
constexpr std::size_t extent_bytes = 60'000;

class ArenaGrowthStepped : public GrowthStepped {
 protected:
  struct Filled : test::World {
    Filled() : World(options()) {}
    static CreateOptions options() {
      CreateOptions options = engine_of_three_chunks();
      options.cell_size = 256;
      options.max_payload = 64 * 1024;
      options.arena = arena_chunks * 64 * 1024;
      return options;
    }
    JobRequest large_job(std::string_view payload) const {
      JobRequest job = request(payload);
      job.durability = Durability::memory;
      return job;
    }
    std::uint32_t fill() {
      const auto producer = attach(Role::producer);
      const std::string payload(extent_bytes, 'p');
      std::uint32_t count = 0;
      while (producer->enqueue(large_job(payload))) ++count;
      return count;
    }
    void drain() {
      const auto worker = attach();
      while (auto job = worker->claim()) {
        EXPECT_EQ(as_text(job->payload()).find_first_not_of(as_text(job->payload())[0]), std::string_view::npos);
        must(job->complete());
      }
    }
  };
  static std::function<void()> enqueue_large(Filled& world) {
    return stepped_enqueue(world, [&world, payload = std::string(300, 'x')] { return world.large_job(payload); });
  }
  static std::uint32_t chunks_there(const Segment& segment) {
    std::uint32_t count = 0;
    for (std::uint32_t chunk = 0; chunk < arena_chunks; ++chunk) count += segment.has_arena_chunk(chunk) ? 1 : 0;
    return count;
  }
  static constexpr int turns_to_repair = 20;
};

TEST_F(ArenaGrowthStepped, a_keeper_that_is_killed_anywhere_while_it_gives_chunks_back_costs_no_extent) {
  std::optional<StepPath> path;
  {
    Filled world;
    ASSERT_EQ(world.fill(), arena_chunks);
    world.drain();
    path = path_of(give_back(world));
    const Inside inside(world.scratch);
    ASSERT_EQ(chunks_there(inside.segment()), 0U);
  }
  ASSERT_TRUE(path);
  for (const std::uint64_t n : sample_of(*path)) {
    SCOPED_TRACE("killed after " + std::to_string(n));
    Filled world;
    world.fill();
    world.drain();
    SteppedProcess process(give_back(world));
    ASSERT_EQ(process.run_to_begin(), State::between);
    process.follow(*path, n);
    process.kill();
    EXPECT_LE(world.fill(), arena_chunks);
    world.drain();
    repair(world, turns_to_repair);
    EXPECT_EQ(chunks_there(Inside(world.scratch).segment()), 0U);
    EXPECT_EQ(world.fill(), arena_chunks);
    world.drain();
  }
}

TEST_F(ArenaGrowthStepped, a_producer_that_is_stopped_anywhere_writes_to_no_chunk_that_has_gone) {
  std::optional<StepPath> path;
  {
    Filled world;
    world.fill();
    world.drain();
    path = path_of(enqueue_large(world));
  }
  ASSERT_TRUE(path);
  for (const std::uint64_t n : sample_of(*path)) {
    SCOPED_TRACE("stopped after " + std::to_string(n));
    Filled world;
    world.fill();
    world.drain();
    SteppedProcess process(enqueue_large(world));
    ASSERT_EQ(process.run_to_begin(), State::between);
    process.follow(*path, n);
    {
      Inside inside(world.scratch);
      Trimming trimming(inside.segment(), inside.number());
      std::uint64_t now_ns = steady_clock_ns();
      take_turns(trimming, 12, now_ns);
      ASSERT_EQ(process.run_to_end(), State::at_end) << process.ending();
      ASSERT_EQ(process.let_go(), State::ended);
      ASSERT_TRUE(process.ended_well()) << process.ending();
      take_turns(trimming, 12, now_ns);
      EXPECT_LE(chunks_there(inside.segment()), 1U);
    }
    world.drain();
    repair(world, turns_to_repair);
    EXPECT_EQ(world.fill(), arena_chunks);
    world.drain();
  }
}

TEST_F(ArenaGrowthStepped, a_producer_that_is_stopped_while_it_cuts_a_chunk_anew_takes_no_extent_from_others) {
  const auto enqueue_small = [](Filled& world) {
    return stepped_enqueue(world, [&world, payload = std::string(300, 's')] { return world.large_job(payload); });
  };
  std::optional<StepPath> path;
  {
    Filled world;
    path = path_of(enqueue_small(world));
  }
  ASSERT_TRUE(path);
  for (const std::uint64_t n : sample_of(*path, 2 * most_trials)) {
    SCOPED_TRACE("stopped after " + std::to_string(n));
    Filled world;
    SteppedProcess process(enqueue_small(world));
    ASSERT_EQ(process.run_to_begin(), State::between);
    process.follow(*path, n);
    const auto producer = world.attach(Role::producer);
    const auto enqueue_some = [&](char first) {
      for (char letter = first; letter < first + 13; ++letter) {
        must(producer->enqueue(world.large_job(std::string(300, letter))));
      }
    };
    enqueue_some('A');
    ASSERT_EQ(process.run_to_end(), State::at_end) << process.ending();
    ASSERT_EQ(process.let_go(), State::ended);
    ASSERT_TRUE(process.ended_well()) << process.ending();
    enqueue_some('N');
    for (const std::string& finding : check_invariants(Inside(world.scratch).segment(), false)) {
      ADD_FAILURE() << finding;
    }
    world.drain();
  }
}

}  // namespace
}  // namespace ringmill::crash
