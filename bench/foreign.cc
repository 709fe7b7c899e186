// A worker for one kind beside other kinds' jobs: a million of kind "bulk" wait in level "default". A worker process
// claims kind "alert" from all levels, one job at a time, by the default policy. A producer process enqueues an alert
// every 2 ms, into "high" and into "default" in turn: from its enqueue to its start.
//
// foreign_backlog         a process moves the backlog as fast as it can: it claims bulk jobs, one at a time, and
//                         enqueues another for each, so that a million of them wait all the time
// foreign_backlog.still   the backlog stands still
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "bench/clock.h"
#include "bench/message.h"
#include "bench/percentile.h"
#include "bench/process.h"
#include "bench/scratch.h"
#include "bench/shared_block.h"
#include "bench/standing_jobs.h"
#include "bench/subject.h"
#include "bench/throughput.h"
#include "bench/workload.h"

namespace ringmill::bench {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t alerts_of_a_level = 1000;
constexpr std::chrono::milliseconds gap{2};
constexpr std::uint64_t bulk_jobs = 1'000'000;

struct AlertTimes {
  std::atomic<std::size_t> samples{0};
  std::array<std::uint64_t, alerts_of_a_level> nanoseconds{};
};

struct ForeignControl {
  RunControl run;
  AlertTimes high;  // those two are the worker's
  AlertTimes shared;
  std::atomic<std::uint64_t> worker_busy_ns{0};

  bool has_all() const { return high.samples == alerts_of_a_level && shared.samples == alerts_of_a_level; }
};

std::uint64_t thread_cpu_ns() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_nsec);
}

bool enqueue_alerts(ForeignControl& control, const std::filesystem::path& directory) {
  auto subject = Subject::join(directory, Role::producer, false);
  if (!subject) return report_failure("joining", subject.error());
  const auto alert = subject->engine.kind("alert");
  if (!alert) return report_failure("kind", alert.error().message());
  const auto high = subject->engine.level("high");
  if (!high) return report_failure("level", high.error().message());
  Message message;
  JobRequest request{.kind = *alert, .payload = message.bytes(), .durability = Durability::memory};
  control.run.start_together();
  for (std::size_t n = 0; n < 2 * alerts_of_a_level && !control.run.stopping(); ++n) {
    std::this_thread::sleep_for(gap);
    request.level = n % 2 == 0 ? *high : subject->level;
    message.words[0] = now_ns();
    if (auto id = subject->participant->enqueue(request); !id) return report_failure("enqueue", id.error().message());
  }
  return true;
}

bool work_for_alerts(ForeignControl& control, const std::filesystem::path& directory) {
  auto subject = Subject::join(directory, Role::worker, false);
  if (!subject) return report_failure("joining", subject.error());
  const auto alert = subject->engine.kind("alert");
  if (!alert) return report_failure("kind", alert.error().message());
  const auto high = subject->engine.level("high");
  if (!high) return report_failure("level", high.error().message());
  ClaimOptions claims;
  claims.kinds = {*alert};
  if (auto subscribed = subject->participant->subscribe(claims); !subscribed) {
    return report_failure("subscribe", subscribed.error().message());
  }
  control.run.start_together();
  const std::uint64_t busy_before = thread_cpu_ns();
  while (!control.has_all()) {
    auto job = subject->participant->claim(10s);
    const std::uint64_t begin = now_ns();
    if (!job) return report_failure("claim", job.error().message());
    if (job->kind() != *alert) return report_failure("claim", "a job of another kind");
    std::uint64_t enqueued_ns = 0;
    std::memcpy(&enqueued_ns, job->payload().data(), sizeof enqueued_ns);
    AlertTimes& times = job->level() == *high ? control.high : control.shared;
    if (times.samples == alerts_of_a_level) return report_failure("claim", "an alert more than were enqueued");
    times.nanoseconds[times.samples] = begin - enqueued_ns;
    ++times.samples;
    if (auto completed = job->complete(); !completed) return report_failure("complete", completed.error().message());
  }
  control.worker_busy_ns = thread_cpu_ns() - busy_before;
  return true;
}

/// Claims the oldest bulk job and enqueues another one.
bool move_bulk(ForeignControl& control, const std::filesystem::path& directory) {
  auto subject = Subject::join(directory, Role::worker, false);
  if (!subject) return report_failure("joining", subject.error());
  ClaimOptions claims;
  claims.levels = {subject->level};
  claims.kinds = {subject->kind};
  if (auto subscribed = subject->participant->subscribe(claims); !subscribed) {
    return report_failure("subscribe", subscribed.error().message());
  }
  const Message message;
  const JobRequest request{
      .kind = subject->kind, .level = subject->level, .payload = message.bytes(), .durability = Durability::memory};
  control.run.start_together();
  while (!control.run.stopping() && !control.has_all()) {
    auto job = subject->participant->claim(1s);
    if (!job) return report_failure("claim", job.error().message());
    consume(job->payload());
    if (auto completed = job->complete(); !completed) return report_failure("complete", completed.error().message());
    if (auto id = subject->participant->enqueue(request); !id) return report_failure("enqueue", id.error().message());
    control.run.done[0].add(1);
  }
  return true;
}

void add_times(Outcome& outcome, const std::string& name, const AlertTimes& times) {
  std::vector<std::uint64_t> sorted(times.nanoseconds.begin(), times.nanoseconds.end());
  std::ranges::sort(sorted);
  outcome.figures.push_back({name + "p50_us", percentile(sorted, 0.5) / 1000});
  outcome.figures.push_back({name + "p99_us", percentile(sorted, 0.99) / 1000});
  outcome.notes.push_back({name + "max_us", static_cast<double>(sorted.back()) / 1000});
}

Measured run_foreign(const Surroundings& surroundings, bool moves) {
  auto scratch = ScratchEngine::create(surroundings.scratch, capacity_above_a_million);
  if (!scratch) return std::unexpected(scratch.error());
  SharedBlock<ForeignControl> control;
  ProcessGroup processes;
  if (moves) processes.start([&] { return move_bulk(*control, scratch->directory()) ? 0 : 1; });
  processes.start([&] { return enqueue_alerts(*control, scratch->directory()) ? 0 : 1; });
  processes.start([&] { return work_for_alerts(*control, scratch->directory()) ? 0 : 1; });
  if (auto ready = control->run.await_ready(processes, moves ? 3 : 2); !ready) return std::unexpected(ready.error());
  auto subject = Subject::join(scratch->directory(), Role::producer, true);
  if (!subject) return std::unexpected(subject.error());
  if (auto in = enqueue_standing_jobs(*subject, "default", bulk_jobs); !in) return std::unexpected(in.error());
  const std::uint64_t begin = now_ns();
  control->run.go.store(true, std::memory_order_release);
  if (!processes.join(60s)) return std::unexpected("a process of the run did not end well");
  if (!control->has_all()) return std::unexpected("alerts are missing");
  const std::uint64_t run_ns = now_ns() - begin;
  Outcome outcome{.measured = std::chrono::nanoseconds(run_ns), .figures = {}, .notes = {}};
  add_times(outcome, "", control->high);
  add_times(outcome, "same_level_", control->shared);
  const auto share = [&](std::uint64_t part) { return static_cast<double>(part) / static_cast<double>(run_ns); };
  outcome.notes.push_back({"the alert worker's share of a processor", share(control->worker_busy_ns)});
  outcome.notes.push_back({"bulk jobs moved per us", share(control->run.done[0].read()) * 1000});
  return outcome;
}

}  // namespace

std::vector<Workload> foreign_workloads() {
  const std::vector<std::string> figures{"p50_us", "p99_us", "same_level_p50_us", "same_level_p99_us"};
  return {
      {"foreign_backlog", figures, [](const Surroundings& surroundings) { return run_foreign(surroundings, true); }},
      {"foreign_backlog.still", figures,
       [](const Surroundings& surroundings) { return run_foreign(surroundings, false); }}};
}

}  // namespace ringmill::bench
