// How precisely delayed jobs start: a million of them stand in the table, each due at a moment of its own within ten
// seconds. The bench is the keeper; a worker process claims what comes, a job per call, and notes how late it began.
// Delays are counted from each enqueue's own moment, so the error is that of the engine: its clock, its heap, the hint,
// the wake, the claim.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <random>
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

constexpr std::size_t delayed_jobs = 1'000'000;
/// All are in before the first is due: on the slowest machine that we know it takes three seconds.
constexpr std::chrono::milliseconds least_delay = 6s;
constexpr std::chrono::milliseconds spread = 10s;

struct DelayControl {
  RunControl run;
  std::size_t samples = 0;  // worker, read after its end
  std::uint64_t early = 0;
  std::array<std::uint32_t, delayed_jobs> late_us{};
};

bool work_and_note(DelayControl& control, const std::filesystem::path& directory) {
  auto subject = Subject::join(directory, Role::worker, false);
  if (!subject) return report_failure("joining", subject.error());
  std::size_t samples = 0;
  control.run.start_together();
  while (!control.run.stopping() && samples < delayed_jobs) {
    auto job = subject->participant->claim(50ms);
    const std::uint64_t now = now_ns();
    if (!job) {
      if (job.error().code() == ErrorCode::would_block || job.error().code() == ErrorCode::timed_out) continue;
      return report_failure("claim", job.error().message());
    }
    std::uint64_t due_ns = 0;
    std::memcpy(&due_ns, job->payload().data(), sizeof due_ns);
    consume(job->payload());
    if (auto completed = job->complete(); !completed) return report_failure("complete", completed.error().message());
    if (now < due_ns) ++control.early;
    control.late_us[samples++] = static_cast<std::uint32_t>(now < due_ns ? 0 : (now - due_ns) / 1000);
  }
  control.samples = samples;
  return true;
}

std::expected<void, std::string> enqueue_delayed_jobs(Subject& subject) {
  std::mt19937_64 random(42);
  std::uniform_int_distribution<std::int64_t> more_ms(0, spread.count());
  constexpr std::size_t batch = Participant::most_in_batch;
  std::array<JobOptions, batch> options;
  std::array<Message, batch> messages;
  std::array<JobRequest, batch> requests;
  std::array<JobId, batch> ids;
  // All share the last moment at which any may be due, so that a slow enqueue does not stretch the ten seconds.
  const std::uint64_t begin = now_ns();
  for (std::size_t done = 0; done < delayed_jobs; done += batch) {
    const std::size_t count = std::min(batch, delayed_jobs - done);
    const std::uint64_t now = now_ns();
    for (std::size_t n = 0; n < count; ++n) {
      const auto since_begin = std::chrono::milliseconds((now - begin) / 1'000'000);
      const auto delay = std::max<std::chrono::milliseconds>(
          least_delay + std::chrono::milliseconds(more_ms(random)) - since_begin, 1ms);
      options[n].delay = delay;
      messages[n].words[0] = now + static_cast<std::uint64_t>(delay.count()) * 1'000'000;
      requests[n] = {.kind = subject.kind,
                     .level = subject.level,
                     .payload = messages[n].bytes(),
                     .durability = Durability::memory,
                     .options = options[n]};
    }
    const auto sent = subject.participant->enqueue_batch(std::span(requests).first(count), ids);
    if (!sent || *sent != count) return std::unexpected("the table has no room for all delayed jobs");
  }
  if (now_ns() - begin > static_cast<std::uint64_t>(std::chrono::nanoseconds(least_delay).count())) {
    return std::unexpected("enqueueing took longer than the shortest delay");
  }
  return {};
}

Measured run_delayed(const Surroundings& surroundings) {
  auto scratch = ScratchEngine::create(surroundings.scratch, capacity_above_a_million);
  if (!scratch) return std::unexpected(scratch.error());
  SharedBlock<DelayControl> control;
  ProcessGroup processes;
  processes.start([&] { return work_and_note(*control, scratch->directory()) ? 0 : 1; }, 1);
  if (auto ready = control->run.await_ready(processes, 1); !ready) return std::unexpected(ready.error());
  auto subject = Subject::join(scratch->directory(), Role::producer, true);
  if (!subject) return std::unexpected(subject.error());
  control->run.go.store(true, std::memory_order_release);
  const std::uint64_t begin = now_ns();
  if (auto in = enqueue_delayed_jobs(*subject); !in) return std::unexpected(in.error());
  if (!processes.join(60s)) return std::unexpected("not all delayed jobs came within a minute");
  const auto measured = std::chrono::nanoseconds(now_ns() - begin);
  if (control->samples != delayed_jobs) return std::unexpected("jobs are missing");
  if (control->early != 0) return std::unexpected("a job came before its time");
  std::vector<std::uint32_t> sorted(control->late_us.begin(), control->late_us.end());
  std::ranges::sort(sorted);
  return Outcome{.measured = measured,
                 .figures = {{"p50_ms", percentile(sorted, 0.5) / 1000},
                             {"p99_ms", percentile(sorted, 0.99) / 1000},
                             {"max_ms", static_cast<double>(sorted.back()) / 1000}},
                 .notes = {{"jobs", static_cast<double>(delayed_jobs)}}};
}

}  // namespace

std::vector<Workload> delayed_workloads() {
  return {{"delayed.1m.error", {"p50_ms", "p99_ms", "max_ms"}, run_delayed}};
}

}  // namespace ringmill::bench
