// A participant that claims some kinds, beside many jobs of others.
#include <array>
#include <bit>
#include <vector>

#include "core/keeper/overflow_queue.h"
#include "core/table/settling.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"
#include "tests/support/levels.h"

namespace ringmill::test {
namespace {

CreateOptions engine_for_a_backlog() {
  CreateOptions options = small_engine();
  options.capacity = 16384;
  return options;
}

/// A worker of the kind "own", one job at a time, of all levels.
struct OneKindWorld : World {
  OneKindWorld() : World(engine_for_a_backlog()) { must(worker->subscribe({.kinds = {own}, .prefetch = 1})); }

  JobId enqueue_own(Level at) { return must(producer->enqueue({.kind = own, .level = at})); }
  void enqueue_others(std::uint32_t count) {
    for (std::uint32_t n = 0; n < count; ++n) must(producer->enqueue({.kind = kind, .level = level}));
  }
  JobId claim_one() {
    auto job = worker->claim();
    if (!job) return {};
    const JobId id = job->id();
    must(job->complete());
    return id;
  }

  Kind own = must(engine.kind("own"));
  Level high = must(engine.level("high"));
  std::unique_ptr<Participant> producer = attach(Role::producer);
  std::unique_ptr<Participant> worker = attach(Role::worker);
};

TEST(SomeKinds, an_urgent_job_waits_for_no_walk_over_jobs_of_other_kinds) {
  OneKindWorld world;
  const std::array urgent{world.enqueue_own(world.high), world.enqueue_own(world.high)};
  world.enqueue_others(5000);
  const JobId behind = world.enqueue_own(world.level);
  EXPECT_EQ(world.claim_one(), urgent[0]);
  // By the weights it is the turn of the level where the others stand.
  EXPECT_EQ(world.claim_one(), urgent[1]) << "the whole backlog was walked over before another look at `high`";
  EXPECT_EQ(world.claim_one(), behind);
}

TEST(SomeKinds, a_walk_that_is_cut_short_keeps_the_order_of_the_kind) {
  OneKindWorld world;
  std::vector<JobId> in;
  for (int n = 0; n < 5; ++n) {
    world.enqueue_others(1500);
    in.push_back(world.enqueue_own(world.level));
  }
  std::vector<JobId> out;
  for (std::size_t n = 0; n < in.size(); ++n) out.push_back(world.claim_one());
  EXPECT_EQ(out, in);
  EXPECT_EQ(world.worker->claim().error().code(), ErrorCode::would_block);
}

TEST(SomeKinds, a_claim_that_does_not_wait_finds_a_job_behind_a_full_ring_of_others) {
  OneKindWorld world;
  world.enqueue_others(12'000);
  const JobId behind = world.enqueue_own(world.level);
  EXPECT_EQ(world.claim_one(), behind);
}

TEST(SomeKinds, a_worker_sleeps_while_jobs_of_other_kinds_come) {
  OneKindWorld world;
  world.enqueue_others(100);
  EXPECT_EQ(world.worker->claim().error().code(), ErrorCode::would_block);
  world.enqueue_others(100);
  EXPECT_TRUE(must(world.worker->begin_wait())) << "jobs of other kinds kept it awake";
  world.worker->end_wait(true);
  const JobId own = world.enqueue_own(world.level);
  EXPECT_FALSE(must(world.worker->begin_wait())) << "it slept before a job of its kind";
  EXPECT_EQ(world.claim_one(), own);
}

TEST(SomeKinds, the_front_of_the_ring_moves_on_over_jobs_that_ended) {
  OneKindWorld world;
  const Inside inside(world.scratch);
  const Ring ring = inside.segment().ring(number_of(inside.segment(), world.level));
  for (int n = 0; n < 100; ++n) {
    const JobId id = world.enqueue_own(world.level);
    EXPECT_EQ(world.claim_one(), id);
  }
  EXPECT_EQ(ring.head(), ring.tail());
}

/// Jobs of another kind fill a ring, and one of the worker's kind waits behind them in an overflow queue, which is in
/// the test's hands.
struct OwnJobBehindFullRing : World {
  OwnJobBehindFullRing() : World(engine_for_a_backlog()) {
    queue.note_scan_ended();
    must(worker->subscribe({.kinds = {own}}));
    for (int n = 0; n < 16; ++n) must(worker->enqueue({.kind = kind, .level = tube}));
    id = must(worker->enqueue({.kind = own, .level = tube}));
  }

  /// A turn of the keeper.
  void turn() {
    const auto pass = [this] {
      queue.begin_pass();
      inside.segment().keeper_marks().take_all([this](CellIndex first, std::uint64_t bits) {
        for (; bits != 0; bits &= bits - 1) {
          queue.add_marked(first + static_cast<CellIndex>(std::countr_zero(bits)));
        }
      });
    };
    pass();
    queue.turn(pass);
  }

  Level tube = must(engine.add_level("tube", {.ring = 16}));
  Kind own = must(engine.kind("own"));
  std::unique_ptr<Participant> worker = attach();
  JobId id;
  Inside inside{scratch};
  Settling settling{inside.segment(), inside.number()};
  OverflowQueue queue{inside.segment(), settling};
};

TEST(SomeKinds, a_worker_calls_the_keeper_before_it_sleeps_beside_an_overflow_queue) {
  OwnJobBehindFullRing world;
  world.turn();
  ASSERT_FALSE(world.inside.segment().keeper_marks().any());
  ASSERT_TRUE(must(world.worker->begin_wait()));
  EXPECT_TRUE(world.inside.segment().keeper_marks().any()) << "the keeper does not know that it sleeps";
}

TEST(SomeKinds, a_sleeper_gets_its_job_from_behind_a_full_ring_in_one_turn_of_the_keeper) {
  OwnJobBehindFullRing world;
  ASSERT_TRUE(must(world.worker->begin_wait()));
  world.turn();
  world.worker->end_wait(true);
  EXPECT_EQ(must(world.worker->claim()).id(), world.id);
}

}  // namespace
}  // namespace ringmill::test
