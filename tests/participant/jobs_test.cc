// One job's way: enqueued, claimed, ended; ids; bounds; misuse.
#include <unistd.h>

#include <csignal>
#include <thread>

#include "core/table/free_cells.h"
#include "tests/support/await.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"
#include "tests/support/memory.h"
#include "tests/support/shared_block.h"
#include "tests/support/undestroyed.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

TEST(JobsInProcess, a_payload_arrives_as_it_was_given) {
  World world;
  const auto worker = world.attach();
  for (std::size_t bytes = 0; bytes <= world.engine.most_payload_bytes(); ++bytes) {
    const std::string text(bytes, static_cast<char>('a' + bytes % 26));
    world.enqueue(*worker, text);
    Job job = must(worker->claim());
    ASSERT_EQ(as_text(job.payload()), text);
    must(job.complete());
  }
}

TEST(JobsInProcess, a_payload_that_does_not_fit_is_refused) {
  World world;
  const auto producer = world.attach(Role::producer);
  const std::string text(world.engine.most_payload_bytes() + 1, 'x');
  EXPECT_EQ(code_of(producer->enqueue(world.request(text))), ErrorCode::too_large);
}

TEST(JobsInProcess, jobs_of_one_producer_are_claimed_in_their_order) {
  World world;
  const auto worker = world.attach();
  std::vector<JobId> ids;
  for (int n = 0; n < 40; ++n) ids.push_back(world.enqueue(*worker, std::to_string(n)));
  for (const JobId id : ids) {
    Job job = must(worker->claim());
    EXPECT_EQ(job.id(), id);
    must(job.complete());
  }
}

TEST(JobsInProcess, a_full_engine_says_would_block_and_takes_a_job_again_when_one_has_ended) {
  World world;
  const auto producer = world.attach(Role::producer);
  std::uint32_t count = 0;
  while (producer->enqueue(world.request("x"))) ++count;
  EXPECT_EQ(count, world.engine.status().capacity);
  EXPECT_EQ(code_of(producer->enqueue(world.request("x"))), ErrorCode::would_block);
  must(must(producer->claim()).complete());
  EXPECT_TRUE(producer->enqueue(world.request("x"), 5s).has_value());
}

TEST(JobsInProcess, a_failed_attempt_counts_and_a_released_one_does_not) {
  World world;
  const auto worker = world.attach();
  const JobId id = world.enqueue(*worker, "x");
  must(must(worker->claim()).release());
  EXPECT_EQ(must(world.engine.job(id)).attempts, 0U);
  must(must(worker->claim()).retry_in(std::chrono::milliseconds(0)));
  EXPECT_EQ(must(world.engine.job(id)).attempts, 1U);
  EXPECT_EQ(must(worker->claim()).attempt(), 2U);
}

TEST(JobsInProcess, a_job_that_goes_out_of_scope_is_released) {
  World world;
  const auto worker = world.attach();
  const JobId id = world.enqueue(*worker, "x");
  { const Job job = must(worker->claim()); }
  EXPECT_EQ(world.state_of(id), JobState::queued);
}

TEST(JobsInProcess, a_participant_that_leaves_gives_back_what_it_holds) {
  World world;
  auto worker = world.attach();
  for (int n = 0; n < 10; ++n) world.enqueue(*worker, "x");
  const Undestroyed<Job> held(must(worker->claim()));
  worker.reset();
  EXPECT_EQ(world.engine.status().levels[1].queued, 10U);
}

TEST(JobIds, of_one_cell_differ_from_job_to_job) {
  World world;
  const auto worker = world.attach();
  JobId last;
  for (int n = 0; n < 300; ++n) {
    const JobId id = world.enqueue(*worker, "x");
    EXPECT_NE(id, last);
    last = id;
    must(must(worker->claim()).complete());
    EXPECT_EQ(world.state_of(id), JobState::ended);
  }
}

TEST(JobIds, do_not_repeat_after_the_shared_memory_was_lost) {
  const ScratchEngine scratch(small_engine());
  std::vector<JobId> ids;
  for (int life = 0; life < 3; ++life) {
    {
      Engine engine = scratch.open(without_keeper);
      auto producer = must(engine.attach(Role::producer));
      const JobId id = must(producer->enqueue({.kind = must(engine.kind("k")), .level = must(engine.level("low"))}));
      for (const JobId earlier : ids) EXPECT_NE(id, earlier);
      ids.push_back(id);
    }
    std::filesystem::remove(scratch.segment_file());
  }
}

TEST(JobIds, that_never_were_are_unknown) {
  World world;
  const auto producer = world.attach(Role::producer);
  const JobId id = world.enqueue(*producer, "x");
  EXPECT_EQ(code_of(world.engine.job(JobId(id.value() + 1))), ErrorCode::not_found);
  EXPECT_EQ(code_of(world.engine.job(JobId(id.value() + (std::uint64_t{1} << 24)))), ErrorCode::not_found);
  EXPECT_EQ(code_of(world.engine.job(JobId())), ErrorCode::not_found);
}

TEST(JobIds, that_never_were_are_answered_in_the_same_words_by_job_and_by_cancel) {
  World world;
  const auto worker = world.attach();
  const JobId id = world.enqueue(*worker, "x");
  const std::uint64_t next_generation = std::uint64_t{1} << index_bits;
  for (const JobId never : {JobId(), JobId(id.value() + 1), JobId(id.value() + next_generation), JobId(index_mask)}) {
    const auto looked = world.engine.job(never);
    const auto cancelled = worker->cancel(never);
    ASSERT_FALSE(looked || cancelled) << never.to_string();
    EXPECT_EQ(looked.error().message(), cancelled.error().message());
  }
}

TEST(CancelInProcess, ends_a_job_that_waits_and_leaves_one_that_runs) {
  World world;
  const auto worker = world.attach();
  const JobId waiting = world.enqueue(*worker, "x");
  EXPECT_EQ(must(worker->cancel(waiting)), Cancelled::before_start);
  EXPECT_EQ(code_of(worker->claim()), ErrorCode::would_block);
  EXPECT_EQ(must(worker->cancel(waiting)), Cancelled::already_over);
  const JobId running = world.enqueue(*worker, "y");
  Job job = must(worker->claim());
  EXPECT_EQ(must(worker->cancel(running)), Cancelled::asked_to_stop);
  must(job.complete());
  EXPECT_EQ(code_of(worker->cancel(JobId(running.value() + 7))), ErrorCode::not_found);
}

TEST(CancelInProcess, of_a_running_job_leaves_it_to_its_holder) {
  World world;
  const auto core = world.scratch.open_core();
  const auto worker = world.attach();
  const auto other = world.attach();
  const JobId id = world.enqueue(*worker, "x");
  Job job = must(worker->claim());
  const JobTable table(core->segment);
  const StateWord before = table.word(index_of(id));
  EXPECT_EQ(must(other->cancel(id)), Cancelled::asked_to_stop);
  EXPECT_EQ(must(worker->cancel(id)), Cancelled::asked_to_stop);
  EXPECT_EQ(table.word(index_of(id)), before);
  EXPECT_TRUE(job.complete().has_value());
}

TEST(Cancel, a_ring_full_of_dead_hints_loses_no_job) {
  CreateOptions options = small_engine();
  options.capacity = 64;
  World world(options, {});  // its keeper brings the jobs that find no place in the ring
  const auto worker = world.attach();
  const JobId kept = world.enqueue(*worker, "kept");
  for (int n = 0; n < 1000; ++n) {
    const JobId id = world.enqueue(*worker, "x");
    ASSERT_EQ(must(worker->cancel(id)), Cancelled::before_start);
  }
  const JobId last = world.enqueue(*worker, "last");
  Job first = must(worker->claim(std::chrono::seconds{20}));
  Job second = must(worker->claim(std::chrono::seconds{20}));
  EXPECT_EQ(first.id(), kept);
  EXPECT_EQ(second.id(), last);
}

TEST(Misuse, a_forked_child_does_not_keep_the_parents_locks) {
  const ScratchEngine scratch(small_engine());
  SharedBlock<std::atomic<int>> grandchild;
  Child parent([&] {
    Engine engine = scratch.open(without_keeper);
    auto worker = must(engine.attach(Role::worker));
    const pid_t forked = ::fork();
    if (forked > 0) *grandchild = forked;
    ::pause();
    return 0;
  });
  ASSERT_TRUE(await([&] { return *grandchild > 0; }));
  parent.kill();
  const auto core = scratch.open_core();
  EXPECT_TRUE(await([&] { return !core->directory.is_in_use(core->probe.file()); }));
  ASSERT_EQ(::kill(*grandchild, SIGKILL), 0);
}

TEST(Creation, of_two_at_the_same_moment_exactly_one_succeeds) {
  for (int round = 0; round < 20; ++round) {
    const ScratchPlace place;
    const auto create = [&place] {
      const auto made = Engine::create(place.directory(), place.here(small_engine()));
      return made ? 0 : made.error().code() == ErrorCode::already_exists ? 1 : 2;
    };
    Child one(create);
    Child two(create);
    EXPECT_EQ(one.wait() + two.wait(), 1);
    EXPECT_EQ(place.shm_names().size(), 1U);
  }
}

TEST(FreeCellsInProcess, a_cell_listed_twice_is_taken_once) {
  World world;
  Inside inside(world.scratch);
  FreeCells one(inside.segment(), 1);
  FreeCells two(inside.segment(), 2);
  FreeCells::Filling first;
  ASSERT_TRUE(one.take(first, 0));
  // What a scan does to cells that a producer has in its cache.
  inside.segment().free_map().put(first.index & ~CellIndex{63}, ~std::uint64_t{0});
  std::vector<bool> taken(inside.table().capacity(), false);
  taken[first.index] = true;
  for (FreeCells* cells : {&one, &two}) {
    FreeCells::Filling next;
    while (cells->take(next, 0)) {
      EXPECT_FALSE(taken[next.index]) << "cell " << next.index;
      taken[next.index] = true;
    }
  }
}

}  // namespace
}  // namespace ringmill::test
