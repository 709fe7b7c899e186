// Jobs with a key from within a handler: at once, or when its own job is complete.
#include <string>

#include "tests/support/inside.h"
#include "tests/support/log_capture.h"
#include "tests/support/worker_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

struct KeyedWorld : WorkerWorld {
  KeyedWorld() : WorkerWorld(small_engine_with_room(), {}) {}
  const Kind after = must(engine.kind("after"));
};

TEST(UniqueFollowUps, a_handler_enqueues_a_job_of_a_key_once) {
  KeyedWorld world;
  for (int n = 0; n < 3; ++n) world.add();
  std::atomic<int> made{0};
  std::atomic<int> ran{0};
  Worker worker(world.engine, {.drain = true});
  worker.on(kind_name, [&](JobContext& job) {
    if (must(job.enqueue_unique({.kind = world.after}, "key", 1h)).is_new) ++made;
    return JobOutcome::complete();
  });
  worker.on("after", [&](JobContext&) {
    ++ran;
    return JobOutcome::complete();
  });
  must(worker.run());
  EXPECT_EQ(made, 1);
  EXPECT_EQ(ran, 1);
}

TEST(UniqueFollowUps, one_waits_for_the_completion_and_is_made_once) {
  KeyedWorld world;
  const auto worker = world.attach();
  const JobId first = world.add();
  const JobId second = world.add();
  Job job = must(worker->claim());
  Job other = must(worker->claim());
  ASSERT_EQ(job.id(), first);
  ASSERT_EQ(other.id(), second);
  const UniqueJob made = must(job.follow_up_unique({.kind = world.after, .payload = "x"}, "key"));
  EXPECT_TRUE(made.is_new);
  EXPECT_EQ(world.state_of(made.id), JobState::blocked);
  const UniqueJob found = must(other.follow_up_unique({.kind = world.after}, "key"));
  EXPECT_FALSE(found.is_new);
  EXPECT_EQ(found.id, made.id);
  must(other.complete());
  EXPECT_EQ(code_of(worker->claim(50ms)), ErrorCode::timed_out);
  must(job.complete());
  Job next = must(worker->claim(generous));
  EXPECT_EQ(next.id(), made.id);
  EXPECT_EQ(next.kind(), world.after);
  EXPECT_EQ(as_text(next.payload()), "x");
  EXPECT_EQ(next.level(), world.level);
}

TEST(UniqueFollowUps, a_run_that_fails_leaves_it_for_the_next_run) {
  KeyedWorld world;
  const auto worker = world.attach();
  world.add();
  Job job = must(worker->claim());
  const UniqueJob made = must(job.follow_up_unique({.kind = world.after}, "key"));
  must(job.fail("no"));
  job = must(worker->claim(generous));
  EXPECT_EQ(job.attempt(), 2U);
  const UniqueJob found = must(job.follow_up_unique({.kind = world.after}, "key"));
  EXPECT_FALSE(found.is_new);
  EXPECT_EQ(found.id, made.id);
  must(job.complete());
  EXPECT_EQ(must(worker->claim(generous)).id(), made.id);
}

TEST(UniqueFollowUps, one_goes_with_a_job_that_is_never_completed) {
  KeyedWorld world;
  const auto worker = world.attach();
  world.add();
  Job job = must(worker->claim());
  const UniqueJob made = must(job.follow_up_unique({.kind = world.after}, "key"));
  must(job.reject("never"));
  EXPECT_TRUE(await([&] { return world.state_of(made.id) == JobState::dead; }));
  const JobInfo info = must(world.engine.job(made.id));
  EXPECT_EQ(info.cause, DeathCause::parent_dead);
  // Its cell has the key until the letter is written.
  EXPECT_TRUE(await([&] { return must(world.producer->enqueue_unique({.kind = world.after}, "key")).is_new; }));
}

TEST(UniqueFollowUps, a_durable_one_is_on_the_disk_when_the_call_returns) {
  KeyedWorld world;
  const auto worker = world.attach();
  world.add();
  Job job = must(worker->claim());
  const JobRequest durable{.kind = world.after, .durability = Durability::durable};
  EXPECT_TRUE(must(job.follow_up_unique(durable, "waits", 0ms, generous)).is_new);
  EXPECT_TRUE(must(job.follow_up_unique(durable, "names no time")).is_new);
  must(job.complete());
}

TEST(UniqueFollowUps, a_long_payload_of_one_comes_whole) {
  CreateOptions options = small_engine_with_room();
  options.max_payload = 64 * 1024;
  options.arena = 0;
  WorkerWorld world(options, {});
  const auto worker = world.attach();
  world.add();
  const std::string text(10'000, 'x');
  Job job = must(worker->claim());
  const UniqueJob made = must(job.follow_up_unique({.kind = world.kind, .payload = text}, "key"));
  must(job.complete());
  Job next = must(worker->claim(generous));
  EXPECT_EQ(next.id(), made.id);
  EXPECT_EQ(as_text(next.payload()), text);
  EXPECT_EQ(next.parents().size(), 1U);
}

TEST(UniqueFollowUps, a_bad_key_is_refused) {
  KeyedWorld world;
  const auto worker = world.attach();
  world.add();
  Job job = must(worker->claim());
  EXPECT_EQ(code_of(job.follow_up_unique({.kind = world.after}, "")), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(job.follow_up_unique({.kind = world.after}, "key", -1ms)), ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace ringmill::test
