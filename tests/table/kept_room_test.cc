// What one level's backlog leaves to the others, and producers to running handlers: core/table/room.h.
#include <array>
#include <atomic>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "core/inspect/invariants.h"
#include "core/table/room.h"
#include "ipc/segment.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"

namespace ringmill::test {
namespace {

constexpr std::uint32_t capacity = 256;
constexpr std::uint32_t leases = 64;

CreateOptions with_room_for(std::vector<LevelReserve> reserve) {
  CreateOptions options = small_engine_with_room();
  options.reserve = std::move(reserve);
  return options;
}

struct KeptRoom : World {
  explicit KeptRoom(std::vector<LevelReserve> reserve = {{"high", 64}}) : World(with_room_for(std::move(reserve))) {}

  JobRequest of(std::string_view level_name) {
    return {.kind = kind, .level = must(engine.level(level_name)), .payload = as_payload("0123456789")};
  }
  /// Enqueues until there is no room. Returns how many went in, and the refusal.
  std::uint32_t fill(Participant& participant, std::string_view level_name, std::string* refusal = nullptr) {
    const JobRequest request = of(level_name);
    for (std::uint32_t count = 0;; ++count) {
      const auto id = participant.enqueue(request);
      if (id) continue;
      EXPECT_EQ(id.error().code(), ErrorCode::would_block) << id.error().message();
      if (refusal != nullptr) *refusal = id.error().message();
      return count;
    }
  }
  std::unique_ptr<Participant> worker_of(std::string_view level_name) {
    auto worker = attach();
    const std::vector<Level> levels{must(engine.level(level_name))};
    must(worker->subscribe({.levels = levels}));
    return worker;
  }
};

TEST(KeptRoomInProcess, a_backlog_of_one_level_shuts_no_other_out) {
  KeptRoom world;
  const auto producer = world.attach(Role::producer);
  EXPECT_EQ(world.fill(*producer, "low"), capacity);
  EXPECT_EQ(world.fill(*producer, "default"), 0U);
  EXPECT_EQ(world.fill(*producer, "high"), 64U);
}

TEST(KeptRoomInProcess, a_level_takes_the_common_room_before_its_own) {
  KeptRoom world;
  const auto producer = world.attach(Role::producer);
  EXPECT_EQ(world.fill(*producer, "high"), capacity + 64);
  EXPECT_EQ(world.fill(*producer, "low"), 0U);
}

TEST(KeptRoomInProcess, cells_that_were_taken_for_one_level_are_not_used_for_another) {
  KeptRoom world;
  const auto producer = world.attach(Role::producer);
  EXPECT_EQ(world.fill(*producer, "low"), capacity);
  must(producer->enqueue(world.of("high")));  // has the rest of a word in its hands now
  EXPECT_EQ(world.fill(*producer, "low"), 0U);
  EXPECT_EQ(world.fill(*producer, "high"), 63U);
}

TEST(KeptRoomInProcess, a_levels_own_cells_are_given_out_while_its_handlers_have_room) {
  KeptRoom world;
  const auto producer = world.attach(Role::producer);
  EXPECT_EQ(world.fill(*producer, "low"), capacity);
  std::vector<std::unique_ptr<Participant>> workers;
  std::vector<Job> held;
  for (std::uint32_t n = 0; n <= leases / 2; ++n) {
    workers.push_back(world.worker_of("low"));
    held.push_back(must(workers.back()->claim()));
    must(held.back().follow_up({.request = world.of("low")}));
  }
  EXPECT_EQ(world.fill(*producer, "high"), 0U);
  held.clear();  // given back: the follow-ups never were
  workers.clear();
  EXPECT_EQ(world.fill(*producer, "high"), 64U);
}

TEST(KeptRoomInProcess, by_default_a_twentieth_is_kept_for_each_level_but_the_last_and_for_dynamic_ones) {
  CreateOptions options = small_engine_with_room();
  options.capacity = 6400;
  options.reserve.reset();
  World world(options);
  const Room room(world.scratch.open_core()->segment);
  EXPECT_EQ(room.plain_capacity(), 6400U);
  EXPECT_EQ(room.leases(), 64U);  // a sixty-fourth would be 100: whole words of the map
  EXPECT_EQ(room.own_of(0).size(), 320U);
  EXPECT_EQ(room.own_of(1).size(), 320U);
  EXPECT_EQ(room.own_of(2).size(), 0U);
  EXPECT_EQ(room.own_of(3).size(), 320U);
  EXPECT_EQ(room.own_of(1000), room.own_of(3));
}

TEST(KeptRoomInProcess, dynamic_levels_share_what_is_kept_for_them) {
  KeptRoom world({{"*", 64}});
  for (const char* name : {"tenant-1", "tenant-2"}) must(world.engine.add_level(name));
  const auto producer = world.attach(Role::producer);
  EXPECT_EQ(world.fill(*producer, "default"), capacity);
  const JobRequest first = world.of("tenant-1");
  for (int n = 0; n < 32; ++n) must(producer->enqueue(first));
  EXPECT_EQ(world.fill(*producer, "tenant-2"), 32U);
  EXPECT_EQ(world.fill(*producer, "tenant-1"), 0U);
}

TEST(KeptRoomInProcess, a_refusal_names_the_level_what_it_holds_and_what_bounds_it) {
  KeptRoom world;
  const auto producer = world.attach(Role::producer);
  std::string low;
  world.fill(*producer, "low", &low);
  EXPECT_EQ(low, "the engine is full: level low: about 256 of its jobs wait; all levels share room for 256");
  std::string high;
  world.fill(*producer, "high", &high);
  EXPECT_EQ(high,
            "the engine is full: level high: about 64 of its jobs wait; all levels share room for 256, 64 more are "
            "kept for this level");
}

TEST(KeptRoomInProcess, a_handler_follows_up_in_a_full_engine_and_no_producer_takes_its_place) {
  World full(with_room_for({{"high", 0}}), OpenOptions{});  // the cell of a job with follow-ups is freed by the keeper
  const auto producer = full.attach(Role::producer);
  const JobRequest request = full.request("first");
  std::uint32_t in = 0;
  while (producer->enqueue(request)) ++in;
  EXPECT_EQ(in, capacity);
  const auto worker = full.attach();
  for (int n = 0; n < 1000; ++n) {
    Job job = must(worker->claim());
    must(job.follow_up({.request = full.request("next")}, std::chrono::seconds{5}));
    must(job.complete());
    ASSERT_FALSE(producer->enqueue(request)) << n;  // a job came for the one that went
  }
}

TEST(KeptRoomInProcess, room_that_a_job_leaves_is_the_next_producers) {
  World world(with_room_for({{"high", 0}}));
  const auto producer = world.attach(Role::producer);
  const auto worker = world.attach();
  const JobRequest request = world.request("one");
  while (producer->enqueue(request)) continue;
  for (int n = 0; n < 200; ++n) {
    must(must(worker->claim()).complete());
    must(producer->enqueue(request, std::chrono::seconds{5}));
    ASSERT_FALSE(producer->enqueue(request)) << n;
  }
}

TEST(KeptRoomInProcess, further_follow_ups_leave_half_to_the_first_ones_of_others) {
  World world(with_room_for({{"high", 0}}), OpenOptions{});
  const auto producer = world.attach(Role::producer);
  while (producer->enqueue(world.request("one"))) continue;
  const auto greedy = world.attach();
  Job job = must(greedy->claim());
  std::uint32_t made = 0;
  while (job.follow_up({.request = world.request("next")}, std::chrono::nanoseconds{})) ++made;
  EXPECT_EQ(made, leases / 2);
  const auto modest = world.attach();
  std::vector<std::unique_ptr<Participant>> workers;
  std::vector<Job> held;
  for (std::uint32_t n = 0; n < leases / 2; ++n) {
    workers.push_back(world.attach());
    held.push_back(must(workers.back()->claim()));
    ASSERT_TRUE(held.back().follow_up({.request = world.request("next")}, std::chrono::nanoseconds{})) << n;
  }
  Job last = must(modest->claim());
  EXPECT_FALSE(last.follow_up({.request = world.request("next")}, std::chrono::nanoseconds{}));
  must(held.front().complete());  // its room comes back
  EXPECT_TRUE(last.follow_up({.request = world.request("next")}, std::chrono::seconds{5}));
}

TEST(KeptRoomInProcess, producers_at_once_never_take_what_is_kept) {
  KeptRoom world;
  for (int round = 0; round < 20; ++round) {
    std::atomic<std::uint32_t> in{0};
    std::vector<std::thread> threads;
    for (int n = 0; n < 4; ++n) {
      threads.emplace_back([&] {
        const auto producer = world.attach(Role::producer);
        std::array<JobRequest, 64> requests;
        requests.fill(world.of("low"));
        std::array<JobId, 64> ids;
        for (int tries = 0; tries < 50; ++tries) {
          const auto done = producer->enqueue_batch(requests, ids);
          in += done ? static_cast<std::uint32_t>(*done) : 0;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    const auto producer = world.attach(Role::producer);
    in += world.fill(*producer, "low");
    EXPECT_EQ(in, capacity) << "round " << round;
    const auto worker = world.worker_of("low");
    std::array<Job, 64> jobs;
    while (const auto claimed = worker->claim_batch(jobs)) {
      static_cast<void>(worker->complete_batch(std::span(jobs).first(*claimed)));
    }
  }
}

TEST(KeptRoomInProcess, a_scan_that_lists_what_a_producer_has_in_hand_leaves_no_cell_listed_that_is_in_use) {
  World world(small_engine_with_room());
  const auto producer = world.attach(Role::producer);
  world.enqueue(*producer, "x");  // the rest of the word stays in its hands
  Inside inside(world.scratch);
  inside.scan();
  for (int n = 0; n < 40; ++n) world.enqueue(*producer, "x");
  for (const std::string& finding : check_invariants(inside.segment(), true)) {
    EXPECT_EQ(finding.find("is listed as free"), std::string::npos) << finding;
  }
}

TEST(KeptRoomInProcess, words_that_a_peer_scribbled_over_stay_within_the_table) {
  World world(with_room_for({{"high", 64}}));
  const auto core = world.scratch.open_core();
  for (const std::uint32_t word : {0U, 1U, 63U, 64U, 65U, capacity, 1U << 31, ~0U}) {
    for (const std::uint32_t kept : {0U, 1U, 64U, 1U << 31, ~0U}) {
      core->segment.header().plain_capacity.store(word);
      for (std::uint32_t level = 0; level < 3; ++level) core->segment.level(level).kept_cells.store(kept);
      const Room room(core->segment);
      const std::uint32_t all = core->segment.geometry().capacity;
      EXPECT_LE(room.common().end, all);
      EXPECT_LE(room.leases(), room.common().end);
      for (std::uint32_t level = 0; level < 20; ++level) {
        const CellRange own = room.own_of(level);
        EXPECT_LE(own.first, own.end);
        EXPECT_LE(own.end, all);
        EXPECT_GE(own.first, room.common().end);
      }
    }
  }
}

}  // namespace
}  // namespace ringmill::test
