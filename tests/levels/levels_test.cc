// Dynamic levels: making, using, removing them, and the overflow queue behind their small rings.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <thread>

#include "core/inspect/invariants.h"
#include "core/levels/dynamic_levels.h"
#include "ipc/spill_state.h"
#include "tests/support/await.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"
#include "tests/support/levels.h"

namespace ringmill::test {
namespace {

using std::chrono::seconds;

CreateOptions roomy_engine() {
  CreateOptions options = small_engine();
  options.capacity = 4096;
  return options;
}

JobRequest request_of(const World& world, Level level, std::uint32_t& number) {
  return {.kind = world.kind, .level = level, .payload = std::as_bytes(std::span(&number, 1))};
}

std::uint32_t number_in(const Job& job) {
  std::uint32_t number = 0;
  std::memcpy(&number, job.payload().data(), sizeof number);
  return number;
}

void enqueue_numbers(const World& world, Participant& producer, Level level, std::uint32_t begin, std::uint32_t end) {
  for (std::uint32_t n = begin; n < end; ++n) must(producer.enqueue(request_of(world, level, n)));
}

/// Claims and completes `count` jobs; their numbers.
std::vector<std::uint32_t> drain(Participant& worker, std::size_t count) {
  std::vector<std::uint32_t> numbers;
  while (numbers.size() < count) {
    auto job = worker.claim(seconds{20});
    if (!job) {
      ADD_FAILURE() << numbers.size() << " of " << count << " came: " << job.error().message();
      return numbers;
    }
    numbers.push_back(number_in(*job));
    must(job->complete());
  }
  return numbers;
}

std::vector<std::uint32_t> all_up_to(std::uint32_t count) {
  std::vector<std::uint32_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0U);
  return numbers;
}

/// Lists so many levels, n0 and so on, as the engine would; the next call that makes one opens them all.
void list_levels(const ScratchEngine& scratch, std::uint32_t count) {
  const auto core = scratch.open_core();
  LevelList list =
      must(LevelList::read(must(Directory::open(scratch.directory())), core->segment.geometry().level_ring_slots));
  for (std::uint32_t n = 0; n < count; ++n) {
    list.levels().push_back({.name = "n" + std::to_string(n), .place = n, .ring = must(list.piece_for(0))});
  }
  must(list.write(must(Directory::open(scratch.directory())), 0600));
}

TEST(DynamicLevel, a_dynamic_level_takes_jobs_and_is_listed) {
  World world;
  const Level level = must(world.engine.add_level("tenant-1", {.weight = 7}));
  EXPECT_EQ(must(world.engine.level("tenant-1")), level);
  EXPECT_EQ(world.engine.level_name(level), "tenant-1");
  EXPECT_EQ(world.engine.levels(), (std::vector<std::string>{"high", "default", "low", "tenant-1"}));
  const auto producer = world.attach();
  const JobId id = must(producer->enqueue({.kind = world.kind, .level = level}));
  EXPECT_EQ(must(world.engine.job(id)).level, "tenant-1");
  const EngineStatus status = world.engine.status();
  ASSERT_EQ(status.levels.size(), 4U);
  EXPECT_EQ(status.levels[3].queued, 1U);
  EXPECT_EQ(status.levels[3].weight, 7U);
  const auto job = must(producer->claim());
  EXPECT_EQ(job.id(), id);
  EXPECT_EQ(job.level(), level);
}

TEST(DynamicLevel, a_name_is_given_once) {
  World world;
  must(world.engine.add_level("tenant-1"));
  for (const char* name : {"tenant-1", "high"}) {
    const auto again = world.engine.add_level(name);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code(), ErrorCode::already_exists);
  }
}

TEST(DynamicLevel, a_worker_of_all_levels_that_sleeps_gets_a_job_of_a_level_made_later) {
  World world(small_engine(), {});
  std::thread later([&world] {
    std::this_thread::sleep_for(std::chrono::milliseconds{50});
    const Level level = must(world.engine.add_level("later"));
    const auto producer = world.attach(Role::producer);
    must(producer->enqueue({.kind = world.kind, .level = level}));
  });
  const auto worker = world.attach();
  const auto job = worker->claim(seconds{20});
  later.join();
  ASSERT_TRUE(job) << job.error().message();
  EXPECT_EQ(world.engine.level_name(job->level()), "later");
}

TEST(DynamicLevel, a_removed_level_refuses_calls_with_its_old_handle) {
  World world(small_engine(), {});
  const Level level = must(world.engine.add_level("brief"));
  const auto producer = world.attach();
  must(world.engine.remove_level("brief"));
  const auto refused = producer->enqueue({.kind = world.kind, .level = level});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::level_removed);
  EXPECT_EQ(world.engine.level("brief").error().code(), ErrorCode::not_found);
  const Level again = must(world.engine.add_level("brief"));
  EXPECT_NE(again, level);
  EXPECT_FALSE(producer->enqueue({.kind = world.kind, .level = level}));
  EXPECT_TRUE(producer->enqueue({.kind = world.kind, .level = again}));
}

TEST(DynamicLevel, one_with_jobs_is_not_removed_and_stays_open) {
  World world(small_engine(), {});
  const Level level = must(world.engine.add_level("busy"));
  const auto producer = world.attach();
  must(producer->enqueue({.kind = world.kind, .level = level}));
  auto job = must(producer->claim());
  const auto removed = world.engine.remove_level("busy");
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code(), ErrorCode::busy);
  EXPECT_NE(removed.error().message().find("1 jobs"), std::string::npos) << removed.error().message();
  EXPECT_TRUE(producer->enqueue({.kind = world.kind, .level = level}));
  must(job.complete());
  must(must(producer->claim()).complete());
  EXPECT_TRUE(world.engine.remove_level("busy"));
}

TEST(DynamicLevel, a_fixed_level_stays) {
  World world(small_engine(), {});
  EXPECT_EQ(world.engine.remove_level("low").error().code(), ErrorCode::invalid_argument);
}

TEST(DynamicLevel, a_worker_that_waits_for_jobs_of_one_is_told_of_its_removal_and_goes_on_with_the_rest) {
  World world(small_engine(), {});
  const Level level = must(world.engine.add_level("brief"));
  std::thread remover([&world] {
    std::this_thread::sleep_for(std::chrono::milliseconds{50});
    must(world.engine.remove_level("brief"));
  });
  const auto worker = world.attach();
  must(worker->subscribe({.levels = {level, world.level}}));
  const auto told = worker->claim(seconds{20});
  remover.join();
  ASSERT_FALSE(told);
  EXPECT_EQ(told.error().code(), ErrorCode::level_removed);
  EXPECT_NE(told.error().message().find("brief"), std::string::npos) << told.error().message();
  world.enqueue(*worker, "rest");
  EXPECT_TRUE(worker->claim(seconds{20}));
}

TEST(DynamicLevel, with_no_level_left_every_claim_says_so) {
  World world(small_engine(), {});
  const Level level = must(world.engine.add_level("brief"));
  const auto worker = world.attach();
  must(worker->subscribe({.levels = {level}}));
  must(world.engine.remove_level("brief"));
  for (int n = 0; n < 3; ++n) EXPECT_EQ(worker->claim(seconds{20}).error().code(), ErrorCode::level_removed);
}

TEST(DynamicLevel, every_name_gets_a_ring_and_one_too_many_is_refused) {
  World world;
  list_levels(world.scratch, most_dynamic_levels - 1);
  must(world.engine.add_level("the-last-one"));
  const auto refused = world.engine.add_level("one-too-many");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::no_space);
  // No two rings overlap.
  const Inside inside(world.scratch);
  const Segment& segment = inside.segment();
  std::vector<RingPiece> pieces;
  for (std::uint32_t n = segment.geometry().level_count; n < segment.geometry().level_numbers(); ++n) {
    pieces.push_back(RingPiece::of(segment.level(n).dynamic_ring.load()));
    EXPECT_TRUE(pieces.back().is_within(segment.geometry().level_ring_slots));
  }
  std::ranges::sort(pieces, {}, &RingPiece::first);
  for (std::size_t n = 1; n < pieces.size(); ++n) {
    EXPECT_LE(pieces[n - 1].first + pieces[n - 1].slots, pieces[n].first);
  }
}

TEST(DynamicLevel, a_ring_that_does_not_fit_is_refused_and_a_smaller_one_offered) {
  CreateOptions options = small_engine();
  options.level_rings = 1U << 16;
  World world(options);
  must(world.engine.add_level("a", {.ring = 1U << 15}));
  const auto refused = world.engine.add_level("b", {.ring = 1U << 16});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::no_space);
  EXPECT_NE(refused.error().message().find("32768"), std::string::npos) << refused.error().message();
  EXPECT_TRUE(world.engine.add_level("b", {.ring = 1U << 15}));
}

TEST(DynamicLevel, a_number_is_used_again_with_the_next_epoch_and_its_ring_works) {
  World world(small_engine(), {});
  list_levels(world.scratch, most_dynamic_levels - 1);
  must(world.engine.add_level("the-last-one"));
  const Level old = must(world.engine.level("n5"));
  const auto worker = world.attach();
  enqueue_numbers(world, *worker, old, 0, 10);
  EXPECT_EQ(drain(*worker, 10), all_up_to(10));
  must(world.engine.remove_level("n5"));
  const Level next = must(world.engine.add_level("again"));
  const Inside inside(world.scratch);
  EXPECT_EQ(number_of(inside.segment(), next), number_of(inside.segment(), old));
  EXPECT_FALSE(worker->enqueue({.kind = world.kind, .level = old}));
  enqueue_numbers(world, *worker, next, 0, 10);
  EXPECT_EQ(drain(*worker, 10), all_up_to(10));
}

TEST(DynamicLevel, a_removal_that_died_leaves_the_level_open) {
  World world;
  const Level level = must(world.engine.add_level("half"));
  Inside inside(world.scratch);
  const std::uint32_t number = number_of(inside.segment(), level);
  const auto producer = world.attach();
  constexpr std::uint16_t closer = 77;
  inside.segment().level(number).dynamic_state.store(
      LevelWord{.state = LevelState::closing, .epoch = 0, .closer = closer + 1}.bits());
  EXPECT_EQ(producer->enqueue({.kind = world.kind, .level = level}).error().code(), ErrorCode::level_removed);
  reopen_levels_closed_by(inside.segment(), closer - 1);
  EXPECT_FALSE(producer->enqueue({.kind = world.kind, .level = level})) << "another one's death opens nothing";
  reopen_levels_closed_by(inside.segment(), closer);
  EXPECT_TRUE(producer->enqueue({.kind = world.kind, .level = level}));
}

TEST(DynamicLevel, a_level_that_is_listed_and_not_yet_open_is_opened_by_the_next_maker) {
  World world;
  must(world.engine.add_level("first"));
  {
    const Inside inside(world.scratch);
    inside.segment().level(inside.segment().geometry().level_count).dynamic_state.store(0);  // as killed after level.A2
  }
  EXPECT_FALSE(world.engine.level("first"));
  must(world.engine.add_level("second"));
  EXPECT_TRUE(world.engine.level("first"));
}

TEST(DynamicLevel, hostile_words_of_a_level_harm_no_other_level) {
  World world(small_engine(), {});
  const Level level = must(world.engine.add_level("victim", {.ring = 16}));
  const Inside inside(world.scratch);
  LevelEntry& entry = inside.segment().level(number_of(inside.segment(), level));
  entry.dynamic_ring.store(~std::uint64_t{0});
  entry.head.store(~std::uint64_t{0} - 3);
  const auto worker = world.attach();
  static_cast<void>(worker->enqueue({.kind = world.kind, .level = level}));
  const JobId sound = world.enqueue(*worker, "sound");
  must(worker->subscribe({.levels = {world.level}}));
  EXPECT_EQ(must(worker->claim(seconds{20})).id(), sound);
}

TEST(DynamicLevel, a_hostile_level_number_in_a_cell_is_no_index) {
  World world;
  const auto worker = world.attach();
  Inside inside(world.scratch);
  for (const std::uint16_t number :
       {std::uint16_t{3}, std::uint16_t{1026}, std::uint16_t{1027}, std::uint16_t{65535}}) {
    const JobId id = world.enqueue(*worker, "x");
    inside.table().header(index_of(id)).level.store(number);
    inside.work().reap_all();
    inside.work().turn(true);
    EXPECT_FALSE(check_invariants(inside.segment(), false).empty());
    EXPECT_EQ(must(world.engine.job(id)).level, "?");
    EXPECT_EQ(world.state_of(id), JobState::dead) << "the scan buries what no level claims";
  }
}

TEST(OverflowQueue, jobs_beyond_a_small_ring_are_drained_in_their_order) {
  World world(roomy_engine(), {});
  const Level level = must(world.engine.add_level("tube", {.ring = 16}));
  const auto worker = world.attach();
  enqueue_numbers(world, *worker, level, 0, 3000);
  EXPECT_EQ(drain(*worker, 3000), all_up_to(3000));
  EXPECT_EQ(worker->claim().error().code(), ErrorCode::would_block);
}

TEST(OverflowQueue, a_later_job_does_not_overtake_the_queue) {
  World world(roomy_engine(), {});
  const Level level = must(world.engine.add_level("tube", {.ring = 16}));
  const auto worker = world.attach();
  std::uint32_t in = 0;
  std::uint32_t out = 0;
  enqueue_numbers(world, *worker, level, in, in + 100);
  in += 100;
  for (int round = 0; round < 200; ++round) {
    for (int n = 0; n < 5; ++n) ASSERT_EQ(drain(*worker, 1), std::vector{out++});
    enqueue_numbers(world, *worker, level, in, in + 5);
    in += 5;
  }
  while (out < in) ASSERT_EQ(drain(*worker, 1), std::vector{out++});
}

TEST(OverflowQueue, batches_keep_their_order_too) {
  World world(roomy_engine(), {});
  const Level level = must(world.engine.add_level("tube", {.ring = 16}));
  const auto worker = world.attach();
  std::array<std::uint32_t, 64> numbers{};
  std::array<JobId, 64> ids;
  for (std::uint32_t begin = 0; begin < 640; begin += 64) {
    std::vector<JobRequest> requests;
    for (std::uint32_t n = 0; n < 64; ++n) {
      numbers[n] = begin + n;
      requests.push_back(request_of(world, level, numbers[n]));
    }
    ASSERT_EQ(must(worker->enqueue_batch(requests, ids)), 64U);
  }
  EXPECT_EQ(drain(*worker, 640), all_up_to(640));
}

TEST(OverflowQueue, the_next_keeper_refills_in_the_order_of_the_dead_one) {
  World world(roomy_engine());
  const Level level = must(world.engine.add_level("tube", {.ring = 16}));
  Child keeper([&world]() -> int {
    const Engine engine = world.scratch.open();
    for (;;) ::pause();
  });
  const Inside inside(world.scratch);
  ASSERT_TRUE(await([&inside] { return inside.segment().signals().keeper_participant.load_once() != 0U; }));
  const auto worker = world.attach();
  enqueue_numbers(world, *worker, level, 0, 1000);
  EXPECT_EQ(drain(*worker, 100).back(), 99U);
  keeper.kill();
  std::vector<std::uint32_t> drained = all_up_to(100);
  for (auto job = worker->claim(); job; job = worker->claim()) {  // what has a place in the ring
    drained.push_back(number_in(*job));
    must(job->complete());
  }
  ASSERT_LT(drained.size(), 1000U);
  enqueue_numbers(world, *worker, level, 1000, 1100);
  const Engine next = world.scratch.open();
  for (const std::uint32_t number : drain(*worker, 1100 - drained.size())) drained.push_back(number);
  EXPECT_EQ(drained, all_up_to(1100));
}

TEST(OverflowQueue, a_worker_of_one_kind_gets_its_job_from_behind_a_full_ring_of_others) {
  World world(roomy_engine(), {});
  const Level level = must(world.engine.add_level("tube", {.ring = 16}));
  const Kind rare = must(world.engine.kind("rare"));
  const auto worker = world.attach();
  enqueue_numbers(world, *worker, level, 0, 200);
  const JobId id = must(worker->enqueue({.kind = rare, .level = level}));
  must(worker->subscribe({.levels = {level}, .kinds = {rare}}));
  const auto job = worker->claim(seconds{20});
  ASSERT_TRUE(job) << job.error().message();
  EXPECT_EQ(job->id(), id);
}

TEST(OverflowQueue, a_worker_of_one_kind_gets_its_job_from_whichever_of_its_levels_has_it) {
  World world(roomy_engine(), {});
  const Kind rare = must(world.engine.kind("rare"));
  const auto worker = world.attach();
  std::vector<Level> levels;
  for (const char* name : {"a", "b", "c"}) {
    levels.push_back(must(world.engine.add_level(name, {.ring = 16})));
    enqueue_numbers(world, *worker, levels.back(), 0, 200);
  }
  must(worker->subscribe({.levels = levels, .kinds = {rare}}));
  for (const Level level : levels) {
    const JobId id = must(worker->enqueue({.kind = rare, .level = level}));
    auto job = worker->claim(seconds{20});
    ASSERT_TRUE(job) << world.engine.level_name(level) << ": " << job.error().message();
    EXPECT_EQ(job->id(), id);
    must(job->complete());
  }
}

TEST(OverflowQueue, a_fixed_levels_backlog_beyond_its_ring_is_drained_in_its_order) {
  CreateOptions options = small_engine();
  options.capacity = 160'000;  // a ring has 65,536 places
  World world(options, {});
  const Level level = must(world.engine.level("default"));
  const auto worker = world.attach();
  constexpr std::uint32_t jobs = 150'000;
  enqueue_numbers(world, *worker, level, 0, jobs);
  EXPECT_EQ(drain(*worker, jobs), all_up_to(jobs));
}

TEST(OverflowQueue, the_state_is_direct_when_the_queue_is_empty) {
  World world(roomy_engine(), {});
  const Level level = must(world.engine.add_level("tube", {.ring = 16}));
  const auto worker = world.attach();
  enqueue_numbers(world, *worker, level, 0, 100);
  const Inside inside(world.scratch);
  const LevelEntry& entry = inside.segment().level(number_of(inside.segment(), level));
  EXPECT_FALSE(SpillState::is_direct(entry.overflow.load()));
  drain(*worker, 100);
  EXPECT_TRUE(await([&entry] { return SpillState::is_direct(entry.overflow.load()); }));
}

TEST(OverflowQueue, many_levels_with_more_jobs_than_their_rings_are_drained_each_in_order) {
  CreateOptions options = small_engine();
  options.capacity = 8192;
  World world(options, {});
  constexpr std::uint32_t count = 80;
  constexpr std::uint32_t jobs = 100;
  std::vector<Level> levels;
  for (std::uint32_t n = 0; n < count; ++n) {
    levels.push_back(must(world.engine.add_level("t" + std::to_string(n), {.ring = 16})));
  }
  const auto worker = world.attach();
  for (std::uint32_t n = 0; n < jobs; ++n) {
    for (const Level level : levels) must(worker->enqueue(request_of(world, level, n)));
  }
  for (const Level level : levels) {
    must(worker->subscribe({.levels = {level}}));
    ASSERT_EQ(drain(*worker, jobs), all_up_to(jobs));
  }
}

TEST(OverflowQueue, order_is_kept_while_the_ring_spills_and_drains_all_the_time) {
  World world(roomy_engine(), {});
  const Level level = must(world.engine.add_level("tube", {.ring = 16}));
  constexpr std::uint32_t jobs = 200'000;
  std::atomic<std::uint32_t> out{0};
  std::thread enqueuing([&] {
    const auto producer = world.attach(Role::producer);
    for (std::uint32_t n = 0; n < jobs; ++n) {
      while (n - out.load() > 30 + n % 20) std::this_thread::yield();
      must(producer->enqueue(request_of(world, level, n)));
    }
  });
  const auto worker = world.attach();
  std::uint32_t overtaken = 0;
  for (std::uint32_t n = 0; n < jobs; ++n) {
    auto job = must(worker->claim(seconds{20}));
    if (number_in(job) != n) ++overtaken;
    must(job.complete());
    ++out;
  }
  enqueuing.join();
  EXPECT_EQ(overtaken, 0U);
}

/// A ring that is full, and a keeper's overflow queue in the test's hands. What is enqueued next goes there.
struct FullRing {
  FullRing() {
    room.note_scan_ended();
    enqueue_numbers(world, *worker, level, 0, 16);
  }

  JobId enqueue(std::uint32_t number) { return must(worker->enqueue(request_of(world, level, number))); }

  World world{roomy_engine()};
  Level level = must(world.engine.add_level("tube", {.ring = 16}));
  std::unique_ptr<Participant> worker = world.attach();
  Inside inside{world.scratch};
  Settling settling{inside.segment(), inside.number()};
  OverflowQueue room{inside.segment(), settling};
};

TEST(OverflowQueue, a_new_job_does_not_overtake_while_the_ring_drains) {
  FullRing full;
  const JobId before = full.enqueue(16);
  drain(*full.worker, 16);
  JobId newcomer;
  full.room.begin_pass();
  full.room.turn([&] {  // it knows of no job, and scans once more
    full.room.begin_pass();
    newcomer = full.enqueue(17);
    full.room.add_marked(index_of(before));
  });
  EXPECT_EQ(full.worker->claim().error().code(), ErrorCode::would_block);
  full.room.begin_pass();
  full.room.add_marked(index_of(newcomer));
  full.room.turn([&] { full.room.begin_pass(); });
  EXPECT_EQ(drain(*full.worker, 2), (std::vector<std::uint32_t>{16, 17}));
}

TEST(OverflowQueue, a_job_that_a_pass_missed_is_not_overtaken_by_one_that_it_saw) {
  FullRing full;
  const JobId passed_by = full.enqueue(16);
  const JobId found = full.enqueue(17);
  drain(*full.worker, 16);
  full.room.begin_pass();
  full.room.add_marked(index_of(found));
  full.room.turn([&] {
    full.room.begin_pass();
    full.room.add_marked(index_of(passed_by));
  });
  EXPECT_EQ(drain(*full.worker, 2), (std::vector<std::uint32_t>{16, 17}));
}

TEST(OverflowQueue, an_empty_queue_lets_new_jobs_in_at_once) {
  FullRing full;
  const JobId last = full.enqueue(16);
  drain(*full.worker, 16);
  full.room.begin_pass();
  full.room.add_marked(index_of(last));
  for (int n = 0; n < 2; ++n) full.room.turn([&] { full.room.begin_pass(); });
  full.enqueue(17);
  EXPECT_EQ(drain(*full.worker, 2), (std::vector<std::uint32_t>{16, 17}));
}

TEST(DynamicLevelRecovery, levels_and_their_jobs_come_back_in_order_from_the_journal) {
  const ScratchEngine scratch(roomy_engine());
  std::vector<JobId> ids;
  {
    Engine engine = scratch.open();
    const Level level = must(engine.add_level("tube", {.weight = 5, .ring = 16}));
    must(engine.add_level("empty"));
    must(engine.remove_level("empty"));
    const auto producer = must(engine.attach(Role::producer));
    const Kind kind = must(engine.kind(kind_name));
    for (std::uint32_t n = 0; n < 50; ++n) {
      ids.push_back(
          must(producer->enqueue({.kind = kind, .level = level, .durability = Durability::durable}, seconds{20})));
    }
  }
  std::filesystem::remove(scratch.segment_file());
  Engine engine = scratch.open();
  EXPECT_EQ(engine.levels(), (std::vector<std::string>{"high", "default", "low", "tube"}));
  EXPECT_EQ(engine.status().levels[3].weight, 5U);
  const auto worker = must(engine.attach(Role::worker));
  std::vector<JobId> drained;
  while (drained.size() < ids.size()) {
    auto job = must(worker->claim(seconds{20}));
    drained.push_back(job.id());
    must(job.complete());
  }
  EXPECT_EQ(drained, ids);
}

TEST(DynamicLevelRecovery, a_level_that_was_listed_as_removed_comes_back_if_a_job_of_it_does) {
  const ScratchEngine scratch(roomy_engine());
  JobId id;
  {
    Engine engine = scratch.open();
    const Level level = must(engine.add_level("tube"));
    const auto producer = must(engine.attach(Role::producer));
    id = must(producer->enqueue(
        {.kind = must(engine.kind(kind_name)), .level = level, .durability = Durability::durable}, seconds{20}));
  }
  const auto core = scratch.open_core();
  LevelList list =
      must(LevelList::read(must(Directory::open(scratch.directory())), core->segment.geometry().level_ring_slots));
  ASSERT_NE(list.find("tube"), nullptr);
  list.find("tube")->is_removed = true;  // as killed after level.R4, and the keeper opened it again
  must(list.write(must(Directory::open(scratch.directory())), 0600));
  std::filesystem::remove(scratch.segment_file());
  Engine engine = scratch.open();
  const auto worker = must(engine.attach(Role::worker));
  const auto job = worker->claim(seconds{20});
  ASSERT_TRUE(job) << job.error().message();
  EXPECT_EQ(job->id(), id);
  EXPECT_EQ(engine.level_name(job->level()), "tube");
}

TEST(DynamicLevelRecovery, a_damaged_list_of_levels_is_named) {
  const ScratchEngine scratch(small_engine());
  must(write_file_durably(scratch.directory() / level_list_file, "{\"format\":1,\"levels\":[{\"name\":\"../x\"}]}",
                          0600));
  std::filesystem::remove(scratch.segment_file());
  const auto engine = Engine::open(scratch.directory());
  ASSERT_FALSE(engine);
  EXPECT_EQ(engine.error().code(), ErrorCode::corrupt);
  EXPECT_NE(engine.error().message().find("levels.json"), std::string::npos) << engine.error().message();
}

}  // namespace
}  // namespace ringmill::test
