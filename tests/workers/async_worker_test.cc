// Handlers that hand their job to another thread: it is settled there, and its lease is kept meanwhile.
#include <ringmill/async.h>

#include <algorithm>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "tests/support/child.h"
#include "tests/support/log_capture.h"
#include "tests/support/shared_block.h"
#include "tests/support/worker_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

/// What handlers hand on: a queue between threads.
class Handed {
 public:
  void put(AsyncJob job) {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  std::optional<AsyncJob> take() {
    const std::lock_guard lock(mutex_);
    if (jobs_.empty()) return std::nullopt;
    AsyncJob job = std::move(jobs_.front());
    jobs_.pop_front();
    return job;
  }
  AsyncJob must_take() {
    std::optional<AsyncJob> job;
    if (!await([&] { return (job = take()).has_value(); })) throw std::runtime_error("no job was handed on");
    return *std::move(job);
  }
  std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return jobs_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::deque<AsyncJob> jobs_;
};

CreateOptions engine_for(std::uint32_t jobs) {
  CreateOptions options = small_engine_with_room();
  options.capacity = jobs;
  return options;
}

/// An engine, and an async worker whose handler hands every job on.
struct AsyncWorld : WorkerWorld {
  explicit AsyncWorld(const AsyncOptions& options = {}, const CreateOptions& creation = engine_for(1024),
                      const OpenOptions& opening = without_keeper)
      : WorkerWorld(creation, opening), worker(engine, options) {
    worker.on_any([this](AsyncJob job) { handed.put(std::move(job)); });
  }
  Handed handed;
  AsyncWorker worker;
};

TEST(AsyncWorkerInProcess, five_hundred_jobs_are_in_flight_on_four_threads) {
  AsyncWorld world({.threads = 4, .in_flight = 500});
  for (int n = 0; n < 600; ++n) world.add(std::to_string(n));
  Running running(world.worker);
  ASSERT_TRUE(await([&] { return world.handed.size() == 500; }));
  std::this_thread::sleep_for(50ms);
  EXPECT_EQ(world.handed.size(), 500U);
  EXPECT_EQ(world.worker.in_flight(), 500U);
  const EngineStatus status = world.engine.status();
  EXPECT_EQ(std::ranges::count_if(status.participants,
                                  [](const ParticipantStatus& one) { return one.role == name_of(Role::worker); }),
            8);
  std::set<std::string> payloads;
  for (int n = 0; n < 600; ++n) {
    AsyncJob job = world.handed.must_take();
    payloads.emplace(as_text(job.payload()));
    EXPECT_EQ(must(job.settle(JobOutcome::complete())), Settled::over);
  }
  EXPECT_EQ(payloads.size(), 600U);
  must(running.stop());
  EXPECT_EQ(world.worker.status().completed, 600U);
}

TEST(AsyncWorkerInProcess, other_threads_settle_while_the_workers_claim) {
  AsyncWorld world({.threads = 2, .in_flight = 100}, engine_for(2048));
  constexpr int count = 2000;
  std::vector<JobId> ids;
  for (int n = 0; n < count; ++n) ids.push_back(world.add());
  Running running(world.worker);
  std::atomic<int> settled{0};
  std::vector<std::thread> threads;
  for (int n = 0; n < 3; ++n) {
    threads.emplace_back([&] {
      while (settled < count) {
        auto job = world.handed.take();
        if (!job) {
          std::this_thread::yield();
          continue;
        }
        must(job->settle(JobOutcome::complete()));
        ++settled;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  must(running.stop());
  for (const JobId id : ids) EXPECT_EQ(world.state_of(id), JobState::ended);
}

TEST(AsyncWorkerInProcess, a_job_that_comes_while_its_threads_sleep_is_begun) {
  AsyncWorld world({.threads = 2});
  Running running(world.worker);
  std::this_thread::sleep_for(20ms);
  const JobId id = world.add("x");
  AsyncJob job = world.handed.must_take();
  EXPECT_EQ(job.id(), id);
  EXPECT_EQ(job.kind(), kind_name);
  EXPECT_EQ(job.level(), "default");
  EXPECT_EQ(job.attempt(), 1U);
  must(job.settle(JobOutcome::complete()));
}

TEST(AsyncWorkerInProcess, a_second_settle_is_the_error_not_held) {
  AsyncWorld world;
  world.add();
  Running running(world.worker);
  AsyncJob job = world.handed.must_take();
  must(job.settle(JobOutcome::complete()));
  EXPECT_EQ(code_of(job.settle(JobOutcome::complete())), ErrorCode::not_held);
  AsyncJob other = std::move(job);
  EXPECT_EQ(code_of(job.settle(JobOutcome::complete())), ErrorCode::not_held);  // NOLINT: that is the point
  EXPECT_EQ(code_of(other.settle(JobOutcome::complete())), ErrorCode::not_held);
}

TEST(AsyncWorkerInProcess, a_revoked_lease_is_the_error_lease_lost) {
  AsyncWorld world;
  const JobId id = world.add();
  Inside inside(world.scratch);
  Running running(world.worker);
  AsyncJob job = world.handed.must_take();
  revoke_leases(inside);
  AsyncJob next = world.handed.must_take();  // it was begun again
  EXPECT_EQ(next.id(), id);
  EXPECT_EQ(code_of(job.settle(JobOutcome::complete())), ErrorCode::lease_lost);
  EXPECT_EQ(code_of(job.settle(JobOutcome::complete())), ErrorCode::lease_lost);
  EXPECT_TRUE(job.should_stop());
  must(next.settle(JobOutcome::complete()));
  EXPECT_EQ(world.worker.status().lost, 1U);
}

TEST(AsyncWorkerInProcess, an_abandoned_job_is_a_failed_attempt_that_says_so) {
  WorkerWorld world(engine_for(256));
  const JobId id = must(world.producer->enqueue(
      {.kind = world.kind,
       .options = {.max_attempts = 0, .retry_policy = must(world.engine.retry_policy("fixed:1h"))}}));
  const LogCapture said;
  AsyncWorker worker(world.engine);
  worker.on_any([](AsyncJob) {});
  Running running(worker);
  ASSERT_TRUE(await([&] { return worker.status().failed == 1; }));
  const JobInfo info = must(world.engine.job(id));
  EXPECT_EQ(info.state, JobState::delayed);
  EXPECT_EQ(info.attempts, 1U);
  EXPECT_EQ(info.last_error, "the handler let go of the job and did not settle it");
}

TEST(AsyncWorkerInProcess, an_exception_of_the_handler_is_a_failed_attempt_with_its_text) {
  WorkerWorld world(engine_for(256));
  const JobId id = must(world.producer->enqueue(
      {.kind = world.kind,
       .options = {.max_attempts = 0, .retry_policy = must(world.engine.retry_policy("fixed:1h"))}}));
  const LogCapture said;
  AsyncWorker worker(world.engine);
  worker.on_any([](AsyncJob) { throw std::runtime_error("no such table"); });
  Running running(worker);
  ASSERT_TRUE(await([&] { return worker.status().failed == 1; }));
  EXPECT_EQ(must(world.engine.job(id)).last_error, "the handler threw: no such table");
}

TEST(AsyncWorkerInProcess, an_exception_after_the_job_was_handed_on_changes_nothing_of_it) {
  WorkerWorld world(engine_for(256));
  world.add();
  const LogCapture said;
  Handed handed;
  AsyncWorker worker(world.engine);
  worker.on_any([&](AsyncJob job) {
    handed.put(std::move(job));
    throw std::runtime_error("too late");
  });
  Running running(worker);
  AsyncJob job = handed.must_take();
  ASSERT_TRUE(await([&] { return said.has("too late"); }));
  EXPECT_EQ(must(job.settle(JobOutcome::complete())), Settled::over);
}

TEST(AsyncWorkerInProcess, every_outcome_does_what_it_says) {
  AsyncWorld world;
  const LogCapture said;
  Running running(world.worker);
  const auto settle_next = [&world](const JobOutcome& outcome) {
    const JobId id = must(world.producer->enqueue({.kind = world.kind, .options = {.max_attempts = 1}}));
    AsyncJob job = world.handed.must_take();
    EXPECT_EQ(job.id(), id);
    const Settled settled = must(job.settle(outcome));
    return std::pair(settled, world.state_of(id));
  };
  using End = std::pair<Settled, JobState>;
  EXPECT_EQ(settle_next(JobOutcome::complete()), End(Settled::over, JobState::ended));
  EXPECT_EQ(settle_next(JobOutcome::cancel()).first, Settled::over);
  EXPECT_EQ(settle_next(JobOutcome::snooze(1h)), End(Settled::waits, JobState::delayed));
  EXPECT_EQ(settle_next(JobOutcome::fail("x")), End(Settled::dead, JobState::dead));
  EXPECT_EQ(settle_next(JobOutcome::reject("x")), End(Settled::dead, JobState::dead));
  EXPECT_EQ(settle_next(JobOutcome::time_out("x")), End(Settled::dead, JobState::dead));
  EXPECT_EQ(settle_next(JobOutcome::retry_in(1h, "x")).first, Settled::dead);
  EXPECT_EQ(world.worker.status().dead, 4U);
}

TEST(AsyncWorkerInProcess, a_follow_up_becomes_visible_with_the_completion) {
  AsyncWorld world;
  const Kind after = must(world.engine.kind("after"));
  world.add();
  Running running(world.worker);
  AsyncJob job = world.handed.must_take();
  const JobId id = must(job.follow_up({.kind = after, .payload = "next"}));
  EXPECT_EQ(world.handed.size(), 0U);
  must(job.settle(JobOutcome::complete()));
  AsyncJob next = world.handed.must_take();
  EXPECT_EQ(next.id(), id);
  EXPECT_EQ(next.kind(), "after");
  must(next.settle(JobOutcome::complete()));
}

TEST(AsyncWorkerInProcess, leases_are_kept_while_jobs_are_in_flight) {
  CreateOptions options = engine_for(256);
  options.lease = 150ms;
  AsyncWorld world({.threads = 2, .in_flight = 20}, options, {});
  for (int n = 0; n < 20; ++n) world.add();
  Running running(world.worker);
  ASSERT_TRUE(await([&] { return world.handed.size() == 20; }));
  std::this_thread::sleep_for(1s);  // the keeper revokes what is over for longer than one of its turns
  EXPECT_EQ(world.handed.size(), 20U);
  for (int n = 0; n < 20; ++n) {
    AsyncJob job = world.handed.must_take();
    EXPECT_EQ(job.attempt(), 1U);
    EXPECT_TRUE(job.settle(JobOutcome::complete()).has_value());
  }
}

TEST(AsyncWorkerInProcess, a_run_beyond_its_longest_time_loses_its_lease) {
  CreateOptions options = engine_for(256);
  options.lease = 100ms;
  AsyncWorld world({.longest_run = 300ms}, options, {});
  const JobId id = world.add();
  Running running(world.worker);
  AsyncJob job = world.handed.must_take();
  AsyncJob next = world.handed.must_take();
  EXPECT_EQ(next.id(), id);
  EXPECT_EQ(next.attempt(), 2U);
  EXPECT_EQ(code_of(job.settle(JobOutcome::complete())), ErrorCode::lease_lost);
  must(next.settle(JobOutcome::complete()));
}

TEST(AsyncWorkerInProcess, a_cancelled_job_is_told) {
  AsyncWorld world;
  const JobId id = world.add();
  Running running(world.worker);
  AsyncJob job = world.handed.must_take();
  EXPECT_FALSE(job.should_stop());
  EXPECT_EQ(must(world.producer->cancel(id)), Cancelled::asked_to_stop);
  EXPECT_TRUE(job.should_stop());
  must(job.settle(JobOutcome::cancel()));
  EXPECT_EQ(world.worker.status().cancelled, 1U);
}

TEST(AsyncWorkerInProcess, a_stop_waits_for_the_jobs_in_flight) {
  AsyncWorld world({.grace = generous});
  const JobId id = world.add();
  Running running(world.worker);
  AsyncJob job = world.handed.must_take();
  world.worker.stop();
  EXPECT_TRUE(job.is_stopping());
  std::this_thread::sleep_for(20ms);
  EXPECT_FALSE(running.is_over());
  must(job.settle(JobOutcome::complete()));
  must(running.wait());
  EXPECT_EQ(world.state_of(id), JobState::ended);
}

TEST(AsyncWorkerInProcess, after_its_grace_a_stop_gives_the_jobs_back_uncounted_and_their_settle_is_lease_lost) {
  AsyncWorld world({.grace = 20ms});
  const JobId id = world.add("the payload stays");
  const LogCapture said;
  Running running(world.worker);
  AsyncJob job = world.handed.must_take();
  must(running.stop());
  EXPECT_EQ(world.state_of(id), JobState::queued);
  EXPECT_EQ(world.attempts_of(id), 0U);
  EXPECT_EQ(world.worker.in_flight(), 0U);
  EXPECT_EQ(world.worker.status().released, 1U);
  EXPECT_EQ(code_of(job.settle(JobOutcome::complete())), ErrorCode::lease_lost);
  EXPECT_EQ(code_of(job.follow_up({.kind = world.kind})), ErrorCode::lease_lost);
  EXPECT_EQ(as_text(job.payload()), "the payload stays");
}

TEST(AsyncWorkerInProcess, a_job_in_flight_may_outlive_its_worker_and_its_engine) {
  std::optional<AsyncJob> job;
  {
    AsyncWorld world({.grace = 0ms});
    const LogCapture said;
    world.add("x");
    Running running(world.worker);
    job = world.handed.must_take();
    must(running.stop());
  }
  EXPECT_EQ(as_text(job->payload()), "x");
  EXPECT_EQ(code_of(job->settle(JobOutcome::complete())), ErrorCode::lease_lost);
}

TEST(AsyncWorkerInProcess, a_job_abandoned_during_a_stop_counts_no_attempt) {
  AsyncWorld world({.grace = generous});
  const JobId id = world.add();
  Running running(world.worker);
  {
    AsyncJob job = world.handed.must_take();
    world.worker.stop();
  }
  must(running.wait());
  EXPECT_EQ(world.state_of(id), JobState::queued);
  EXPECT_EQ(world.attempts_of(id), 0U);
}

TEST(AsyncWorkerInProcess, its_options_are_checked) {
  World world;
  const auto code_with = [&world](const AsyncOptions& options) {
    AsyncWorker worker(world.engine, options);
    worker.on_any([](AsyncJob) {});
    return code_of(worker.run());
  };
  EXPECT_EQ(code_with({.threads = 0}), ErrorCode::invalid_argument);
  EXPECT_EQ(code_with({.threads = 65}), ErrorCode::invalid_argument);
  EXPECT_EQ(code_with({.in_flight = 0}), ErrorCode::invalid_argument);
  EXPECT_EQ(code_with({.in_flight = 8193}), ErrorCode::invalid_argument);
  EXPECT_EQ(code_with({.grace = -1ms}), ErrorCode::invalid_argument);
  EXPECT_EQ(code_with({.levels = {"no such"}}), ErrorCode::not_found);
  AsyncWorker without_handler(world.engine);
  EXPECT_EQ(code_of(without_handler.run()), ErrorCode::invalid_argument);
}

TEST(AsyncWorkerKills, five_hundred_jobs_in_flight_of_a_killed_process_are_handed_over_once_each) {
  WorkerWorld world(engine_for(1024), {});
  ASSERT_TRUE(await([&] { return world.engine.keeps(); }));
  constexpr std::size_t count = 500;
  std::set<JobId> ids;
  for (std::size_t n = 0; n < count; ++n) ids.insert(world.add());
  SharedBlock<std::atomic<std::uint32_t>> in_flight;
  Child child([&] {
    Engine engine = world.scratch.open(without_keeper);
    std::mutex mutex;
    std::vector<AsyncJob> jobs;
    AsyncWorker worker(engine, {.threads = 4, .in_flight = count});
    worker.on_any([&](AsyncJob job) {
      const std::lock_guard lock(mutex);
      jobs.push_back(std::move(job));
      in_flight->fetch_add(1);
    });
    return worker.run() ? 0 : 1;
  });
  ASSERT_TRUE(await([&] { return *in_flight == count; }));
  child.kill();

  std::mutex mutex;
  std::map<JobId, int> runs;
  std::uint32_t wrong_attempts = 0;
  AsyncWorker worker(world.engine, {.threads = 2, .in_flight = count});
  worker.on_any([&](AsyncJob job) {
    const std::lock_guard lock(mutex);
    ++runs[job.id()];
    if (job.attempt() != 2) ++wrong_attempts;
    must(job.settle(JobOutcome::complete()));
  });
  Running running(worker);
  EXPECT_TRUE(await([&] { return worker.status().completed >= count; }));
  std::this_thread::sleep_for(200ms);  // several turns of the keeper: none comes twice
  must(running.stop());
  EXPECT_EQ(worker.status().completed, count);
  EXPECT_EQ(wrong_attempts, 0U);
  EXPECT_EQ(runs.size(), count);
  for (const auto& [id, times] : runs) EXPECT_EQ(times, 1) << id.to_string() << ids.contains(id);
}

}  // namespace
}  // namespace ringmill::test
