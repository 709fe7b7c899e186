// SIGTERM and SIGINT, in a process of their own for each test.
#include <pthread.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "ipc/sleepers.h"
#include "tests/support/child.h"
#include "tests/support/shared_block.h"
#include "tests/support/worker_test.h"

namespace ringmill::test {
namespace {

/// What the worker's process says to the test.
struct Signs {
  std::atomic<std::uint64_t> running_job{0};
  std::atomic<bool> may_end{false};
  std::atomic<std::uint32_t> count{0};
};

/// A worker in a process of its own. Its handler gives jobs back until others were taken in advance, then holds one
/// until the worker is told to stop.
struct ChildWorker : WorkerWorld {
  int run_worker() {
    Engine opened = scratch.open(without_keeper);
    const auto core = scratch.open_core();
    Worker worker(opened);
    worker.on(kind_name, [&](JobContext& job) {
      if (count_running(*core) < 2) return JobOutcome::release();
      signs->running_job = job.id().value();
      return await([&] { return job.is_stopping() && signs->may_end; }) ? JobOutcome::complete() : JobOutcome::fail();
    });
    const auto signals = SignalStop::install(worker);
    return signals && worker.run() ? 0 : 1;
  }

  void expect_graceful_end(int signal) {
    for (int n = 0; n < 32; ++n) add();
    Child child([this] { return run_worker(); });
    ASSERT_TRUE(await([&] { return signs->running_job != 0; }));
    ::kill(child.pid(), signal);
    signs->may_end = true;
    EXPECT_EQ(child.wait(), 0);
    EXPECT_EQ(state_of(JobId(signs->running_job.load())), JobState::ended);
    EXPECT_EQ(count_queued(), 31U);
    for (int n = 0; n < 31; ++n) {
      Job job = must(producer->claim());
      EXPECT_EQ(job.attempt(), 1U) << "a job that was never started lost an attempt";
      must(job.complete());
    }
  }

  SharedBlock<Signs> signs;
};

TEST(SignalledWorker, sigterm_ends_the_current_job_and_gives_back_the_unstarted_ones) {
  ChildWorker().expect_graceful_end(SIGTERM);
}

TEST(SignalledWorker, sigint_does_the_same) { ChildWorker().expect_graceful_end(SIGINT); }

TEST(SignalledWorker, a_second_signal_still_lets_the_current_job_end) {
  ChildWorker world;
  for (int n = 0; n < 32; ++n) world.add();
  Child child([&] { return world.run_worker(); });
  ASSERT_TRUE(await([&] { return world.signs->running_job != 0; }));
  for (const int signal : {SIGTERM, SIGTERM, SIGINT}) ::kill(child.pid(), signal);
  world.signs->may_end = true;
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(world.state_of(JobId(world.signs->running_job.load())), JobState::ended);
}

TEST(SignalledWorker, one_that_waits_for_jobs_ends) {
  WorkerWorld world;
  Child child([&] {
    Engine opened = world.scratch.open(without_keeper);
    Worker worker(opened);
    worker.on(kind_name, [](JobContext&) { return JobOutcome::complete(); });
    const auto signals = SignalStop::install(worker);
    return signals && worker.run() ? 0 : 1;
  });
  const auto core = world.scratch.open_core();
  ASSERT_TRUE(await([&] { return Sleepers(core->segment, core->segment.signals().sleepers).any(); }));
  ::kill(child.pid(), SIGTERM);
  EXPECT_EQ(child.wait(), 0);
}

Worker* stopped_by_handler = nullptr;

TEST(SignalledWorker, stop_may_be_called_by_a_programs_own_signal_handler) {
  WorkerWorld world;
  Child child([&] {
    Engine opened = world.scratch.open(without_keeper);
    Worker worker(opened);
    worker.on(kind_name, [](JobContext&) { return JobOutcome::complete(); });
    stopped_by_handler = &worker;
    ::signal(SIGTERM, [](int) { stopped_by_handler->stop(); });
    return worker.run() ? 0 : 1;
  });
  const auto core = world.scratch.open_core();
  ASSERT_TRUE(await([&] { return Sleepers(core->segment, core->segment.signals().sleepers).any(); }));
  ::kill(child.pid(), SIGTERM);
  EXPECT_EQ(child.wait(), 0);
}

/// Runs `body` in a process without an engine, and returns how that ended.
int in_child(const std::function<int()>& body) { return Child(body).wait(); }

TEST(SignalStops, the_callback_hears_which_signal_it_is) {
  SharedBlock<Signs> signs;
  Child child([&] {
    const auto signals = SignalStop::install([&](std::uint32_t count) { signs->count = count; });
    signs->may_end = signals.has_value();
    return await([&] { return signs->count == 3; }) ? 0 : 1;
  });
  ASSERT_TRUE(await([&] { return signs->may_end.load(); }));
  ::kill(child.pid(), SIGTERM);
  EXPECT_TRUE(await([&] { return signs->count == 1; }));
  ::kill(child.pid(), SIGINT);
  EXPECT_TRUE(await([&] { return signs->count == 2; }));
  ::kill(child.pid(), SIGTERM);
  EXPECT_EQ(child.wait(), 0);
}

TEST(SignalStops, it_works_when_every_other_thread_blocks_the_signals) {
  EXPECT_EQ(in_child([] {
              sigset_t all;
              ::sigfillset(&all);
              ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
              std::atomic<std::uint32_t> heard{0};
              const auto signals = SignalStop::install([&](std::uint32_t count) { heard = count; });
              ::kill(::getpid(), SIGTERM);
              return await([&] { return heard == 1; }) ? 0 : 1;
            }),
            0);
}

TEST(SignalStops, the_default_action_is_back_afterwards) {
  EXPECT_EQ(in_child([] {
              must(SignalStop::install([](std::uint32_t) {}));
              ::raise(SIGTERM);
              return 0;
            }),
            -SIGTERM);
}

TEST(SignalStops, a_programs_own_action_is_back_afterwards) {
  EXPECT_EQ(in_child([] {
              ::signal(SIGINT, SIG_IGN);
              must(SignalStop::install([](std::uint32_t) {}));
              ::raise(SIGINT);
              return 7;
            }),
            7);
}

TEST(SignalStops, a_second_one_is_refused_while_the_first_lives) {
  EXPECT_EQ(in_child([] {
              const auto first = SignalStop::install([](std::uint32_t) {});
              const auto second = SignalStop::install([](std::uint32_t) {});
              return first && !second && second.error().code() == ErrorCode::busy ? 0 : 1;
            }),
            0);
}

TEST(SignalStops, the_next_one_counts_from_one_again) {
  EXPECT_EQ(in_child([] {
              for (int round = 0; round < 3; ++round) {
                std::atomic<std::uint32_t> heard{0};
                const auto signals = SignalStop::install([&](std::uint32_t count) { heard = count; });
                ::raise(SIGTERM);
                if (!signals || !await([&] { return heard != 0; }) || heard != 1) return 1;
              }
              return 0;
            }),
            0);
}

TEST(SignalStops, the_child_of_a_fork_ends_by_the_signal_and_the_parent_hears_nothing) {
  EXPECT_EQ(in_child([] {
              std::atomic<std::uint32_t> heard{0};
              const auto signals = SignalStop::install([&](std::uint32_t count) { heard = count; });
              if (in_child([] {
                    ::raise(SIGTERM);
                    return 0;
                  }) != -SIGTERM) {
                return 1;
              }
              // A byte of the child's would be in the pipe before this one.
              ::raise(SIGINT);
              return await([&] { return heard != 0; }) && heard == 1 ? 0 : 2;
            }),
            0);
}

TEST(SignalStops, the_child_of_a_fork_may_have_one_of_its_own) {
  EXPECT_EQ(in_child([] {
              std::atomic<std::uint32_t> parents{0};
              const auto signals = SignalStop::install([&](std::uint32_t count) { parents = count; });
              const int child = in_child([] {
                std::atomic<std::uint32_t> heard{0};
                const auto own = SignalStop::install([&](std::uint32_t count) { heard = count; });
                ::raise(SIGTERM);
                return own && await([&] { return heard == 1; }) ? 0 : 1;
              });
              return child == 0 && parents == 0 ? 0 : 1;
            }),
            0);
}

TEST(SignalStops, nothing_to_call_is_refused) {
  EXPECT_EQ(code_of(SignalStop::install(std::function<void(std::uint32_t)>{})), ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace ringmill::test
