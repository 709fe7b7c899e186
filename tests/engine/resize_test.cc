// An engine that gets other sizes, with all its jobs, also when the process that does it is killed.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ringmill/values.h>

#include "core/engine/engine_resize.h"
#include "core/inspect/invariants.h"
#include "core/inspect/job_view.h"
#include "tests/crash/single_step.h"
#include "tests/engine/jobs_of_all_sorts.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/log_capture.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;
using crash::SteppedProcess;

constexpr std::uint32_t before_resize = 256;
constexpr std::uint32_t after_resize = 1024;

CreateOptions resizable() {
  CreateOptions options = small_engine_with_room();
  options.capacity = before_resize;
  options.max_payload = 64 * 1024;
  options.arena = 4 * 64 * 1024;
  return options;
}

ResizeReport resize(const std::filesystem::path& directory, const ResizeWish& wish = {.capacity = after_resize}) {
  return must(resize_engine(directory, wish));
}
Result<ResizeReport> try_to_resize(const std::filesystem::path& directory, const ResizeWish& wish) {
  return resize_engine(directory, wish);
}

void expect_sound(const ScratchEngine& scratch) {
  EXPECT_EQ(check_invariants(scratch.open_core()->segment, false), std::vector<std::string>());
}

TEST(Resize, each_job_of_whatever_sort_is_there_under_its_id_and_runs) {
  for (const ResizeWish& wish : {ResizeWish{.capacity = after_resize}, ResizeWish{.cell_size = 1024},
                                 ResizeWish{.max_payload = 1U << 20, .arena = std::uint64_t{8} << 20},
                                 ResizeWish{.capacity = after_resize, .cell_size = 512}}) {
    const ScratchEngine scratch(resizable());
    std::unique_ptr<JobsOfAllSorts> jobs;
    {
      Engine engine = scratch.open(OpenOptions{});
      jobs = std::make_unique<JobsOfAllSorts>(engine);
    }
    const ResizeReport report = resize(scratch.directory(), wish);
    EXPECT_EQ(report.jobs, 16U);
    Engine engine = scratch.open(OpenOptions{});
    EXPECT_EQ(engine.status().capacity, wish.capacity != 0 ? wish.capacity : before_resize);
    EXPECT_EQ(engine.status().cell_size, wish.cell_size != 0 ? wish.cell_size : 256U);
    jobs->expect_in(engine);
    jobs->expect_to_run(engine);
    expect_sound(scratch);
    EXPECT_EQ(scratch.place().shm_names().size(), 1U);
  }
}

TEST(Resize, long_results_and_values_come_along) {
  ScratchEngine scratch(resizable());
  JobId id;
  {
    Engine engine = scratch.open({});
    const auto participant = must(engine.attach(Role::worker));
    const JobOptions kept{.keep_result = 1h};
    id = must(participant->enqueue(
        {.kind = must(engine.kind("k")), .level = must(engine.level("default")), .options = kept}));
    must(must(participant->claim(generous)).complete(as_payload(long_text())));
    Values values(*participant);
    must(values.set("long", as_payload(long_text())));
    for (int n = 0; n < 3; ++n) must(values.increment("n"));
    must(participant->wait_durable(participant->ticket(), generous));
  }
  resize(scratch.directory());
  Engine engine = scratch.open({});
  EXPECT_TRUE(must(engine.job(id)).result == long_text());
  const auto participant = must(engine.attach(Role::worker));
  Values values(*participant);
  EXPECT_TRUE(must(values.get("long")).bytes == long_text());
  EXPECT_EQ(must(values.increment("n")), 4);
}

TEST(Resize, what_was_durable_comes_back_after_a_resize_and_a_reboot) {
  for (const std::uint32_t capacity : {after_resize, before_resize / 2}) {
    const ScratchEngine scratch(resizable());
    std::unique_ptr<JobsOfAllSorts> jobs;
    {
      Engine engine = scratch.open(OpenOptions{});
      jobs = std::make_unique<JobsOfAllSorts>(engine);
    }
    resize(scratch.directory(), {.capacity = capacity});
    JobId later;
    {
      Engine engine = scratch.open(OpenOptions{});
      const auto producer = must(engine.attach(Role::producer));
      later = must(producer->enqueue(
          {.kind = must(engine.kind("more")), .level = must(engine.level("low")), .durability = Durability::durable}));
    }
    std::filesystem::remove(scratch.segment_file());
    const LogCapture log;
    Engine engine = scratch.open(OpenOptions{});
    EXPECT_EQ(engine.status().capacity, capacity);
    EXPECT_EQ(must(engine.job(later)).state, JobState::queued);
    EXPECT_EQ(jobs->count_in(engine), 8U) << "the kept one, and seven that wait";
    EXPECT_FALSE(log.has("damage")) << testing::PrintToString(log.messages());
  }
}

TEST(Resize, a_smaller_capacity_is_refused_while_a_job_stands_in_a_cell_that_would_go_and_it_is_named) {
  CreateOptions options = small_engine();
  const ScratchEngine scratch(options);
  JobId last;
  {
    Engine engine = scratch.open(OpenOptions{});
    const auto producer = must(engine.attach(Role::producer));
    const JobRequest request{.kind = must(engine.kind("k")), .level = must(engine.level("default"))};
    for (int n = 0; n < 100; ++n) last = must(producer->enqueue(request));
  }
  const auto refused = try_to_resize(scratch.directory(), {.capacity = 64});
  ASSERT_EQ(code_of(refused), ErrorCode::busy);
  EXPECT_NE(refused.error().message().find("cell "), std::string::npos) << refused.error().message();
  {
    Engine engine = scratch.open(OpenOptions{});
    EXPECT_EQ(engine.status().capacity, 256U);
    const auto worker = must(engine.attach(Role::worker));
    for (int n = 0; n < 100; ++n) must(must(worker->claim(generous)).complete());
    must(worker->wait_durable(worker->ticket(), generous));
  }
  resize(scratch.directory(), {.capacity = 64});
  Engine engine = scratch.open(OpenOptions{});
  EXPECT_EQ(engine.status().capacity, 64U);
  EXPECT_EQ(engine.status().cells_used, 0U);
}

TEST(Resize, an_engine_in_use_is_left_alone_and_what_uses_it_is_named) {
  const ScratchEngine scratch(resizable());
  Engine engine = scratch.open();
  const auto worker = must(engine.attach(Role::worker));
  const auto refused = try_to_resize(scratch.directory(), {.capacity = after_resize});
  ASSERT_EQ(code_of(refused), ErrorCode::busy);
  const std::string named =
      "participant " + std::to_string(worker->number()) + " (process " + std::to_string(::getpid());
  EXPECT_NE(refused.error().message().find(named), std::string::npos) << refused.error().message();
  EXPECT_EQ(engine.status().capacity, before_resize);
}

TEST(Resize, what_a_dead_worker_held_waits_again_before_it_begins) {
  const ScratchEngine scratch(resizable());
  Child worker([&scratch] {
    Engine engine = scratch.open();
    const auto participant = must(engine.attach(Role::worker));
    const JobRequest request{.kind = must(engine.kind("k")),
                             .level = must(engine.level("default")),
                             .payload = as_payload("held"),
                             .durability = Durability::memory};
    must(participant->enqueue(request));
    const Job job = must(participant->claim(generous));
    ::kill(::getpid(), SIGKILL);
    return 0;
  });
  worker.wait();
  EXPECT_EQ(resize(scratch.directory()).jobs, 1U);
  Engine engine = scratch.open(OpenOptions{});
  const auto next = must(engine.attach(Role::worker));
  Job job = must(next->claim(generous));
  EXPECT_EQ(as_text(job.payload()), "held");
  EXPECT_EQ(job.attempt(), 2U);
  must(job.complete());
}

TEST(Resize, sizes_that_cannot_be_are_refused_and_nothing_changes) {
  const ScratchEngine scratch(resizable());
  for (const ResizeWish& wish : {ResizeWish{.capacity = 1}, ResizeWish{.cell_size = 128}, ResizeWish{.cell_size = 300},
                                 ResizeWish{.max_payload = 1024}}) {
    EXPECT_EQ(code_of(try_to_resize(scratch.directory(), wish)), ErrorCode::invalid_argument);
  }
  EXPECT_EQ(scratch.open().status().capacity, before_resize);
}

TEST(Resize, the_journals_limit_follows_the_capacity_and_the_most_jobs_fit) {
  const ScratchEngine scratch(resizable());
  const ResizeReport report = resize(scratch.directory(), {.capacity = 400'000});
  EXPECT_GT(report.after.journal.limit(), report.before.journal.limit());
  EXPECT_EQ(report.after.journal.segment_bytes, report.before.journal.segment_bytes);
  Engine engine = scratch.open(OpenOptions{});
  const auto producer = must(engine.attach(Role::producer));
  const JobRequest request{
      .kind = must(engine.kind("k")), .level = must(engine.level("default")), .durability = Durability::memory};
  for (std::uint32_t n = 0; n < 2 * before_resize; ++n) must(producer->enqueue(request));
  EXPECT_EQ(engine.status().cells_used, 2 * before_resize);
}

/// Jobs of more pairs than a participant counts in lines of its own, timed, one of them failed.
void run_jobs_of_many_kinds(const ScratchEngine& scratch) {
  constexpr std::uint64_t kinds = own_pairs + 3;
  Engine engine = scratch.open(OpenOptions{});
  static_cast<void>(must(engine.add_level("tube")));
  const auto worker = must(engine.attach(Role::worker));
  for (const char* level : {"high", "low", "tube"}) {
    for (std::uint64_t n = 0; n < kinds; ++n) {
      const JobRequest request{.kind = must(engine.kind("kind-" + std::to_string(n))),
                               .level = must(engine.level(level)),
                               .payload = as_payload("x")};
      for (std::uint64_t count = 0; count <= n; ++count) must(worker->enqueue(request));
    }
  }
  must(must(worker->claim(generous)).retry_in(1h, "no luck"));
  for (int n = 0; n < 60; ++n) must(must(worker->claim(generous)).complete());
}

TEST(Resize, counts_and_times_by_level_and_kind_come_along) {
  const ScratchEngine scratch(resizable());
  run_jobs_of_many_kinds(scratch);
  const EngineStatistics before = scratch.open(without_keeper).statistics();
  resize(scratch.directory());
  Engine engine = scratch.open(OpenOptions{});
  const EngineStatistics after = engine.statistics();
  ASSERT_EQ(after.pairs.size(), before.pairs.size());
  ASSERT_EQ(after.kinds.size(), before.kinds.size());
  ASSERT_EQ(after.levels.size(), before.levels.size());
  const auto same_totals = [](const JobTotals& one, const JobTotals& other) {
    EXPECT_EQ(one.enqueued, other.enqueued);
    EXPECT_EQ(one.completed, other.completed);
    EXPECT_EQ(one.failed, other.failed);
    EXPECT_EQ(one.retried, other.retried);
  };
  std::uint64_t timed = 0;
  const auto same_times = [&timed](const std::optional<Durations>& one, const std::optional<Durations>& other) {
    ASSERT_EQ(one.has_value(), other.has_value());
    if (!one) return;
    EXPECT_EQ(one->count(), other->count());
    EXPECT_EQ(one->sum(), other->sum());
    EXPECT_EQ(one->quantile(0.5), other->quantile(0.5));
    timed += one->count();
  };
  for (std::size_t n = 0; n < before.levels.size(); ++n) {
    SCOPED_TRACE(before.levels[n].name);
    EXPECT_EQ(after.levels[n].name, before.levels[n].name);
    same_totals(after.levels[n].totals, before.levels[n].totals);
    same_times(after.levels[n].wait, before.levels[n].wait);
  }
  for (std::size_t n = 0; n < before.kinds.size(); ++n) {
    SCOPED_TRACE(before.kinds[n].name);
    EXPECT_EQ(after.kinds[n].name, before.kinds[n].name);
    same_totals(after.kinds[n].totals, before.kinds[n].totals);
    same_times(after.kinds[n].run, before.kinds[n].run);
  }
  EXPECT_GT(timed, 10U) << "nothing was timed: this test has seen nothing";
  // What comes is counted on.
  const auto enqueued = [](const EngineStatistics& statistics) {
    std::uint64_t sum = 0;
    for (const PairStatistics& pair : statistics.pairs) sum += pair.totals.enqueued;
    return sum;
  };
  const auto producer = must(engine.attach(Role::producer));
  must(producer->enqueue({.kind = must(engine.kind("kind-0")), .level = must(engine.level("high"))}));
  EXPECT_EQ(enqueued(engine.statistics()), enqueued(before) + 1);
}

/// A resize that leaves its traces in files is ended after each of its system calls.
void after_each_call_of_a_resize(const std::function<void(const ScratchEngine&, std::uint64_t, JobId, JobId)>& look) {
  using State = SteppedProcess::State;
  std::uint64_t n = 0;
  for (State state = State::between; state == State::between; ++n) {
    const ScratchEngine scratch(resizable());
    JobId in_memory;
    JobId in_journal;
    {
      Engine engine = scratch.open(OpenOptions{});
      const auto producer = must(engine.attach(Role::producer));
      JobRequest request{.kind = must(engine.kind("k")), .level = must(engine.level("default"))};
      request.durability = Durability::durable;
      in_journal = must(producer->enqueue(request));
      const std::string large = long_text();
      request.durability = Durability::memory;
      request.payload = as_payload(large);
      in_memory = must(producer->enqueue(request));
    }
    SteppedProcess process([&scratch] {
      const auto files = must(EngineFiles::open(scratch.directory()));
      const File locks = must(files.open_locks());
      ringmill_step_begin();
      const bool done = resize_alone(files, locks, {.capacity = after_resize}).has_value();
      ringmill_step_end();
      if (!done) ::_exit(1);
    });
    process.run_to_begin();
    state = process.step_calls(n);
    ASSERT_TRUE(state == State::between || state == State::at_end) << "call " << n << ": " << process.ending();
    process.kill();
    look(scratch, n, in_memory, in_journal);
    if (testing::Test::HasFailure()) break;
  }
  EXPECT_GT(n, 40U) << "a resize has more calls than that: this test has seen nothing";
}

TEST(KilledResize, leaves_the_old_sizes_or_the_new_ones_and_every_job) {
  std::uint64_t old_ones = 0;
  std::uint64_t new_ones = 0;
  after_each_call_of_a_resize([&](const ScratchEngine& scratch, std::uint64_t n, JobId in_memory, JobId in_journal) {
    auto opened = Engine::open(scratch.directory(), without_keeper);
    ASSERT_TRUE(opened) << n << ": " << opened.error().message();
    const std::uint32_t capacity = opened->status().capacity;
    EXPECT_TRUE(capacity == before_resize || capacity == after_resize) << n;
    ++(capacity == before_resize ? old_ones : new_ones);
    EXPECT_EQ(must(opened->job(in_memory)).state, JobState::queued) << n;
    EXPECT_EQ(must(opened->job(in_memory)).payload_size, long_text().size()) << n;
    EXPECT_EQ(must(opened->job(in_journal)).state, JobState::queued) << n;
    EXPECT_EQ(scratch.place().shm_names().size(), 1U) << n;
    EXPECT_FALSE(std::filesystem::exists(scratch.directory() / "resizing")) << n;
  });
  EXPECT_GT(old_ones, 10U);
  EXPECT_GT(new_ones, 5U);
}

TEST(KilledResize, and_a_reboot_leave_what_was_durable) {
  after_each_call_of_a_resize([](const ScratchEngine& scratch, std::uint64_t n, JobId, JobId in_journal) {
    for (const std::string& name : scratch.place().shm_names()) {
      std::filesystem::remove(scratch.place().shm_dir() / name);
    }
    auto opened = Engine::open(scratch.directory(), without_keeper);
    ASSERT_TRUE(opened) << n << ": " << opened.error().message();
    EXPECT_EQ(must(opened->job(in_journal)).state, JobState::queued) << n;
  });
}

TEST(KilledResize, leaves_nothing_behind_remove) {
  after_each_call_of_a_resize([](const ScratchEngine& scratch, std::uint64_t n, JobId, JobId) {
    const auto removed = Engine::remove(scratch.directory());
    ASSERT_TRUE(removed) << n << ": " << removed.error().message();
    EXPECT_TRUE(scratch.place().shm_names().empty()) << n;
    EXPECT_FALSE(std::filesystem::exists(scratch.directory())) << n;
  });
}

}  // namespace
}  // namespace ringmill::test
