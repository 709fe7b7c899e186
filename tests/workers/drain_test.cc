// A worker that drains: it ends when nothing is left to run, and not before.
#include <atomic>
#include <csignal>
#include <memory>
#include <stdexcept>
#include <string>

#include "ipc/sleepers.h"
#include "tests/support/child.h"
#include "tests/support/worker_test.h"

namespace ringmill::test {
namespace {

TEST(DrainInProcess, an_empty_engine_ends_it) {
  WorkerWorld world;
  Worker worker(world.engine, {.threads = 2, .drain = true});
  worker.on(kind_name, done);
  must(worker.run());
  EXPECT_EQ(worker.status().completed, 0U);
}

TEST(DrainInProcess, everything_that_waits_is_run_first) {
  WorkerWorld world;
  for (int n = 0; n < 80; ++n) {
    for (const char* level : {"high", "default", "low"}) world.add({}, kind_name, level);
  }
  Worker worker(world.engine, {.threads = 3, .drain = true});
  worker.on(kind_name, done);
  must(worker.run());
  EXPECT_EQ(worker.status().completed, 240U);
  EXPECT_EQ(world.engine.status().cells_used, 0U);
}

TEST(DrainInProcess, a_job_that_failed_is_waited_for_until_its_next_attempt) {
  WorkerWorld world(small_engine(), OpenOptions{});
  world.add();
  Worker worker(world.engine, {.drain = true});
  worker.on(kind_name, [](JobContext& job) {
    return job.attempt() == 1 ? JobOutcome::retry_in(std::chrono::milliseconds(300)) : JobOutcome::complete();
  });
  must(worker.run());
  EXPECT_EQ(worker.status().completed, 1U);
}

TEST(DrainInProcess, jobs_of_kinds_and_levels_that_it_does_not_run_are_not_waited_for) {
  WorkerWorld world;
  world.add({}, "another");
  world.add({}, kind_name, "low");
  Worker worker(world.engine, {.levels = {"high", "default"}, .drain = true});
  worker.on(kind_name, done);
  must(worker.run());
  EXPECT_EQ(worker.status().completed, 0U);
  EXPECT_EQ(world.engine.status().cells_used, 2U);
}

TEST(DrainInProcess, jobs_that_a_handler_makes_are_run_too) {
  WorkerWorld world;
  world.add("4");
  Worker worker(world.engine, {.threads = 2, .drain = true});
  worker.on(kind_name, [&](JobContext& job) {
    const int more = std::stoi(std::string(as_text(job.payload())));
    const auto producer = world.attach(Role::producer);
    for (int n = 0; n < 2 && more > 0; ++n) world.enqueue(*producer, std::to_string(more - 1));
    return JobOutcome::complete();
  });
  must(worker.run());
  EXPECT_EQ(worker.status().completed, 31U);
}

/// Two threads that pass a job on: each run waits until the other thread sleeps, makes the next job, and waits until
/// that one has begun. A thread that leaves too early, because the other's job was not counted, breaks the chain.
struct Chain : WorkerWorld {
  Chain() {
    worker.on(kind_name, [this](JobContext& job) {
      const int link = std::stoi(std::string(as_text(job.payload())));
      begun = link;
      if (link < last_link && !pass_on(link + 1)) {
        ADD_FAILURE() << "the thread that had nothing to do has left while job " << link << " ran";
        worker.stop();
      }
      return JobOutcome::complete();
    });
  }
  bool pass_on(int link) {
    if (!await([&] { return Sleepers(core->segment, core->segment.signals().sleepers).any(); })) return false;
    enqueue(*must(engine.attach(Role::producer)), std::to_string(link));
    return await([&] { return begun == link; });
  }
  void run() {
    add("1");
    must(worker.run());
  }

  static constexpr int last_link = 4;
  std::atomic<int> begun{0};
  std::shared_ptr<EngineCore> core = scratch.open_core();
  Worker worker{engine, {.threads = 2, .drain = true}};
};

TEST(DrainInProcess, a_thread_with_nothing_to_do_stays_while_another_runs_a_job) {
  Chain chain;
  chain.run();
  EXPECT_EQ(chain.worker.status().completed, 4U);
}

TEST(DrainInProcess, jobs_that_other_workers_run_are_not_waited_for) {
  WorkerWorld world;
  const JobId theirs = world.add();
  const auto other = world.attach();
  Job held = must(other->claim());
  Worker worker(world.engine, {.drain = true});
  worker.on_any(done);
  must(worker.run());
  EXPECT_EQ(world.state_of(theirs), JobState::running);
  EXPECT_TRUE(held.complete().has_value());
}

TEST(DrainInProcess, it_may_run_again) {
  Chain chain;
  chain.run();
  chain.run();
  EXPECT_EQ(chain.worker.status().completed, 8U);
}

/// A job in the hands of a process that was killed, in an engine without a keeper.
struct LeftJob : WorkerWorld {
  LeftJob() {
    Child holder([&] {
      Engine opened = scratch.open(without_keeper);
      const auto worker = must(opened.attach(Role::worker));
      const Job job = must(worker->claim());
      ::raise(SIGKILL);
      return 0;
    });
    if (holder.wait() != -SIGKILL) throw std::runtime_error("the holder did not get its job");
  }
  /// A worker that found nothing has looked whether all is done, and sleeps before it looks again.
  bool somebody_sleeps() const { return Sleepers(core->segment, core->segment.signals().sleepers).any(); }

  JobId id = add();
  std::shared_ptr<EngineCore> core = scratch.open_core();
};

TEST(Drain, a_job_that_was_left_by_a_dead_worker_is_waited_for) {
  LeftJob world;
  Worker worker(world.engine, {.drain = true});
  worker.on_any(done);
  Running running(worker);
  ASSERT_TRUE(await([&] { return world.somebody_sleeps() || running.is_over(); }));
  EXPECT_FALSE(running.is_over());
  const Engine keeping = world.scratch.open();
  must(running.wait());
  EXPECT_EQ(worker.status().completed, 1U);
  EXPECT_EQ(world.state_of(world.id), JobState::ended);
}

TEST(Drain, stop_ends_it_while_it_waits) {
  LeftJob world;
  Worker worker(world.engine, {.threads = 2, .drain = true});
  worker.on_any(done);
  Running running(worker);
  ASSERT_TRUE(await([&] { return world.somebody_sleeps(); }));
  must(running.stop());
  EXPECT_EQ(world.state_of(world.id), JobState::running);
}

}  // namespace
}  // namespace ringmill::test
