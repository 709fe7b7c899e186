// A worker's threads: how many there are, what they hold, and how they come to an end.
#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <string>

#include "ipc/sleepers.h"
#include "tests/support/child.h"
#include "tests/support/log_capture.h"
#include "tests/support/without_fallback.h"
#include "tests/support/worker_test.h"

namespace ringmill::test {
namespace {

std::size_t count_workers(const Engine& engine) {
  const EngineStatus status = engine.status();
  return static_cast<std::size_t>(std::ranges::count_if(
      status.participants, [](const ParticipantStatus& one) { return one.role == name_of(Role::worker); }));
}

/// The entries whose sleeper's bit is set.
std::size_t count_sleepers(const EngineCore& core) {
  Sleepers sleepers(core.segment, core.segment.signals().sleepers);
  std::size_t count = 0;
  for_each_entry(core.segment, [&](std::uint32_t number, const ParticipantEntry&) {
    if (sleepers.is_announced(number)) ++count;
  });
  return count;
}

TEST(WorkerInProcess, as_many_handlers_run_at_once_as_there_are_threads) {
  WorkerWorld world;
  for (int n = 0; n < 4; ++n) world.add();
  std::atomic<int> together{0};
  std::atomic<int> met{0};
  Worker worker(world.engine, {.threads = 4, .drain = true});
  worker.on_any([&](JobContext&) {
    ++together;
    if (await([&] { return together == 4; })) ++met;
    return JobOutcome::complete();
  });
  must(worker.run());
  EXPECT_EQ(met, 4);
}

TEST(WorkerInProcess, several_threads_run_each_job_once) {
  WorkerWorld world;
  constexpr int count = 250;
  for (int n = 0; n < count; ++n) world.add(std::to_string(n));
  std::mutex mutex;
  std::map<std::string, int> runs;
  Worker worker(world.engine, {.threads = 4, .drain = true});
  worker.on_any([&](JobContext& job) {
    const std::lock_guard lock(mutex);
    ++runs[std::string(as_text(job.payload()))];
    return JobOutcome::complete();
  });
  must(worker.run());
  EXPECT_EQ(runs.size(), static_cast<std::size_t>(count));
  EXPECT_TRUE(std::ranges::all_of(runs, [](const auto& run) { return run.second == 1; }));
  EXPECT_EQ(worker.status().completed, static_cast<std::uint64_t>(count));
}

TEST(WorkerInProcess, a_job_that_comes_while_the_threads_sleep_is_run) {
  const WithoutFallback without_fallback;
  WorkerWorld world;
  const auto core = world.scratch.open_core();
  Worker worker(world.engine, {.threads = 2});
  worker.on(kind_name, done);
  Running running(worker);
  ASSERT_TRUE(await([&] { return count_sleepers(*core) == 2; }));
  const JobId id = world.add();
  EXPECT_TRUE(await([&] { return world.state_of(id) == JobState::ended; }));
}

TEST(WorkerInProcess, stop_wakes_threads_that_sleep) {
  const WithoutFallback without_fallback;
  WorkerWorld world;
  const auto core = world.scratch.open_core();
  Worker worker(world.engine, {.threads = 3});
  worker.on(kind_name, done);
  Running running(worker);
  ASSERT_TRUE(await([&] { return count_sleepers(*core) == 3; }));
  worker.stop();
  EXPECT_TRUE(await([&] { return running.is_over(); }));
}

TEST(WorkerInProcess, stop_before_run_lets_it_begin_nothing) {
  WorkerWorld world;
  const JobId id = world.add();
  Worker worker(world.engine);
  worker.on(kind_name, done);
  worker.stop();
  must(worker.run());
  EXPECT_EQ(world.state_of(id), JobState::queued);
}

TEST(WorkerInProcess, a_handler_may_stop_its_worker) {
  WorkerWorld world;
  const JobId first = world.add();
  const JobId second = world.add();
  Worker worker(world.engine);
  worker.on(kind_name, [&](JobContext&) {
    worker.stop();
    return JobOutcome::complete();
  });
  must(worker.run());
  EXPECT_EQ(world.state_of(first), JobState::ended);
  EXPECT_EQ(world.state_of(second), JobState::queued);
}

TEST(WorkerInProcess, a_handler_that_runs_sees_the_stop_and_is_waited_for) {
  WorkerWorld world;
  const JobId id = world.add();
  std::atomic<bool> began{false};
  std::atomic<bool> may_end{false};
  Worker worker(world.engine);
  worker.on(kind_name, [&](JobContext& job) {
    began = true;
    EXPECT_TRUE(await([&] { return job.is_stopping(); }));
    EXPECT_TRUE(await([&] { return may_end.load(); }));
    return JobOutcome::complete();
  });
  Running running(worker);
  ASSERT_TRUE(await([&] { return began.load(); }));
  worker.stop();
  EXPECT_FALSE(running.is_over());
  may_end = true;
  must(running.wait());
  EXPECT_EQ(world.state_of(id), JobState::ended);
}

TEST(WorkerInProcess, the_log_says_which_job_holds_up_a_stop) {
  WorkerWorld world;
  const JobId id = world.add();
  const LogCapture said;
  const std::string held_up = "waits for the handler of job " + id.to_string();
  std::atomic<bool> began{false};
  Worker worker(world.engine, {.grace = std::chrono::milliseconds{1}});
  worker.on(kind_name, [&](JobContext&) {
    began = true;
    EXPECT_TRUE(await([&] { return said.count(held_up) >= 2; })) << "it is not said, or not again";
    return JobOutcome::complete();
  });
  Running running(worker);
  ASSERT_TRUE(await([&] { return began.load(); }));
  must(running.stop());
}

/// Few jobs, so that a look at all words costs little beside the 200 us for which jobs are taken in advance.
struct FewJobs : WorkerWorld {
  FewJobs() {
    for (int n = 0; n < 32; ++n) add();
  }
  std::shared_ptr<EngineCore> core = scratch.open_core();
};

TEST(WorkerInProcess, jobs_that_were_taken_in_advance_go_back_uncounted_at_the_stop) {
  FewJobs world;
  JobId last;
  Worker worker(world.engine);
  worker.on(kind_name, [&](JobContext& job) {
    if (count_running(*world.core) < 2) return JobOutcome::release();  // none in advance yet: more quick runs
    last = job.id();
    worker.stop();
    return JobOutcome::complete();
  });
  must(worker.run());
  EXPECT_EQ(world.state_of(last), JobState::ended);
  EXPECT_EQ(count_running(*world.core), 0U);
  const auto other = world.attach();
  for (int n = 0; n < 31; ++n) {
    Job job = must(other->claim());
    EXPECT_EQ(job.attempt(), 1U);
    must(job.complete());
  }
}

TEST(WorkerInProcess, with_a_prefetch_of_one_nothing_is_taken_in_advance) {
  FewJobs world;
  std::uint32_t most = 0;
  std::uint32_t runs = 0;
  Worker worker(world.engine, {.prefetch = 1});
  worker.on(kind_name, [&](JobContext&) {
    most = std::max(most, count_running(*world.core));
    if (++runs == 1000) worker.stop();
    return JobOutcome::release();
  });
  must(worker.run());
  EXPECT_EQ(most, 1U);
}

TEST(WorkerInProcess, its_threads_leave_the_engine_at_the_end) {
  WorkerWorld world;
  world.add();
  Worker worker(world.engine, {.threads = 3});
  worker.on(kind_name, [&](JobContext&) {
    EXPECT_TRUE(await([&] { return count_workers(world.engine) == 3; }));
    worker.stop();
    return JobOutcome::complete();
  });
  must(worker.run());
  EXPECT_EQ(count_workers(world.engine), 0U);
}

TEST(WorkerInProcess, running_it_twice_at_once_is_refused) {
  WorkerWorld world;
  Worker worker(world.engine);
  worker.on(kind_name, done);
  Running running(worker);
  ASSERT_TRUE(await([&] { return count_workers(world.engine) == 1; }));
  EXPECT_EQ(code_of(worker.run()), ErrorCode::busy);
}

TEST(WorkerInProcess, numbers_out_of_their_bounds_are_refused) {
  WorkerWorld world;
  const std::array<WorkerOptions, 5> wrong{WorkerOptions{.threads = 0}, WorkerOptions{.threads = 513},
                                           WorkerOptions{.prefetch = 0}, WorkerOptions{.prefetch = 65},
                                           WorkerOptions{.grace = std::chrono::milliseconds{0}}};
  for (const WorkerOptions& options : wrong) {
    Worker worker(world.engine, options);
    worker.on(kind_name, done);
    worker.stop();  // one that is not refused ends all the same
    EXPECT_EQ(code_of(worker.run()), ErrorCode::invalid_argument)
        << options.threads << " threads, prefetch " << options.prefetch << ", grace " << options.grace.count();
  }
}

TEST(WorkerInProcess, a_level_that_the_engine_does_not_have_is_refused) {
  WorkerWorld world;
  Worker worker(world.engine, {.levels = {"nowhere"}});
  worker.on(kind_name, done);
  worker.stop();
  const auto ran = worker.run();
  ASSERT_FALSE(ran.has_value());
  EXPECT_EQ(ran.error().code(), ErrorCode::not_found);
  EXPECT_NE(ran.error().message().find("nowhere"), std::string::npos) << ran.error().message();
}

TEST(WorkerInProcess, a_thread_that_finds_no_room_in_the_engine_stops_the_others) {
  WorkerWorld world;
  std::vector<std::unique_ptr<Participant>> others;
  while (others.size() < most_participants) {
    auto other = world.engine.attach(Role::worker);
    if (!other) break;
    others.push_back(*std::move(other));
  }
  others.pop_back();  // room for one
  Worker worker(world.engine, {.threads = 2});
  worker.on(kind_name, done);
  EXPECT_EQ(code_of(worker.run()), ErrorCode::too_many_participants);
}

TEST(WorkerAfterFork, the_child_is_told_that_the_worker_is_its_parents) {
  WorkerWorld world;
  Worker worker(world.engine, {.drain = true});
  worker.on(kind_name, done);
  Child child([&] {
    const auto ran = worker.run();
    return !ran && ran.error().code() == ErrorCode::after_fork ? 0 : 1;
  });
  EXPECT_EQ(child.wait(), 0);
}

}  // namespace
}  // namespace ringmill::test
