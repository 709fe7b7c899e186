// Payloads that do not fit a cell: where they lie, which job gets which place, and what stays for a revoked holder.
#include <array>
#include <atomic>
#include <cstring>
#include <set>
#include <thread>

#include "core/inspect/invariants.h"
#include "core/table/arena.h"
#include "core/table/free_cells.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"
#include "tests/support/random.h"
#include "tests/support/shared_block.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

/// Four chunks of 64 KiB; 64 bytes fit a cell.
CreateOptions engine_with_arena() {
  CreateOptions options = small_engine();
  options.max_payload = 64 * 1024;
  options.arena = 4 * 64 * 1024;
  return options;
}

std::string text_of(std::size_t bytes, char first = 'a') {
  std::string text(bytes, '\0');
  for (std::size_t n = 0; n < bytes; ++n) text[n] = static_cast<char>(first + n % 23);
  return text;
}

struct Large {
  World world{engine_with_arena()};
  std::unique_ptr<Participant> worker = world.attach();

  JobRequest request(std::string_view payload, const JobOptions& options = {}) const {
    JobRequest asked = world.request(payload);
    asked.options = options;
    return asked;
  }
  std::uint64_t used() const { return world.engine.status().arena_used; }
  /// As many of this size as go in.
  std::vector<JobId> fill(std::size_t bytes) const {
    std::vector<JobId> ids;
    const std::string payload = text_of(bytes);
    while (true) {
      const auto id = worker->enqueue(request(payload));
      if (!id) {
        EXPECT_EQ(code_of(id), ErrorCode::would_block);
        return ids;
      }
      ids.push_back(*id);
    }
  }
  void complete_all() const {
    while (auto job = worker->claim()) must(job->complete());
  }
  void expect_sound() const {
    const auto core = world.scratch.open_core();
    EXPECT_EQ(check_invariants(core->segment, false), std::vector<std::string>());
  }
};

TEST(ArenaInProcess, a_payload_of_any_length_comes_to_its_worker_as_it_was) {
  Large large;
  for (const std::size_t bytes : {64U, 65U, 255U, 256U, 257U, 511U, 4096U, 4097U, 32768U, 32769U, 65535U, 65536U}) {
    SCOPED_TRACE(bytes);
    const std::string payload = text_of(bytes);
    large.world.enqueue(*large.worker, payload);
    Job job = must(large.worker->claim());
    EXPECT_TRUE(as_text(job.payload()) == payload);
    must(job.complete());
  }
  large.expect_sound();
}

TEST(ArenaInProcess, a_payload_that_fits_its_cell_takes_nothing_of_the_arena) {
  Large large;
  large.world.enqueue(*large.worker, text_of(64));
  EXPECT_EQ(large.used(), 0U);
  large.world.enqueue(*large.worker, text_of(65));
  EXPECT_EQ(large.used(), 256U);
}

TEST(ArenaInProcess, a_payload_that_options_leave_no_room_for_goes_to_the_arena) {
  Large large;
  const JobOptions options{.keep_result = 1h};
  const JobId id = must(large.worker->enqueue(large.request(text_of(17), options)));
  EXPECT_EQ(large.used(), 256U);
  Job job = must(large.worker->claim());
  EXPECT_EQ(as_text(job.payload()), text_of(17));
  // All of the cell behind its header is the result's then, but for the options.
  must(job.complete(as_payload("sixteen letters!")));
  EXPECT_EQ(must(large.world.engine.job(id)).result, "sixteen letters!");
}

TEST(ArenaInProcess, a_payload_beyond_the_longest_is_refused_and_the_limit_named) {
  Large large;
  EXPECT_EQ(large.world.engine.most_payload_bytes(), 65536U);
  const auto refused = large.worker->enqueue(large.request(text_of(65537)));
  ASSERT_EQ(code_of(refused), ErrorCode::too_large);
  EXPECT_NE(refused.error().message().find("65536"), std::string::npos) << refused.error().message();
}

TEST(ArenaInProcess, a_full_arena_says_so_and_the_jobs_that_end_make_room_without_anybodys_help) {
  Large large;
  EXPECT_EQ(large.fill(40'000).size(), 4U);
  EXPECT_EQ(large.used(), 4U * 65536U);
  const auto full = large.worker->enqueue(large.request(text_of(40'000)));
  ASSERT_EQ(code_of(full), ErrorCode::would_block);
  EXPECT_NE(full.error().message().find("arena"), std::string::npos);
  large.world.enqueue(*large.worker, "small ones still go");
  EXPECT_EQ(code_of(large.worker->enqueue(large.request(text_of(40'000)), 5ms)), ErrorCode::timed_out);
  large.complete_all();
  EXPECT_EQ(large.used(), 0U);
  EXPECT_EQ(large.fill(40'000).size(), 4U);
  large.expect_sound();
}

TEST(ArenaInProcess, chunks_are_cut_anew_for_other_sizes_when_their_jobs_are_over) {
  Large large;
  for (int turn = 0; turn < 3; ++turn) {
    EXPECT_EQ(large.fill(65536).size(), 4U);
    large.complete_all();
    EXPECT_EQ(large.fill(3000).size(), 4U * 16);
    large.expect_sound();
    large.complete_all();
    EXPECT_EQ(large.fill(20'000).size(), 4U * 2);
    large.expect_sound();
    large.complete_all();
  }
}

TEST(ArenaInProcess, a_small_payload_takes_a_large_extent_rather_than_none) {
  Large large;
  large.fill(65536);
  must(must(large.worker->claim()).complete());
  EXPECT_EQ(large.fill(32'769).size(), 1U) << "the chunk that became free";
  EXPECT_EQ(large.fill(100).size(), 0U);
}

TEST(ArenaInProcess, a_batch_goes_in_as_far_as_the_arena_has_room) {
  Large large;
  const std::string payload = text_of(65536);
  std::vector<JobRequest> requests(6, large.request(payload));
  std::array<JobId, 6> ids{};
  EXPECT_EQ(must(large.worker->enqueue_batch(requests, ids)), 4U);
  EXPECT_EQ(code_of(large.worker->enqueue_batch(requests, ids)), ErrorCode::would_block);
  EXPECT_EQ(large.world.engine.status().cells_used, 4U) << "cells that got no extent are given back";
}

TEST(ArenaInProcess, who_waits_for_the_arena_is_woken_when_a_large_job_ends) {
  Large large;
  large.fill(65536);
  std::atomic<bool> is_in{false};
  std::thread producer([&] {
    const auto other = large.world.attach(Role::producer);
    must(other->enqueue(large.request(text_of(65536)), generous));
    is_in.store(true);
  });
  std::this_thread::sleep_for(20ms);
  EXPECT_FALSE(is_in.load());
  must(must(large.worker->claim()).complete());
  producer.join();
  EXPECT_TRUE(is_in.load());
}

TEST(ArenaInProcess, a_unique_job_that_is_there_already_takes_no_room) {
  Large large;
  const std::string payload = text_of(50'000);
  const JobRequest asked = large.request(payload);
  const UniqueJob first = must(large.worker->enqueue_unique(asked, "key"));
  const UniqueJob second = must(large.worker->enqueue_unique(asked, "key"));
  EXPECT_EQ(first.id, second.id);
  EXPECT_EQ(large.used(), 65536U);
}

TEST(ArenaInProcess, a_revoked_holder_reads_on_while_others_fill_the_arena) {
  Large large;
  const auto late = large.world.attach();
  const std::string payload = text_of(60'000, 'A');
  const JobId id = large.world.enqueue(*late, payload);
  Job held = must(late->claim());
  Inside inside(large.world.scratch);
  Reaper reaper(inside.core(), inside.number());
  reaper.expire_leases(static_cast<std::uint32_t>(late->number()), std::uint64_t{1} << 62);
  Job again = must(large.worker->claim());
  ASSERT_EQ(again.id(), id);
  must(again.complete());
  EXPECT_EQ(large.world.state_of(id), JobState::ended);
  // Whole chunks, and small ones for which chunks are cut anew.
  EXPECT_EQ(large.fill(65536).size(), 3U) << "the fourth is what the late holder reads";
  large.complete_all();
  EXPECT_GT(large.fill(200).size(), 100U) << "more than a chunk anew, until the cells are used up";
  EXPECT_TRUE(as_text(held.payload()) == payload);
  large.complete_all();
  EXPECT_EQ(code_of(held.complete()), ErrorCode::lease_lost);
  EXPECT_EQ(large.fill(65536).size(), 4U) << "it has let go";
}

TEST(Arena, a_producer_that_is_killed_while_it_fills_a_large_job_leaves_no_hole) {
  Large large;
  Inside inside(large.world.scratch);
  SharedBlock<std::atomic<int>> number;
  Child child([&] {
    Engine engine = large.world.scratch.open(without_keeper);
    auto producer = must(engine.attach(Role::producer));
    const auto core = large.world.scratch.open_core();
    FreeCells cells(core->segment, static_cast<std::uint32_t>(producer->number()) + 1);
    Arena arena(core->segment);
    FreeCells::Filling filling;
    cells.take(filling, 0);
    static_cast<void>(arena.take(job_id_of(filling.word, filling.index), 65536));
    number->store(producer->number() + 1);
    ::pause();
    return 0;
  });
  await([&] { return number->load() != 0; });
  child.kill();
  EXPECT_EQ(large.used(), 65536U);
  EXPECT_EQ(large.fill(65536).size(), 3U) << "its death is not known yet";
  const auto owner = static_cast<std::uint32_t>(number->load() - 1);
  Reaper reaper(inside.core(), inside.number());
  reaper.take_over(owner);
  TableScan::Owners dead;
  dead.set(owner);
  inside.scan(dead);
  reaper.release_entry(owner);
  EXPECT_EQ(large.fill(65536).size(), 1U);
  large.expect_sound();
}

TEST(ArenaInProcess, threads_that_take_all_sizes_at_once_never_share_a_byte) {
  Large large;
  std::atomic<std::uint64_t> torn{0};
  std::atomic<std::uint64_t> done{0};
  const std::uint64_t seed = printed_seed();
  std::vector<std::thread> threads;
  for (int n = 0; n < 4; ++n) {
    threads.emplace_back([&, n] {
      const auto participant = large.world.attach();
      std::mt19937_64 random(seed + static_cast<std::uint64_t>(n));
      for (int turn = 0; turn < 400; ++turn) {
        const std::size_t bytes = std::size_t{65} << random() % 10;
        static_cast<void>(
            participant->enqueue(large.request(std::string(bytes, static_cast<char>('a' + random() % 26)))));
        auto job = participant->claim();
        if (!job) continue;
        const auto payload = as_text(job->payload());
        for (int look = 0; look < 3; ++look) {
          if (payload.find_first_not_of(payload[0]) != std::string_view::npos) ++torn;
        }
        if (job->complete()) ++done;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(torn.load(), 0U);
  EXPECT_GT(done.load(), 100U);
  large.complete_all();
  EXPECT_EQ(large.used(), 0U);
  large.expect_sound();
}

TEST(ArenaInProcess, a_number_of_an_extent_that_cannot_be_hurts_only_its_own_job) {
  for (const std::uint32_t nonsense : {~0U, 4U * 256, 255U}) {
    SCOPED_TRACE(nonsense);
    Large large;
    const std::string other = text_of(50'000, 'o');
    const JobId hurt = large.world.enqueue(*large.worker, text_of(50'000));
    const JobId sound = large.world.enqueue(*large.worker, other);
    const auto core = large.world.scratch.open_core();
    JobTable(core->segment).header(index_of(hurt)).extent.store(nonsense);
    EXPECT_FALSE(check_invariants(core->segment, false).empty());
    Job job = must(large.worker->claim());
    EXPECT_EQ(job.id(), sound);
    EXPECT_TRUE(as_text(job.payload()) == other);
    const JobInfo info = must(large.world.engine.job(hurt));
    EXPECT_EQ(info.state, JobState::dead);
    EXPECT_NE(info.last_error.find("payload"), std::string::npos);
  }
}

TEST(ArenaInProcess, corrupted_words_of_the_arena_harm_no_private_memory) {
  Large large;
  const auto core = large.world.scratch.open_core();
  std::mt19937_64 random(printed_seed());
  for (int turn = 0; turn < 50; ++turn) {
    for (std::uint32_t unit = 0; unit < core->segment.geometry().arena_unit_count(); ++unit) {
      core->segment.arena_unit(unit).store(random());
    }
    for (std::uint32_t chunk = 0; chunk < core->segment.geometry().arena_chunk_count; ++chunk) {
      core->segment.arena_chunk(chunk).store(random());
    }
    static_cast<void>(large.worker->enqueue(large.request(text_of(random() % 65536))));
    static_cast<void>(check_invariants(core->segment, false));
    static_cast<void>(large.world.engine.status());
    if (auto job = large.worker->claim()) must(job->complete());
  }
}

TEST(ArenaInProcess, an_arena_that_cannot_be_is_refused_at_creation) {
  const auto refused = [](std::uint32_t max_payload, std::uint64_t arena) {
    const ScratchPlace place;
    CreateOptions options = small_engine();
    options.max_payload = max_payload;
    options.arena = arena;
    const auto made = Engine::create(place.directory(), place.here(options));
    return !made && made.error().code() == ErrorCode::invalid_argument;
  };
  EXPECT_TRUE(refused((64U << 20) + 1, 0));
  EXPECT_TRUE(refused(64, 1U << 20)) << "an arena for what fits a cell";
  EXPECT_TRUE(refused(1U << 20, (4U << 20) - 1)) << "less than four of the longest";
  EXPECT_FALSE(refused(1U << 20, 4U << 20));
}

TEST(ArenaInProcess, the_default_arena_gets_smaller_where_the_journals_limit_has_no_room_for_it) {
  CreateOptions options = small_engine();
  options.max_payload = 0;
  options.journal_limit = 8U << 20;
  const World world(options);
  const EngineStatus status = world.engine.status();
  EXPECT_EQ(status.arena_bytes, 2U << 20);
  EXPECT_EQ(status.max_payload, 512U * 1024);
}

}  // namespace
}  // namespace ringmill::test
