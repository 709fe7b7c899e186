// From enqueue's start to the handler's start, one job at a time, so that no job waits behind another.
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <utility>

#include "bench/clock.h"
#include "bench/message.h"
#include "bench/percentile.h"
#include "bench/process.h"
#include "bench/scratch.h"
#include "bench/shared_block.h"
#include "bench/subject.h"
#include "bench/throughput.h"
#include "bench/workload.h"

namespace ringmill::bench {
namespace {

constexpr std::size_t most_samples = 1U << 20;

/// Written by the worker; read by the bench when the worker has ended.
struct LatencyControl {
  RunControl run;
  std::atomic<bool> record{false};
  std::size_t samples = 0;
  std::uint64_t sleeps = 0;  // voluntary context switches while recording
  std::array<std::uint32_t, most_samples> nanoseconds{};
};

struct Pace {
  std::uint64_t least_ns;
  std::uint64_t most_ns;
  bool worker_sleeps;
};
/// Short enough to be many, long enough that the job before is over.
constexpr Pace spinning{.least_ns = 20'000, .most_ns = 50'000, .worker_sleeps = false};
/// Longer than any worker spins before it sleeps.
constexpr Pace sleeping{.least_ns = 200'000, .most_ns = 500'000, .worker_sleeps = true};

bool produce_paced(LatencyControl& control, const std::filesystem::path& directory, Pace pace) {
  auto subject = Subject::join(directory, Role::producer, false);
  if (!subject) return report_failure("joining", subject.error());
  std::mt19937_64 random(42);
  std::uniform_int_distribution<std::uint64_t> gap(pace.least_ns, pace.most_ns);
  Message message;
  const JobRequest request{
      .kind = subject->kind, .level = subject->level, .payload = message.bytes(), .durability = Durability::memory};
  control.run.start_together();
  std::uint64_t due = now_ns();
  while (!control.run.stopping()) {
    due += gap(random);
    while (now_ns() < due) relax();
    // The job's own beginning, not the moment it was due: a producer that the scheduler held up is not the engine's
    // latency.
    const std::uint64_t begin = now_ns();
    message.words[0] = begin;
    auto id = subject->participant->enqueue(request);
    if (!id) return report_failure("enqueue", id.error().message());
    due = std::max(due, begin);
  }
  return true;
}

std::uint64_t voluntary_switches() noexcept {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_nvcsw);
}

bool work_and_time(LatencyControl& control, const std::filesystem::path& directory, Pace pace) {
  auto subject = Subject::join(directory, Role::worker, false);
  if (!subject) return report_failure("joining", subject.error());
  const std::chrono::nanoseconds wait =
      pace.worker_sleeps ? std::chrono::milliseconds{50} : std::chrono::milliseconds{0};
  std::size_t samples = 0;
  std::uint64_t switches_before = 0;
  control.run.start_together();
  while (!control.run.stopping()) {
    auto job = subject->participant->claim(wait);
    const std::uint64_t handler_start = now_ns();
    if (!job) {
      if (job.error().code() == ErrorCode::would_block || job.error().code() == ErrorCode::timed_out) continue;
      return report_failure("claim", job.error().message());
    }
    std::uint64_t enqueue_start = 0;
    std::memcpy(&enqueue_start, job->payload().data(), sizeof enqueue_start);
    consume(job->payload());
    if (auto completed = job->complete(); !completed) return report_failure("complete", completed.error().message());
    if (!control.record.load(std::memory_order_relaxed) || samples == most_samples) continue;
    if (samples == 0) switches_before = voluntary_switches();
    const std::uint64_t took = std::min<std::uint64_t>(handler_start - enqueue_start, UINT32_MAX);
    control.nanoseconds[samples++] = static_cast<std::uint32_t>(took);
  }
  control.samples = samples;
  control.sleeps = voluntary_switches() - switches_before;
  return true;
}

Measured outcome_of(const LatencyControl& control, std::chrono::nanoseconds window, Pace pace) {
  if (control.samples < 1000) return std::unexpected("too few samples for a percentile");
  const auto samples = static_cast<double>(control.samples);
  const double sleeps_per_job = static_cast<double>(control.sleeps) / samples;
  if (pace.worker_sleeps && sleeps_per_job < 0.9) return std::unexpected("the worker was not asleep between the jobs");
  std::vector<std::uint32_t> sorted(control.nanoseconds.begin(),
                                    control.nanoseconds.begin() + static_cast<std::ptrdiff_t>(control.samples));
  std::ranges::sort(sorted);
  return Outcome{.measured = window,
                 .figures = {{"p50_ns", percentile(sorted, 0.5)},
                             {"p99_ns", percentile(sorted, 0.99)},
                             {"p999_ns", percentile(sorted, 0.999)}},
                 .notes = {{"samples", samples}, {"sleeps_per_job", sleeps_per_job}}};
}

Measured run_latency(const Surroundings& surroundings, Pace pace, std::chrono::milliseconds window) {
  auto scratch = ScratchEngine::create(surroundings.scratch, 0);
  if (!scratch) return std::unexpected(scratch.error());
  SharedBlock<LatencyControl> control;
  ProcessGroup processes;
  processes.start([&] { return produce_paced(*control, scratch->directory(), pace) ? 0 : 1; }, 0);
  processes.start([&] { return work_and_time(*control, scratch->directory(), pace) ? 0 : 1; }, 1);
  if (auto ready = control->run.await_ready(processes, 2); !ready) return std::unexpected(ready.error());
  auto keeper = Subject::join(scratch->directory(), Role::tool, true);
  if (!keeper) return std::unexpected(keeper.error());
  control->run.go.store(true, std::memory_order_release);
  std::this_thread::sleep_for(surroundings.lengths.warm_up);
  control->record.store(true, std::memory_order_relaxed);
  std::this_thread::sleep_for(window);
  control->run.stop.store(true, std::memory_order_relaxed);
  if (!processes.join(std::chrono::seconds{10})) return std::unexpected("a process of the run did not end well");
  return outcome_of(*control, window, pace);
}

}  // namespace

std::vector<Workload> latency_workloads() {
  const std::vector<std::string> figures{"p50_ns", "p99_ns", "p999_ns"};
  return {{"latency.spin", figures,
           [](const Surroundings& surroundings) {
             return run_latency(surroundings, spinning, surroundings.lengths.latency_spin);
           }},
          {"latency.sleep", figures, [](const Surroundings& surroundings) {
             return run_latency(surroundings, sleeping, surroundings.lengths.latency_sleep);
           }}};
}

}  // namespace ringmill::bench
