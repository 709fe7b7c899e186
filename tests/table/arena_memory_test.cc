// The arena takes memory as its jobs come, and gives it back when they have gone (core/keeper/arena_trimming.h).
#include <gtest/gtest.h>
#include <ringmill/values.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "core/inspect/invariants.h"
#include "core/keeper/trimming.h"
#include "core/table/arena.h"
#include "core/table/free_cells.h"
#include "ipc/visits.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t chunk_bytes = 64 * 1024;
constexpr std::uint32_t chunk_count = 32;

CreateOptions engine_with_memory_to_give() {
  CreateOptions options = small_engine_with_room();
  options.capacity = 4096;
  options.max_payload = chunk_bytes;
  options.arena = std::uint64_t{chunk_count} * chunk_bytes;
  options.keep_memory = 0ms;
  return options;
}

struct ArenaMemory {
  World world{engine_with_memory_to_give()};
  Inside inside{world.scratch};
  std::unique_ptr<Participant> worker = world.attach();
  std::uint64_t now_ns = steady_clock_ns();

  const Segment& segment() const { return inside.segment(); }
  JobRequest large_job(std::string_view payload) const {
    JobRequest request = world.request(payload);
    request.durability = Durability::memory;  // no journal thread takes its marks
    return request;
  }
  /// As many jobs with so long payloads as go in.
  std::vector<JobId> fill(std::size_t bytes) const {
    std::vector<JobId> ids;
    const std::string payload(bytes, 'p');
    while (auto id = worker->enqueue(large_job(payload))) ids.push_back(*id);
    return ids;
  }
  void complete_all() const {
    while (auto job = worker->claim()) must(job->complete());
  }
  std::uint32_t chunks_there() const {
    std::uint32_t count = 0;
    for (std::uint32_t chunk = 0; chunk < chunk_count; ++chunk) count += segment().has_arena_chunk(chunk) ? 1 : 0;
    return count;
  }
  void trim(Trimming& trimming, int turns = 60) {
    for (int n = 0; n < turns; ++n) trimming.turn(now_ns += 2'000'000'000);
  }
  void trim() {
    Trimming trimming(segment(), inside.number());
    trim(trimming);
    EXPECT_FALSE(trimming.is_busy());
  }
  void expect_sound() const { EXPECT_EQ(check_invariants(segment(), false), std::vector<std::string>()); }
};

TEST(ArenaTrimming, memory_goes_back_when_the_jobs_have_gone_and_comes_again) {
  ArenaMemory arena;
  const std::uint64_t before = arena.segment().allocated_bytes();
  for (const std::size_t bytes : {65'536U, 20'000U, 300U}) {
    SCOPED_TRACE(bytes);
    const std::size_t count = arena.fill(bytes).size();
    EXPECT_GE(count * bytes, std::size_t{chunk_bytes} * chunk_count / 4);
    EXPECT_GT(arena.segment().allocated_bytes(), before + count * bytes);
    arena.complete_all();
    arena.worker->release_prefetched();
    arena.trim();
    EXPECT_EQ(arena.chunks_there(), 0U);
    EXPECT_LE(arena.segment().allocated_bytes(), before + 256 * 1024) << "the words of extents";
    arena.expect_sound();
  }
}

TEST(ArenaTrimming, an_extent_in_use_keeps_its_chunk) {
  ArenaMemory arena;
  arena.fill(65'536);
  Job held = must(arena.worker->claim());
  arena.complete_all();
  arena.trim();
  EXPECT_EQ(arena.chunks_there(), 1U);
  EXPECT_TRUE(as_text(held.payload()) == std::string(65'536, 'p'));
  must(held.complete());
  arena.trim();
  EXPECT_EQ(arena.chunks_there(), 0U);
}

TEST(ArenaTrimming, what_a_revoked_holder_still_reads_stays) {
  ArenaMemory arena;
  const auto late = arena.world.attach();
  const std::string payload(60'000, 'A');
  const JobId id = must(late->enqueue(arena.large_job(payload)));
  Job held = must(late->claim());
  Reaper reaper(arena.inside.core(), arena.inside.number());
  reaper.expire_leases(static_cast<std::uint32_t>(late->number()), std::uint64_t{1} << 62);
  Job again = must(arena.worker->claim());
  ASSERT_EQ(again.id(), id);
  must(again.complete());
  arena.trim();
  EXPECT_EQ(arena.chunks_there(), 1U);
  EXPECT_TRUE(as_text(held.payload()) == payload);
  EXPECT_EQ(code_of(held.complete()), ErrorCode::lease_lost);
  arena.trim();
  EXPECT_EQ(arena.chunks_there(), 0U);
}

TEST(ArenaTrimming, an_eighth_of_what_is_in_use_stays_for_the_next_jobs) {
  ArenaMemory arena;
  arena.fill(65'536);
  std::vector<Job> held;
  for (int n = 0; n < 16; ++n) held.push_back(must(arena.worker->claim()));
  arena.complete_all();
  arena.trim();
  EXPECT_EQ(arena.chunks_there(), 18U);
  for (Job& job : held) must(job.complete());
}

TEST(ArenaTrimming, a_visit_that_has_not_ended_keeps_the_memory) {
  ArenaMemory arena;
  arena.fill(65'536);
  arena.complete_all();
  const auto other = arena.world.attach();
  Visits visits(arena.segment().participant(static_cast<std::uint32_t>(other->number())).visit);
  visits.begin();  // as of a process that was stopped inside a call
  const std::uint64_t full = arena.segment().allocated_bytes();
  Trimming trimming(arena.segment(), arena.inside.number());
  arena.trim(trimming);
  EXPECT_EQ(arena.segment().allocated_bytes(), full);
  visits.end();
  arena.trim(trimming);
  EXPECT_LT(arena.segment().allocated_bytes(), full - std::uint64_t{chunk_count - 8} * chunk_bytes);
  EXPECT_EQ(arena.fill(65'536).size(), chunk_count);
}

TEST(ArenaTrimming, a_look_of_another_process_keeps_the_memory) {
  ArenaMemory arena;
  arena.fill(65'536);
  arena.complete_all();
  const auto other = arena.world.scratch.open_core();  // its own open file, as another process has one
  const std::uint64_t full = arena.segment().allocated_bytes();
  Trimming trimming(arena.segment(), arena.inside.number());
  {
    const auto look = other->segment.look();
    arena.trim(trimming);
    EXPECT_EQ(arena.segment().allocated_bytes(), full);
  }
  arena.trim(trimming);
  EXPECT_EQ(arena.chunks_there(), 0U);
}

TEST(ArenaTrimming, a_chunk_that_a_stopped_grower_announces_again_stays_and_can_be_used) {
  ArenaMemory arena;
  const auto other = arena.world.attach();
  arena.fill(65'536);
  arena.complete_all();
  arena.trim();
  const std::uint64_t empty = arena.segment().allocated_bytes();
  arena.fill(65'536);
  arena.complete_all();
  Visits visits(arena.segment().participant(static_cast<std::uint32_t>(other->number())).visit);
  visits.begin();
  Trimming trimming(arena.segment(), arena.inside.number());
  for (int n = 0; n < 60 && arena.segment().has_arena_chunk(5); ++n) arena.trim(trimming, 1);
  ASSERT_FALSE(arena.segment().has_arena_chunk(5));
  ASSERT_TRUE(arena.segment().make_arena_chunk(5));  // it had found the chunk absent before
  visits.end();
  for (int n = 0; n < 60 && trimming.is_busy(); ++n) arena.trim(trimming, 1);
  EXPECT_TRUE(arena.segment().has_arena_chunk(5));
  EXPECT_EQ(arena.chunks_there(), 1U);
  EXPECT_EQ(arena.segment().allocated_bytes(), empty + chunk_bytes);
  EXPECT_EQ(arena.fill(65'536).size(), chunk_count);
  arena.expect_sound();
}

TEST(ArenaTrimming, a_keeper_that_dies_on_the_way_leaves_nothing_behind) {
  for (int turns = 1; turns < 16; ++turns) {
    SCOPED_TRACE(turns);
    ArenaMemory arena;
    arena.fill(65'536);
    arena.complete_all();
    {
      Inside first(arena.world.scratch);
      Trimming trimming(first.segment(), first.number());
      arena.trim(trimming, turns);
    }
    arena.trim();
    EXPECT_EQ(arena.chunks_there(), 0U);
    EXPECT_EQ(arena.fill(65'536).size(), chunk_count);
    arena.expect_sound();
  }
}

TEST(ArenaTrimming, a_keeper_that_dies_before_it_has_looked_at_the_extents_takes_none_from_a_job) {
  ArenaMemory arena;
  arena.fill(65'536);
  SharedWord<std::uint64_t>& cut = arena.segment().arena_chunk(3);
  cut.store(cut.load_once().unbounded() | 0x80);  // killed just after shrink.X1
  arena.trim();
  EXPECT_EQ(arena.chunks_there(), chunk_count);
  EXPECT_EQ(cut.load_once().unbounded() & 0x80, 0U);
  arena.expect_sound();
  arena.complete_all();
  EXPECT_EQ(arena.fill(65'536).size(), chunk_count);
}

TEST(ArenaMemory, chunks_are_taken_one_after_the_other_as_extents_are_needed) {
  ArenaMemory arena;
  EXPECT_EQ(arena.chunks_there(), 0U);
  for (std::uint32_t n = 1; n <= 3 * 256; ++n) {
    must(arena.worker->enqueue(arena.large_job(std::string(256, 'x'))));
    ASSERT_EQ(arena.chunks_there(), (n + 255) / 256) << n;
  }
}

TEST(ArenaMemory, extents_that_became_free_are_taken_again_before_there_is_another_chunk) {
  ArenaMemory arena;
  for (int n = 0; n < 5'000; ++n) {
    must(arena.worker->enqueue(arena.large_job(std::string(256, 'x'))));
    must(must(arena.worker->claim()).complete());
  }
  EXPECT_EQ(arena.chunks_there(), 1U);
}

TEST(ArenaMemory, an_extent_whose_word_names_a_living_value_is_not_taken) {
  ArenaMemory arena;
  Values values(*arena.worker);
  must(values.set("key", as_payload(std::string(40'000, 'v')), {.durability = Durability::memory}));
  const JobTable table = arena.inside.table();
  CellIndex index = 0;
  while (table.word(index).state() != CellState::completed) ++index;
  const std::uint32_t first = table.header(index).result_extent.load_once().unbounded();
  const JobId id = job_id_of(table.word(index), index);
  ASSERT_EQ(arena.segment().arena_unit(first).load(), id.value());
  must(values.set("key", as_payload(std::string(40'000, 'w')), {.durability = Durability::memory}));
  EXPECT_EQ(arena.segment().arena_unit(first).load(), 0U) << "given up by the change";
  // As if the next change had handed it over to the value just now.
  arena.segment().arena_unit(first).store(id.value());
  EXPECT_EQ(arena.fill(65'536).size(), chunk_count - 2);
}

TEST(ArenaMemory, a_default_arena_takes_a_kibibyte_for_a_result_of_a_kibibyte) {
  CreateOptions options = small_engine_with_room();
  options.max_payload = 1024 * 1024;
  options.arena = 4 * 1024 * 1024;
  World world(options);
  const auto producer = world.attach(Role::producer);
  must(producer->enqueue(world.request(std::string(1024, 'x'))));
  EXPECT_EQ(world.engine.status().arena_used, 1024U);
  must(producer->enqueue(world.request(std::string(1025, 'x'))));
  EXPECT_EQ(world.engine.status().arena_used, 3 * 1024U);
}

}  // namespace
}  // namespace ringmill::test
