// A table that grows as jobs come (core/table/growth.h), and gives its memory back when they have gone
// (core/keeper/trimming.h).
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <set>
#include <thread>
#include <vector>

#include "core/inspect/invariants.h"
#include "core/keeper/trimming.h"
#include "ipc/visits.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"
#include "tests/support/small_tmpfs.h"

namespace ringmill::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t roomy = 64 * 1024;
constexpr std::uint64_t mib = 1024 * 1024;

/// 64 chunks of 1,024 cells, of which an empty engine has two.
CreateOptions growing_engine() {
  CreateOptions options = small_engine();
  options.capacity = roomy;
  options.cell_size = 256;
  options.keep_memory = milliseconds{0};
  return options;
}

/// An engine whose memory is in a tmpfs of a given size. Null: only root can mount one.
struct CrampedWorld {
  explicit CrampedWorld(const char* size, CreateOptions options) : tmpfs(size) {
    if (!tmpfs.is_mounted()) return;
    options.shm_dir = tmpfs.path();
    must(Engine::create(folder.path() / "engine", options));
    engine.emplace(must(Engine::open(folder.path() / "engine", without_keeper)));
    kind = must(engine->kind(kind_name));
  }
  JobRequest of(const char* level) const {
    return {.kind = kind, .level = must(engine->level(level)), .payload = as_payload("0123456789")};
  }

  SmallTmpfs tmpfs;
  ScratchFolder folder;
  std::optional<Engine> engine;
  Kind kind{};
};

std::uint32_t enqueue_until_full(Participant& producer, const JobRequest& request, std::string* refusal = nullptr) {
  for (std::uint32_t count = 0;; ++count) {
    const auto id = producer.enqueue(request);
    if (id) continue;
    if (refusal != nullptr) *refusal = id.error().message();
    return count;
  }
}

std::vector<JobId> enqueue_many(const World& world, Participant& producer, std::uint32_t count) {
  std::vector<JobId> ids;
  for (std::uint32_t n = 0; n < count; ++n) {
    JobRequest request = world.request("0123456789");
    request.durability = Durability::memory;  // no journal thread takes its marks
    auto id = producer.enqueue(request);
    if (!id) break;
    ids.push_back(*id);
  }
  return ids;
}

void drain_all(Participant& worker) {
  std::vector<Job> jobs(64);
  while (const auto claimed = worker.claim_batch(jobs, milliseconds{0})) {
    static_cast<void>(worker.complete_batch(std::span(jobs).first(*claimed)));
  }
  worker.release_prefetched();
}

/// Lets a keeper of the test take turns until it has nothing on its way. Its looks at the chunks are a second apart at
/// most, so the clock is the caller's.
void trim(Trimming& trimming, std::uint64_t& now_ns) {
  for (int n = 0; n < 200; ++n) {
    now_ns += 2'000'000'000;
    trimming.turn(now_ns);
  }
}

TEST(Growth, an_empty_engine_takes_little_and_a_full_one_holds_its_capacity) {
  World world(growing_engine());
  const Inside inside(world.scratch);
  const std::uint64_t before = inside.segment().allocated_bytes();
  const auto producer = world.attach(Role::producer);
  EXPECT_EQ(enqueue_many(world, *producer, roomy + 1).size(), roomy);
  const auto refused = producer->enqueue(world.request("one too many"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::would_block);
  EXPECT_EQ(refused.error().message().find("tmpfs"), std::string::npos) << refused.error().message();
  EXPECT_GT(inside.segment().allocated_bytes(), before + 15 * mib);
  EXPECT_TRUE(check_invariants(inside.segment(), false).empty());
}

TEST(Growth, the_default_engine_takes_at_most_8_mib_when_it_is_empty) {
  CreateOptions options;
  options.levels = {"high", "default", "low"};
  const ScratchEngine scratch(options);
  const EngineStatus status = scratch.open(without_keeper).status();
  EXPECT_EQ(status.capacity, 4U << 20);  // where the tmpfs is large enough for that
  EXPECT_LE(status.memory_bytes, 8 * mib);
}

TEST(Growth, many_producers_grow_at_once_and_no_job_is_lost) {
  World world(growing_engine());
  constexpr std::uint32_t each = 12'000;
  std::vector<std::thread> threads;
  std::array<std::vector<JobId>, 4> ids;
  for (auto& own : ids) {
    threads.emplace_back([&world, &own] {
      const auto producer = world.attach(Role::producer);
      own = enqueue_many(world, *producer, each);
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<std::uint64_t> all;
  for (const auto& own : ids) {
    EXPECT_EQ(own.size(), each);
    for (const JobId id : own) all.insert(id.value());
  }
  EXPECT_EQ(all.size(), 4 * each);
  EXPECT_EQ(world.engine.status().levels[1].queued, 4 * each);
}

TEST(Growth, a_level_keeps_its_share_of_what_there_is_when_the_tmpfs_is_full) {
  CreateOptions options = growing_engine();
  options.reserve = {{"high", 6400}};
  CrampedWorld world("size=12m", options);
  if (!world.engine) GTEST_SKIP() << "only root can mount a tmpfs";
  const auto producer = must(world.engine->attach(Role::producer));
  std::string refusal;
  const std::uint32_t lows = enqueue_until_full(*producer, world.of("low"), &refusal);
  EXPECT_GT(lows, 4096U);
  EXPECT_LT(lows, roomy);
  EXPECT_NE(refusal.find("the tmpfs of the engine's shared memory is full"), std::string::npos) << refusal;
  EXPECT_GE(enqueue_until_full(*producer, world.of("high")), lows / 20);
}

TEST(Growth, it_goes_on_by_itself_when_the_tmpfs_has_room_again) {
  CrampedWorld world("size=24m", growing_engine());
  if (!world.engine) GTEST_SKIP() << "only root can mount a tmpfs";
  const std::filesystem::path other = world.tmpfs.path() / "other";
  {
    std::ofstream file(other, std::ios::binary);
    const std::vector<char> block(mib / 16);
    while (file.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }
  const auto producer = must(world.engine->attach(Role::producer));
  const JobRequest request = world.of("default");
  EXPECT_LT(enqueue_until_full(*producer, request), 8192U);
  std::filesystem::remove(other);
  EXPECT_TRUE(producer->enqueue(request, seconds{10}));
  EXPECT_GT(enqueue_until_full(*producer, request), 4096U);
}

TEST(Trimming, memory_goes_back_when_the_backlog_has_gone) {
  World world(growing_engine());
  Inside inside(world.scratch);
  const std::uint64_t before = inside.segment().allocated_bytes();
  const auto worker = world.attach();
  enqueue_many(world, *worker, roomy);
  drain_all(*worker);
  inside.scan();
  Trimming trimming(inside.segment(), inside.number());
  std::uint64_t now_ns = steady_clock_ns();
  trim(trimming, now_ns);
  EXPECT_FALSE(trimming.is_busy());
  EXPECT_LE(inside.segment().allocated_bytes(), before + mib);
  EXPECT_TRUE(check_invariants(inside.segment(), false).empty());
}

TEST(Trimming, no_id_is_given_twice_by_a_chunk_that_went_and_came_back) {
  World world(growing_engine());
  Inside inside(world.scratch);
  const auto worker = world.attach();
  std::set<std::uint64_t> given;
  std::uint64_t now_ns = steady_clock_ns();
  JobId first_of_all;
  for (int round = 0; round < 3; ++round) {
    const std::vector<JobId> ids = enqueue_many(world, *worker, 20'000);
    ASSERT_EQ(ids.size(), 20'000U);
    if (round == 0) first_of_all = ids.back();
    for (const JobId id : ids) EXPECT_TRUE(given.insert(id.value()).second);
    drain_all(*worker);
    inside.scan();
    Trimming trimming(inside.segment(), inside.number());
    trim(trimming, now_ns);
    // Its cell is not there.
    EXPECT_FALSE(inside.table().is_there(index_of(ids.back())));
    EXPECT_EQ(world.state_of(first_of_all), JobState::ended);
  }
}

TEST(Trimming, a_visit_that_has_not_ended_keeps_the_memory) {
  World world(growing_engine());
  Inside inside(world.scratch);
  const auto worker = world.attach();
  enqueue_many(world, *worker, roomy);
  drain_all(*worker);
  inside.scan();
  const auto other = world.attach();
  Visits visits(inside.segment().participant(static_cast<std::uint32_t>(other->number())).visit);
  visits.begin();  // as of a process that was stopped inside a call
  Trimming trimming(inside.segment(), inside.number());
  const std::uint64_t full = inside.segment().allocated_bytes();
  std::uint64_t now_ns = steady_clock_ns();
  trim(trimming, now_ns);
  EXPECT_TRUE(trimming.is_busy());
  EXPECT_EQ(inside.segment().allocated_bytes(), full);
  visits.end();
  trim(trimming, now_ns);
  EXPECT_LT(inside.segment().allocated_bytes(), full - 10 * mib);
}

TEST(Trimming, a_look_of_another_process_keeps_the_memory) {
  World world(growing_engine());
  Inside inside(world.scratch);
  const auto worker = world.attach();
  enqueue_many(world, *worker, roomy);
  drain_all(*worker);
  inside.scan();
  const auto other = world.scratch.open_core();  // its own open file, as another process has one
  Trimming trimming(inside.segment(), inside.number());
  const std::uint64_t full = inside.segment().allocated_bytes();
  std::uint64_t now_ns = steady_clock_ns();
  {
    const auto look = other->segment.look();
    trim(trimming, now_ns);
    EXPECT_EQ(inside.segment().allocated_bytes(), full);
  }
  trim(trimming, now_ns);
  EXPECT_LT(inside.segment().allocated_bytes(), full - 10 * mib);
}

TEST(Trimming, cells_in_use_stay_and_so_does_the_chunk_around_them) {
  World world(growing_engine());
  Inside inside(world.scratch);
  const auto worker = world.attach();
  const std::vector<JobId> ids = enqueue_many(world, *worker, roomy);
  std::vector<Job> held;
  std::vector<Job> jobs(64);
  while (const auto claimed = worker->claim_batch(jobs, milliseconds{0})) {
    for (std::size_t n = 0; n < *claimed; ++n) {
      if (jobs[n].id() == ids.back()) {
        held.push_back(std::move(jobs[n]));
      } else {
        must(jobs[n].complete());
      }
    }
  }
  ASSERT_EQ(held.size(), 1U);
  worker->release_prefetched();
  inside.scan();
  Trimming trimming(inside.segment(), inside.number());
  std::uint64_t now_ns = steady_clock_ns();
  trim(trimming, now_ns);
  EXPECT_EQ(world.state_of(ids.back()), JobState::running);
  must(held.front().complete());
  EXPECT_EQ(world.state_of(ids.back()), JobState::ended);
}

TEST(Trimming, a_keeper_that_dies_on_the_way_leaves_nothing_behind) {
  for (int turns = 1; turns < 12; ++turns) {
    World world(growing_engine());
    const auto worker = world.attach();
    enqueue_many(world, *worker, roomy);
    drain_all(*worker);
    std::uint64_t now_ns = steady_clock_ns();
    std::uint32_t dead = 0;
    {
      Inside first(world.scratch);
      first.scan();
      dead = first.number();
      Trimming trimming(first.segment(), first.number());
      for (int n = 0; n < turns; ++n) trimming.turn(now_ns += 2'000'000'000);
    }
    Inside next(world.scratch);
    Trimming trimming(next.segment(), next.number());
    TableScan::Owners owners;
    owners.set(dead);
    next.scan(owners);
    trim(trimming, now_ns);
    EXPECT_TRUE(check_invariants(next.segment(), false).empty()) << turns;
    EXPECT_EQ(enqueue_many(world, *worker, roomy).size(), roomy) << turns;
    EXPECT_EQ(world.engine.status().levels[1].queued, roomy) << turns;
  }
}

TEST(Trimming, a_chunk_whose_cells_the_journal_has_not_visited_stays) {
  World world(growing_engine());
  Inside inside(world.scratch);
  const auto worker = world.attach();
  enqueue_many(world, *worker, 20'000);
  drain_all(*worker);
  inside.scan();
  JournalMarks marks = inside.segment().marks();
  marks.mark_ended(10'000 / 64, 1);
  Trimming trimming(inside.segment(), inside.number());
  std::uint64_t now_ns = steady_clock_ns();
  trim(trimming, now_ns);
  EXPECT_TRUE(inside.table().is_there(10'000));
  EXPECT_FALSE(inside.table().is_there(15'000));
  EXPECT_TRUE(check_invariants(inside.segment(), false).empty());
  EXPECT_EQ(enqueue_many(world, *worker, roomy).size(), roomy);
}

TEST(Growth, more_jobs_than_an_empty_engine_has_cells_come_back_from_the_journal) {
  ScratchEngine scratch(growing_engine());
  constexpr std::uint32_t count = 30'000;
  {
    Engine engine = scratch.open();
    const auto producer = must(engine.attach(Role::producer));
    const Kind kind = must(engine.kind(kind_name));
    const Level level = must(engine.level("default"));
    for (std::uint32_t n = 0; n < count; ++n) {
      must(producer->enqueue({.kind = kind, .level = level, .payload = as_payload("x")}));
    }
    must(producer->wait_durable(producer->ticket(), seconds{20}));
  }
  std::filesystem::remove(scratch.segment_file());
  Engine engine = scratch.open();
  EXPECT_EQ(engine.status().levels[1].queued, count);
  const auto worker = must(engine.attach(Role::worker));
  std::uint32_t done = 0;
  std::vector<Job> jobs(64);
  while (const auto claimed = worker->claim_batch(jobs, milliseconds{200})) {
    done += static_cast<std::uint32_t>(*claimed);
    static_cast<void>(worker->complete_batch(std::span(jobs).first(*claimed)));
  }
  EXPECT_EQ(done, count);
}

}  // namespace
}  // namespace ringmill::test
