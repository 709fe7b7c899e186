// Workers that take only some kinds.
#include <string>

#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

struct TwoKinds : World {
  explicit TwoKinds(const CreateOptions& options = small_engine(), const OpenOptions& opening = without_keeper)
      : World(options, opening), other_kind(must(engine.kind("other"))) {}

  std::unique_ptr<Participant> worker_of(Kind wanted) {
    auto worker = attach();
    must(worker->subscribe({.kinds = {wanted}}));
    return worker;
  }
  JobId enqueue_other(Participant& participant) const {
    return must(participant.enqueue({.kind = other_kind, .level = level}));
  }

  Kind other_kind;
};

CreateOptions smallest_engine() {
  CreateOptions options = small_engine();
  options.capacity = 64;
  return options;
}

TEST(KindsInProcess, a_worker_of_one_kind_gets_only_that_kind) {
  TwoKinds world;
  const auto producer = world.attach(Role::producer);
  const auto worker = world.worker_of(world.kind);
  world.enqueue_other(*producer);
  const JobId wanted = world.enqueue(*producer, "mine");
  Job job = must(worker->claim());
  EXPECT_EQ(job.id(), wanted);
  must(job.complete());
  EXPECT_EQ(code_of(worker->claim()), ErrorCode::would_block);
}

TEST(KindsInProcess, a_long_backlog_of_another_kind_does_not_stop_a_worker) {
  TwoKinds world;
  const auto producer = world.attach(Role::producer);
  const auto worker = world.worker_of(world.kind);
  for (int n = 0; n < 200; ++n) world.enqueue_other(*producer);
  const JobId wanted = world.enqueue(*producer, "behind the backlog");
  EXPECT_EQ(must(worker->claim()).id(), wanted);
}

TEST(KindsInProcess, jobs_that_a_filter_passed_over_are_there_for_their_own_worker) {
  TwoKinds world;
  const auto producer = world.attach(Role::producer);
  const auto worker = world.worker_of(world.kind);
  for (int n = 0; n < 100; ++n) world.enqueue_other(*producer);
  EXPECT_EQ(code_of(worker->claim()), ErrorCode::would_block);
  const auto other = world.worker_of(world.other_kind);
  for (int n = 0; n < 100; ++n) must(must(other->claim()).complete());
  EXPECT_EQ(code_of(other->claim()), ErrorCode::would_block);
}

TEST(Kinds, one_waiting_job_of_a_kind_without_workers_does_not_stop_the_level) {
  TwoKinds world(smallest_engine(), {});
  const auto producer = world.attach(Role::producer);
  const auto worker = world.worker_of(world.kind);
  const JobId unserved = world.enqueue_other(*producer);
  // Many times more than the ring has slots.
  for (int n = 0; n < 1000; ++n) {
    world.enqueue(*producer, std::to_string(n));
    auto job = worker->claim(10s);
    ASSERT_TRUE(job.has_value()) << "job " << n << " was enqueued and cannot be claimed: " << job.error().message();
    must(job->complete());
  }
  EXPECT_EQ(world.state_of(unserved), JobState::queued);
}

TEST(Kinds, jobs_keep_their_order_when_the_living_ones_of_a_ring_return_to_the_queue) {
  TwoKinds world(smallest_engine(), {});
  const auto producer = world.attach(Role::producer);
  const auto worker = world.worker_of(world.kind);
  std::vector<JobId> unserved;
  for (int n = 0; n < 600; ++n) {
    if (n % 100 == 0) unserved.push_back(world.enqueue_other(*producer));
    world.enqueue(*producer, std::to_string(n));
    must(must(worker->claim(10s)).complete());
  }
  const auto other = world.worker_of(world.other_kind);
  for (const JobId id : unserved) {
    Job job = must(other->claim(10s));
    EXPECT_EQ(job.id(), id);
    must(job.complete());
  }
}

TEST(Kinds, a_job_without_a_hint_is_placed_when_the_waiting_job_before_it_has_gone) {
  TwoKinds world(smallest_engine());
  const auto producer = world.attach(Role::producer);
  const auto worker = world.worker_of(world.kind);
  const auto other = world.worker_of(world.other_kind);
  world.enqueue_other(*producer);
  JobId unplaced;
  for (int n = 0; n < 1000 && !unplaced; ++n) {
    const JobId id = world.enqueue(*producer, std::to_string(n));
    auto job = worker->claim();
    if (job)
      must(job->complete());
    else
      unplaced = id;
  }
  if (!unplaced) return;  // the ring never looked full
  must(must(other->claim()).complete());
  const Engine keeping = world.scratch.open();
  EXPECT_EQ(must(worker->claim(10s)).id(), unplaced);
}

}  // namespace
}  // namespace ringmill::test
