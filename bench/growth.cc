// Whether a job costs more when many others stand in the table: one producer and one worker process in batches of 64,
// first in, first out through one level, which holds about the same number of jobs all the time.
#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "bench/clock.h"
#include "bench/engine_throughput.h"
#include "bench/message.h"
#include "bench/standing_jobs.h"
#include "bench/subject.h"
#include "bench/throughput.h"
#include "bench/workload.h"

namespace ringmill::bench {
namespace {

constexpr std::size_t batch = 64;
/// The standing jobs may be so many more or fewer; then one side waits for the other.
constexpr std::uint64_t slack = 512;

bool produce(RunControl& control, std::size_t index, Subject& subject) {
  std::array<Message, batch> messages{};
  std::array<JobRequest, batch> requests{};
  std::array<JobId, batch> ids{};
  for (std::size_t at = 0; at < batch; ++at) {
    requests[at] = {.kind = subject.kind,
                    .level = subject.level,
                    .payload = messages[at].bytes(),
                    .durability = Durability::memory};
  }
  std::uint64_t sent = 0;
  control.start_together();
  while (!control.stopping()) {
    if (sent > control.done[index].read() + slack) {
      relax();
      continue;
    }
    for (Message& message : messages) ++message.words[0];
    auto some = subject.participant->enqueue_batch(requests, ids, std::chrono::milliseconds{50});
    if (!some) return report_failure("enqueue_batch", some.error().message());
    sent += *some;
    control.produced[index].add(*some);
  }
  return true;
}

bool work(RunControl& control, std::size_t index, Subject& subject) {
  std::array<Job, batch> jobs;
  std::uint64_t done = 0;
  control.start_together();
  while (!control.stopping()) {
    if (done > control.produced[index].read() + slack) {
      relax();
      continue;
    }
    auto claimed = subject.participant->claim_batch(jobs, std::chrono::milliseconds{50});
    if (!claimed) return report_failure("claim_batch", claimed.error().message());
    const std::span<Job> held = std::span(jobs).first(*claimed);
    for (const Job& job : held) consume(job.payload());
    if (subject.participant->complete_batch(held) != held.size())
      return report_failure("complete_batch", "a lease was lost");
    done += *claimed;
    control.done[index].add(*claimed);
  }
  return true;
}

Measured run_growth(const Surroundings& surroundings, std::uint64_t standing) {
  return measure_engine(
      surroundings,
      {.produce = produce,
       .work = work,
       .prepare = [standing](Subject& keeper) { return enqueue_standing_jobs(keeper, "default", standing); },
       .notes =
           [standing](Engine&) {
             return std::vector<Number>{{"standing_jobs", static_cast<double>(standing)}};
           }});
}

}  // namespace

std::vector<Workload> growth_workloads() {
  return {
      {"growth.1k", {"jobs_per_s"}, [](const Surroundings& surroundings) { return run_growth(surroundings, 1'000); }},
      {"growth.1m",
       {"jobs_per_s"},
       [](const Surroundings& surroundings) { return run_growth(surroundings, 1'000'000); }},
      {"growth.4m", {"jobs_per_s"}, [](const Surroundings& surroundings) {
         return run_growth(surroundings, 4'000'000);
       }}};
}

}  // namespace ringmill::bench
