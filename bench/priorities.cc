// What the levels are good for.
//
// urgent_behind_1m  A million jobs stand in level "low"; one worker process works through them by the strict policy,
//                   one at a time, 20 us each. A producer process puts a job into "high" every 2 ms: from its enqueue
//                   to its start. The worker is never stuck in a long job, and never idle either.
// urgent_behind_full  The same where level "low" holds all that it may: an engine of the default capacity, and another
//                   producer process that waits for room and takes it as soon as there is some. The urgent jobs are
//                   enqueued without a wait; one that is refused is an error of the run.
// weighted          All levels are kept full; the share of "low" among what a worker of the weighted policy claims, one
//                   at a time. With the weights 6, 3, 1 it is a tenth. By the strict policy it would be none; that is
//                   measured too, and is an error if it is not so.
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

constexpr std::size_t urgent_jobs = 2000;
constexpr std::uint64_t urgent_gap_ns = 2'000'000;
constexpr std::uint64_t handler_ns = 20'000;

struct UrgentControl {
  RunControl run;
  std::atomic<std::size_t> samples{0};  // the worker's
  std::uint64_t low_jobs = 0;
  std::array<std::uint64_t, urgent_jobs> nanoseconds{};
};

bool enqueue_urgent(UrgentControl& control, const std::filesystem::path& directory) {
  auto subject = Subject::join(directory, Role::producer, false);
  if (!subject) return report_failure("joining", subject.error());
  const auto high = subject->engine.level("high");
  if (!high) return report_failure("level", high.error().message());
  Message message;
  const JobRequest request{
      .kind = subject->kind, .level = *high, .payload = message.bytes(), .durability = Durability::memory};
  control.run.start_together();
  for (std::size_t n = 0; n < urgent_jobs && !control.run.stopping(); ++n) {
    std::this_thread::sleep_for(std::chrono::nanoseconds(urgent_gap_ns));
    message.words[0] = now_ns();
    if (auto id = subject->participant->enqueue(request); !id) return report_failure("enqueue", id.error().message());
  }
  return true;
}

/// Keeps the level full until the run ends.
bool keep_low_full(UrgentControl& control, const std::filesystem::path& directory) {
  auto subject = Subject::join(directory, Role::producer, false);
  if (!subject) return report_failure("joining", subject.error());
  const auto low = subject->engine.level("low");
  if (!low) return report_failure("level", low.error().message());
  const Message message;
  std::array<JobRequest, Participant::most_in_batch> requests;
  requests.fill({.kind = subject->kind, .level = *low, .payload = message.bytes(), .durability = Durability::memory});
  std::array<JobId, Participant::most_in_batch> ids{};
  control.run.start_together();
  while (!control.run.stopping() && control.samples < urgent_jobs) {
    const auto in = subject->participant->enqueue_batch(requests, ids, 10ms);
    if (!in && in.error().code() != ErrorCode::timed_out) return report_failure("enqueue_batch", in.error().message());
  }
  return true;
}

bool work_urgent_first(UrgentControl& control, const std::filesystem::path& directory) {
  auto subject = Subject::join(directory, Role::worker, false);
  if (!subject) return report_failure("joining", subject.error());
  const auto high = subject->engine.level("high");
  if (!high) return report_failure("level", high.error().message());
  ClaimOptions claims;
  claims.policy = Policy::strict;
  claims.prefetch = 1;
  if (auto subscribed = subject->participant->subscribe(claims); !subscribed) {
    return report_failure("subscribe", subscribed.error().message());
  }
  control.run.start_together();
  while (!control.run.stopping() && control.samples < urgent_jobs) {
    auto job = subject->participant->claim(50ms);
    const std::uint64_t begin = now_ns();
    if (!job) return report_failure("claim", job.error().message());
    if (job->level() == *high) {
      std::uint64_t enqueued_ns = 0;
      std::memcpy(&enqueued_ns, job->payload().data(), sizeof enqueued_ns);
      control.nanoseconds[control.samples++] = begin - enqueued_ns;
    } else {
      ++control.low_jobs;
      while (now_ns() - begin < handler_ns) relax();
    }
    if (auto completed = job->complete(); !completed) return report_failure("complete", completed.error().message());
  }
  return true;
}

Measured run_urgent(const Surroundings& surroundings, std::uint32_t capacity, std::uint32_t low_jobs, bool stays_full) {
  auto scratch = ScratchEngine::create(surroundings.scratch, capacity);
  if (!scratch) return std::unexpected(scratch.error());
  SharedBlock<UrgentControl> control;
  ProcessGroup processes;
  if (stays_full) processes.start([&] { return keep_low_full(*control, scratch->directory()) ? 0 : 1; }, 0);
  processes.start([&] { return enqueue_urgent(*control, scratch->directory()) ? 0 : 1; }, 0);
  processes.start([&] { return work_urgent_first(*control, scratch->directory()) ? 0 : 1; }, 1);
  if (auto ready = control->run.await_ready(processes, stays_full ? 3 : 2); !ready)
    return std::unexpected(ready.error());
  auto subject = Subject::join(scratch->directory(), Role::producer, true);
  if (!subject) return std::unexpected(subject.error());
  if (auto in = enqueue_standing_jobs(*subject, "low", low_jobs); !in) return std::unexpected(in.error());
  const std::uint64_t begin = now_ns();
  control->run.go.store(true, std::memory_order_release);
  if (!processes.join(60s)) return std::unexpected("a process of the run did not end well");
  if (control->samples != urgent_jobs) return std::unexpected("urgent jobs are missing");
  std::vector<std::uint64_t> sorted(control->nanoseconds.begin(), control->nanoseconds.end());
  std::ranges::sort(sorted);
  return Outcome{.measured = std::chrono::nanoseconds(now_ns() - begin),
                 .figures = {{"p50_us", percentile(sorted, 0.5) / 1000}, {"p99_us", percentile(sorted, 0.99) / 1000}},
                 .notes = {{"low jobs run meanwhile", static_cast<double>(control->low_jobs)}}};
}

Measured run_urgent_behind_a_million(const Surroundings& surroundings) {
  return run_urgent(surroundings, capacity_above_a_million, 1'000'000, false);
}

Measured run_urgent_behind_full(const Surroundings& surroundings) {
  constexpr std::uint32_t capacity = 120'000;
  return run_urgent(surroundings, capacity, capacity, true);
}

std::expected<double, std::string> share_of_low(Subject& subject, Policy policy) {
  constexpr std::size_t claims = 100'000;
  constexpr std::array<const char*, 3> names{"high", "default", "low"};
  const Message message;
  std::array<JobRequest, 3> refill;
  for (std::size_t n = 0; n < names.size(); ++n) {
    const auto level = subject.engine.level(names[n]);
    if (!level) return std::unexpected(level.error().message());
    refill[n] = {.kind = subject.kind, .level = *level, .payload = message.bytes(), .durability = Durability::memory};
  }
  ClaimOptions options;
  options.policy = policy;
  options.prefetch = 1;
  if (auto subscribed = subject.participant->subscribe(options); !subscribed) {
    return std::unexpected(subscribed.error().message());
  }
  std::size_t low = 0;
  for (std::size_t n = 0; n < claims; ++n) {
    auto job = subject.participant->claim(1s);
    if (!job) return std::unexpected(job.error().message());
    const Level level = job->level();
    if (auto completed = job->complete(); !completed) return std::unexpected(completed.error().message());
    // What was taken is put back: every level stays as full as it was.
    for (const JobRequest& request : refill) {
      if (request.level != level) continue;
      if (auto id = subject.participant->enqueue(request); !id) return std::unexpected(id.error().message());
    }
    if (level == refill[2].level) ++low;
  }
  return static_cast<double>(low) / static_cast<double>(claims);
}

Measured run_weighted(const Surroundings& surroundings) {
  auto scratch = ScratchEngine::create(surroundings.scratch, 0);
  if (!scratch) return std::unexpected(scratch.error());
  auto subject = Subject::join(scratch->directory(), Role::worker, true);
  if (!subject) return std::unexpected(subject.error());
  for (const char* level : {"high", "default", "low"}) {
    if (auto in = enqueue_standing_jobs(*subject, level, 1000); !in) return std::unexpected(in.error());
  }
  const std::uint64_t begin = now_ns();
  const auto weighted = share_of_low(*subject, Policy::weighted);
  if (!weighted) return std::unexpected(weighted.error());
  const auto strict = share_of_low(*subject, Policy::strict);
  if (!strict) return std::unexpected(strict.error());
  if (*strict != 0) return std::unexpected("the strict policy took a low job while a high one waited");
  return Outcome{.measured = std::chrono::nanoseconds(now_ns() - begin),
                 .figures = {{"low_share", *weighted}},
                 .notes = {{"by the strict policy", *strict}}};
}

}  // namespace

std::vector<Workload> priority_workloads() {
  return {{"urgent_behind_1m", {"p50_us", "p99_us"}, run_urgent_behind_a_million},
          {"urgent_behind_full", {"p50_us", "p99_us"}, run_urgent_behind_full},
          {"weighted", {"low_share"}, run_weighted}};
}

}  // namespace ringmill::bench
