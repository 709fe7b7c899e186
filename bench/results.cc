// What keeping results costs. Each job is completed with a result of 1 KiB that is kept for an hour, in the default
// engine: as fast as one producer and one worker process can, so that the oldest results have to go all the time; and
// for a minute at 10,000 jobs/s, as a status page would have it.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <thread>
#include <vector>

#include "bench/clock.h"
#include "bench/engine_throughput.h"
#include "bench/message.h"
#include "bench/scratch.h"
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
                    .options = options};
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

constexpr std::uint64_t paced_jobs_per_ms = 10;
constexpr std::chrono::seconds paced_full{60};
constexpr std::chrono::seconds paced_quick{2};

struct Paced {
  std::uint64_t sent = 0;
  std::uint64_t refused = 0;
  std::uint64_t done = 0;
};

/// The jobs of one millisecond: enqueued without a wait, claimed, completed.
std::expected<void, std::string> take_turn(Subject& subject, const JobRequest& request, Paced& paced) {
  const std::array<std::byte, result_bytes> result{};
  for (std::uint64_t n = 0; n < paced_jobs_per_ms; ++n) {
    const auto id = subject.participant->enqueue(request);
    if (!id && id.error().code() != ErrorCode::would_block) return std::unexpected(id.error().message());
    ++(id ? paced.sent : paced.refused);
  }
  while (paced.done < paced.sent) {
    auto job = subject.participant->claim(std::chrono::seconds{5});
    if (!job) return std::unexpected(job.error().message());
    if (auto done = job->complete(result); !done) return std::unexpected(done.error().message());
    ++paced.done;
  }
  return {};
}

Measured run_paced(const Surroundings& surroundings) {
  auto scratch = ScratchEngine::create(surroundings.scratch, 0);
  if (!scratch) return std::unexpected(scratch.error());
  auto subject = Subject::join(scratch->directory(), Role::worker, true);
  if (!subject) return std::unexpected(subject.error());
  const Message message;
  const JobOptions options{.keep_result = std::chrono::hours{1}};
  const JobRequest request{.kind = subject->kind,
                           .level = subject->level,
                           .payload = message.bytes(),
                           .durability = Durability::memory,
                           .options = options};
  const bool is_full = surroundings.lengths.rounds == full_lengths.rounds;
  Paced paced;
  const auto begin = std::chrono::steady_clock::now();
  const auto end = begin + (is_full ? paced_full : paced_quick);
  for (auto next = begin; next < end; next += std::chrono::milliseconds{1}) {
    std::this_thread::sleep_until(next);
    if (auto turn = take_turn(*subject, request, paced); !turn) return std::unexpected(turn.error());
  }
  const auto took = std::chrono::steady_clock::now() - begin;
  const double seconds = std::chrono::duration<double>(took).count();
  const EngineStatus status = subject->engine.status();
  return Outcome{.measured = took,
                 .figures = {{"refused", static_cast<double>(paced.refused)}},
                 .notes = {{"jobs_per_s", static_cast<double>(paced.done) / seconds},
                           {"kept", static_cast<double>(status.results.count)},
                           {"kept_bytes", static_cast<double>(status.results.bytes)},
                           {"evicted", static_cast<double>(status.results.evicted)},
                           {"memory_bytes", static_cast<double>(status.memory_bytes)}}};
}

}  // namespace

std::vector<Workload> result_workloads() {
  return {{"results.kept1k", {"jobs_per_s"}, run_results}, {"results.kept1k_at_10k_per_s", {"refused"}, run_paced}};
}

}  // namespace ringmill::bench
