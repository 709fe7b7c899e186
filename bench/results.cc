// What keeping results costs: one producer and one worker process, each job completed with a result of 1 KiB that is
// kept for an hour. The engine is the default one, so that the oldest results have to go all the time.
#include <array>
#include <cstddef>
#include <vector>

#include "bench/clock.h"
#include "bench/engine_throughput.h"
#include "bench/message.h"
#include "bench/subject.h"
#include "bench/throughput.h"
#include "bench/workload.h"

namespace ringmill::bench {
namespace {

constexpr std::size_t batch = 64;
constexpr std::uint64_t slack = 4096;
constexpr std::size_t result_bytes = 1024;

bool produce_kept(RunControl& control, std::size_t index, Subject& subject) {
  const JobOptions options{.keep_result = std::chrono::hours{1}};
  std::array<Message, batch> messages{};
  std::array<JobRequest, batch> requests{};
  std::array<JobId, batch> ids{};
  for (std::size_t at = 0; at < batch; ++at) {
    requests[at] = {.kind = subject.kind,
                    .level = subject.level,
                    .payload = messages[at].bytes(),
                    .durability = Durability::memory,
                    .options = &options};
  }
  std::uint64_t sent = 0;
  control.start_together();
  while (!control.stopping()) {
    if (sent > control.done[index].read() + slack) {
      relax();
      continue;
    }
    auto some = subject.participant->enqueue_batch(requests, ids, std::chrono::milliseconds{50});
    if (!some) {
      if (some.error().code() == ErrorCode::timed_out) continue;
      return report_failure("enqueue_batch", some.error().message());
    }
    sent += *some;
    control.produced[index].add(*some);
  }
  return true;
}

bool complete_kept(RunControl& control, std::size_t index, Subject& subject) {
  std::array<Job, batch> jobs;
  const std::array<std::byte, result_bytes> result{};
  control.start_together();
  while (!control.stopping()) {
    auto claimed = subject.participant->claim_batch(jobs, std::chrono::milliseconds{50});
    if (!claimed) {
      if (claimed.error().code() == ErrorCode::timed_out) continue;
      return report_failure("claim_batch", claimed.error().message());
    }
    for (std::size_t n = 0; n < *claimed; ++n) {
      consume(jobs[n].payload());
      if (!jobs[n].complete(result)) return report_failure("complete", "a lease was lost");
    }
    control.done[index].add(*claimed);
  }
  return true;
}

Measured run_results(const Surroundings& surroundings) {
  return measure_engine(surroundings, {.produce = produce_kept, .work = complete_kept, .notes = [](Engine& engine) {
                                         const ResultsStatus results = engine.status().results;
                                         return std::vector<Number>{{"kept", static_cast<double>(results.count)},
                                                                    {"kept_bytes", static_cast<double>(results.bytes)},
                                                                    {"evicted", static_cast<double>(results.evicted)}};
                                       }});
}

}  // namespace

std::vector<Workload> result_workloads() { return {{"results.kept1k", {"jobs_per_s"}, run_results}}; }

}  // namespace ringmill::bench
