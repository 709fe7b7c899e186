// Handlers: which one runs a job, what it sees, and what becomes of the job by what it says.
#include <algorithm>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "tests/support/log_capture.h"
#include "tests/support/worker_test.h"

namespace ringmill::test {
namespace {

WorkerOptions draining() { return {.drain = true}; }

/// Runs everything that waits, all of it by `handler`.
WorkerStatus drain(WorkerWorld& world, Handler handler) {
  Worker worker(world.engine, draining());
  worker.on_any(std::move(handler));
  must(worker.run());
  return worker.status();
}

TEST(HandlersInProcess, each_kind_goes_to_its_own_handler) {
  WorkerWorld world;
  world.add("r", "red");
  world.add("b", "blue");
  std::string red;
  std::string blue;
  Worker worker(world.engine, draining());
  worker.on("red", [&](JobContext& job) {
    red += as_text(job.payload());
    return JobOutcome::complete();
  });
  worker.on("blue", [&](JobContext& job) {
    blue += as_text(job.payload());
    return JobOutcome::complete();
  });
  must(worker.run());
  EXPECT_EQ(red, "r");
  EXPECT_EQ(blue, "b");
}

TEST(HandlersInProcess, a_job_of_a_kind_without_a_handler_is_left_waiting) {
  WorkerWorld world;
  const JobId unknown = world.add("x", "unknown");
  const JobId known = world.add("x", "known");
  Worker worker(world.engine, draining());
  worker.on("known", [](JobContext&) { return JobOutcome::complete(); });
  must(worker.run());
  EXPECT_EQ(world.state_of(known), JobState::ended);
  EXPECT_EQ(world.state_of(unknown), JobState::queued);
  EXPECT_EQ(world.attempts_of(unknown), 0U);
}

TEST(HandlersInProcess, the_default_handler_takes_only_kinds_without_one_of_their_own) {
  WorkerWorld world;
  for (const char* kind : {"named", "other", "another"}) world.add({}, kind);
  std::vector<std::string> by_default;
  Worker worker(world.engine, draining());
  worker.on("named", [](JobContext&) { return JobOutcome::complete(); });
  worker.on_any([&](JobContext& job) {
    by_default.emplace_back(job.kind());
    return JobOutcome::complete();
  });
  must(worker.run());
  EXPECT_EQ(by_default, (std::vector<std::string>{"other", "another"}));
}

TEST(HandlersInProcess, a_handler_sees_the_job_that_it_runs) {
  WorkerWorld world;
  const JobId id = world.add("its payload", "resize", "low");
  Worker worker(world.engine, draining());
  worker.on("resize", [&](JobContext& job) {
    EXPECT_EQ(job.id(), id);
    EXPECT_EQ(job.kind(), "resize");
    EXPECT_EQ(job.level(), "low");
    EXPECT_EQ(job.attempt(), 1U);
    EXPECT_EQ(as_text(job.payload()), "its payload");
    EXPECT_FALSE(job.is_stopping());
    return JobOutcome::complete();
  });
  must(worker.run());
  EXPECT_EQ(worker.status().completed, 1U);
}

TEST(HandlersInProcess, a_failed_job_runs_again_as_its_next_attempt) {
  WorkerWorld world;
  world.add();
  std::vector<std::uint32_t> attempts;
  const WorkerStatus did = drain(world, [&](JobContext& job) {
    attempts.push_back(job.attempt());
    return job.attempt() < 3 ? JobOutcome::fail() : JobOutcome::complete();
  });
  EXPECT_EQ(attempts, (std::vector<std::uint32_t>{1, 2, 3}));
  EXPECT_EQ(did.failed, 2U);
  EXPECT_EQ(did.completed, 1U);
}

TEST(HandlersInProcess, an_exception_fails_the_attempt) {
  WorkerWorld world;
  world.add();
  const LogCapture said;
  const WorkerStatus did = drain(world, [](JobContext& job) {
    if (job.attempt() == 1) throw std::runtime_error("no such picture");
    return JobOutcome::complete();
  });
  EXPECT_EQ(did.failed, 1U);
  EXPECT_EQ(did.completed, 1U);
  EXPECT_TRUE(said.has("no such picture"));
}

TEST(HandlersInProcess, something_else_that_is_thrown_fails_the_attempt) {
  WorkerWorld world;
  world.add();
  const LogCapture said;
  const WorkerStatus did = drain(world, [](JobContext& job) {
    if (job.attempt() == 1) throw 7;
    return JobOutcome::complete();
  });
  EXPECT_EQ(did.failed, 1U);
  EXPECT_EQ(did.completed, 1U);
}

TEST(HandlersInProcess, a_job_that_was_given_back_runs_again_as_the_same_attempt) {
  WorkerWorld world;
  world.add();
  std::vector<std::uint32_t> attempts;
  const WorkerStatus did = drain(world, [&](JobContext& job) {
    attempts.push_back(job.attempt());
    return attempts.size() == 1 ? JobOutcome::release() : JobOutcome::complete();
  });
  EXPECT_EQ(attempts, (std::vector<std::uint32_t>{1, 1}));
  EXPECT_EQ(did.released, 1U);
  EXPECT_EQ(did.failed, 0U);
}

TEST(HandlersInProcess, a_job_that_always_fails_is_logged_at_the_attempts_1_2_4_and_8) {
  WorkerWorld world;
  world.add();
  const LogCapture said;
  drain(world, [](JobContext& job) { return job.attempt() <= 9 ? JobOutcome::fail("again") : JobOutcome::complete(); });
  EXPECT_EQ(said.count("again"), 4U);
  for (const char* attempt : {"attempt 1 ", "attempt 2 ", "attempt 4 ", "attempt 8 "}) EXPECT_TRUE(said.has(attempt));
}

TEST(HandlersInProcess, a_reason_of_several_lines_takes_one_line_of_the_log) {
  WorkerWorld world;
  world.add();
  const LogCapture said;
  drain(world, [](JobContext& job) {
    return job.attempt() == 1 ? JobOutcome::fail("one\ntwo\x1b[31m\r\n") : JobOutcome::complete();
  });
  ASSERT_EQ(said.messages().size(), 1U);
  const std::string line = said.messages().front();
  EXPECT_NE(line.find("one two"), std::string::npos) << line;
  EXPECT_TRUE(std::ranges::none_of(line, [](char c) { return static_cast<unsigned char>(c) < ' '; })) << line;
}

TEST(HandlersInProcess, a_run_whose_lease_was_revoked_does_not_count) {
  WorkerWorld world;
  Inside inside(world.scratch);
  const JobId id = world.add();
  const LogCapture said;
  std::vector<std::uint32_t> attempts;
  const WorkerStatus did = drain(world, [&](JobContext& job) {
    attempts.push_back(job.attempt());
    if (job.attempt() == 1) revoke_leases(inside);
    return JobOutcome::complete();
  });
  EXPECT_EQ(attempts, (std::vector<std::uint32_t>{1, 2}));
  EXPECT_EQ(did.lost, 1U);
  EXPECT_EQ(did.completed, 1U);
  EXPECT_TRUE(said.has("job " + id.to_string() + ": the lease was lost"));
}

TEST(HandlersInProcess, a_handler_whose_lease_was_revoked_is_told_when_it_extends) {
  WorkerWorld world;
  Inside inside(world.scratch);
  world.add();
  const LogCapture said;
  const WorkerStatus did = drain(world, [&](JobContext& job) {
    if (job.attempt() == 1) {
      revoke_leases(inside);
      EXPECT_EQ(code_of(job.extend(std::chrono::hours(1))), ErrorCode::lease_lost);
    }
    return JobOutcome::complete();
  });
  EXPECT_EQ(did.lost, 1U);
  EXPECT_EQ(did.completed, 1U);
}

TEST(HandlersInProcess, a_handler_that_extends_keeps_its_job_longer) {
  WorkerWorld world;  // its leases are of five minutes
  Inside inside(world.scratch);
  world.add();
  const WorkerStatus did = drain(world, [&](JobContext& job) {
    must(job.extend(std::chrono::hours(2)));
    revoke_leases(inside, std::chrono::hours(1));
    return JobOutcome::complete();
  });
  EXPECT_EQ(did.completed, 1U);
  EXPECT_EQ(did.lost, 0U);
}

TEST(HandlersInProcess, a_result_that_is_too_long_completes_its_job_and_is_said_once) {
  WorkerWorld world;
  const JobOptions kept{.keep_result = std::chrono::minutes{1}};
  std::vector<JobId> ids;
  for (int n = 0; n < 2; ++n) {
    ids.push_back(must(world.producer->enqueue({.kind = world.kind, .level = world.level, .options = kept})));
  }
  const LogCapture said;
  const WorkerStatus did = drain(world, [](JobContext&) { return JobOutcome::complete(std::string(2000, 'r')); });
  EXPECT_EQ(did.completed, 2U);
  EXPECT_EQ(did.failed, 0U);
  for (const JobId id : ids) EXPECT_TRUE(must(world.engine.job(id)).result_cut);
  EXPECT_EQ(said.count("its result is refused"), 1U);
}

TEST(HandlersInProcess, a_result_that_does_not_fit_beside_its_payload_is_kept_and_its_job_runs_once) {
  CreateOptions options = small_engine_with_room();
  options.max_payload = 64 * 1024;
  options.arena = 4 * 64 * 1024;
  WorkerWorld world(options);
  const JobOptions kept{.keep_result = std::chrono::hours{1}};
  const std::string payload(64, 'p');
  const JobId id = must(world.producer->enqueue(
      {.kind = world.kind, .level = world.level, .payload = as_payload(payload), .options = kept}));
  int runs = 0;
  const std::string result(81, 'r');  // 80 fit
  const WorkerStatus did = drain(world, [&](JobContext&) {
    ++runs;
    return JobOutcome::complete(result);
  });
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(did.completed, 1U);
  EXPECT_EQ(did.failed, 0U);
  const JobInfo info = must(world.engine.job(id));
  EXPECT_EQ(info.state, JobState::completed);
  EXPECT_EQ(info.attempts, 1U);
  EXPECT_EQ(info.result, result);
}

TEST(HandlersInProcess, a_job_that_the_worker_is_unable_to_run_is_no_attempt_and_the_reason_is_said_once) {
  WorkerWorld world;
  const JobId id = world.add();
  const LogCapture said;
  std::vector<std::uint32_t> attempts;
  const WorkerStatus did = drain(world, [&](JobContext& job) {
    attempts.push_back(job.attempt());
    return attempts.size() < 3 ? JobOutcome::unable("no database") : JobOutcome::complete();
  });
  EXPECT_EQ(attempts, (std::vector<std::uint32_t>{1, 1, 1}));
  EXPECT_EQ(did.released, 2U);
  EXPECT_EQ(did.failed, 0U);
  EXPECT_EQ(world.state_of(id), JobState::ended);
  EXPECT_EQ(said.count("no database"), 1U);
}

TEST(HandlersInProcess, a_worker_that_is_unable_waits_longer_each_time_and_others_get_the_job) {
  WorkerWorld world;
  const JobId id = world.add();
  const LogCapture said;
  std::atomic<int> tries{0};
  Worker unable(world.engine);
  unable.on_any([&](JobContext&) {
    tries.fetch_add(1);
    return JobOutcome::unable("no descriptors");
  });
  Running running(unable);
  // Given back as well: a worker that drains does not wait for what runs elsewhere.
  ASSERT_TRUE(await([&] { return tries.load() == 1 && world.state_of(id) == JobState::queued; }));
  Worker able(world.engine, draining());
  able.on_any([](JobContext&) { return JobOutcome::complete(); });
  must(able.run());
  EXPECT_EQ(able.status().completed, 1U);
  EXPECT_EQ(world.state_of(id), JobState::ended);
  must(running.stop());
}

TEST(HandlersInProcess, stop_ends_the_wait_of_a_worker_that_is_unable) {
  WorkerWorld world;
  world.add();
  const LogCapture said;
  std::atomic<int> tries{0};
  Worker worker(world.engine);
  worker.on_any([&](JobContext&) {
    tries.fetch_add(1);
    return JobOutcome::unable("no descriptors");
  });
  Running running(worker);
  ASSERT_TRUE(await([&] { return tries.load() == 4; }));  // the next wait is 800 ms
  const std::uint64_t begin_ns = steady_clock_ns();
  must(running.stop());
  EXPECT_LT(steady_clock_ns() - begin_ns, 500'000'000U);
  EXPECT_EQ(world.count_queued(), 1U);
}

TEST(HandlersInProcess, a_worker_that_stays_unable_ends_with_the_reason) {
  WorkerWorld world;
  const JobId id = world.add();
  const LogCapture said;
  Worker worker(world.engine, {.give_up_after = std::chrono::milliseconds{250}});
  worker.on_any([](JobContext&) { return JobOutcome::unable("no shell"); });
  const auto ran = worker.run();
  ASSERT_EQ(code_of(ran), ErrorCode::system);
  EXPECT_NE(ran.error().message().find("no shell"), std::string::npos) << ran.error().message();
  EXPECT_EQ(world.state_of(id), JobState::queued);
  EXPECT_EQ(world.attempts_of(id), 0U);
}

TEST(HandlersInProcess, a_worker_that_runs_some_jobs_does_not_give_up_because_of_others) {
  WorkerWorld world;
  world.add({}, "long");
  const LogCapture said;
  std::atomic<bool> runs{false};
  std::atomic<int> tries{0};
  // One thread runs a job all the time; the other one is unable for longer than give_up_after.
  Worker worker(world.engine, {.threads = 2, .give_up_after = std::chrono::milliseconds{250}});
  worker.on("unable", [&](JobContext&) {
    return tries.fetch_add(1) < 5 ? JobOutcome::unable("no descriptors") : JobOutcome::complete();
  });
  worker.on("long", [&](JobContext& job) {
    runs.store(true);
    while (tries.load() < 6 && !job.is_stopping()) std::this_thread::sleep_for(std::chrono::milliseconds{1});
    return JobOutcome::complete();
  });
  Running running(worker);
  ASSERT_TRUE(await([&] { return runs.load(); }));
  world.add({}, "unable");
  EXPECT_TRUE(await([&] { return worker.status().completed == 2 || running.is_over(); }));
  EXPECT_FALSE(running.is_over());
  must(running.stop());
}

TEST(HandlersInProcess, an_exception_that_says_that_the_process_lacks_something_is_no_attempt) {
  for (const std::errc lack : {std::errc::too_many_files_open, std::errc::resource_unavailable_try_again,
                               std::errc::not_enough_memory, std::errc::too_many_files_open_in_system}) {
    WorkerWorld world;
    world.add();
    const LogCapture said;
    int tries = 0;
    const WorkerStatus did = drain(world, [&](JobContext& job) {
      EXPECT_EQ(job.attempt(), 1U);
      if (++tries == 1) throw std::system_error(std::make_error_code(lack), "a thread");
      return JobOutcome::complete();
    });
    EXPECT_EQ(did.failed, 0U);
    EXPECT_EQ(did.completed, 1U);
  }
}

}  // namespace
}  // namespace ringmill::test
