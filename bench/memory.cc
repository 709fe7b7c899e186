// What jobs cost in shared memory, how long an enqueue takes while that grows, and what is left when they have gone.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <span>
#include <thread>
#include <vector>

#include <ringmill/engine.h>

#include "bench/clock.h"
#include "bench/message.h"
#include "bench/percentile.h"
#include "bench/scratch.h"
#include "bench/standing_jobs.h"
#include "bench/subject.h"
#include "bench/workload.h"

namespace ringmill::bench {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t few_jobs = 100'000;
constexpr std::uint64_t many_jobs = 4'000'000;
constexpr std::uint64_t quiet_ns = 1'000'000'000;

std::expected<double, std::string> bytes_per_job(const Surroundings& surroundings, std::uint64_t count) {
  auto scratch = ScratchEngine::create(surroundings.scratch, 0);
  if (!scratch) return std::unexpected(scratch.error());
  auto subject = Subject::join(scratch->directory(), Role::producer, true);
  if (!subject) return std::unexpected(subject.error());
  if (auto in = enqueue_standing_jobs(*subject, "default", count); !in) return std::unexpected(in.error());
  return static_cast<double>(subject->engine.status().memory_bytes) / static_cast<double>(count);
}

/// All of the engine's shared memory over the jobs in it, of an engine with the default options.
Measured run_memory(const Surroundings& surroundings) {
  const auto few = bytes_per_job(surroundings, few_jobs);
  if (!few) return std::unexpected(few.error());
  const auto many = bytes_per_job(surroundings, many_jobs);
  if (!many) return std::unexpected(many.error());
  return Outcome{.measured = std::chrono::nanoseconds{1},  // nothing is timed
                 .figures = {{"bytes_per_job", *few}},
                 .notes = {{"with_100k_jobs", *few}, {"with_4m_jobs", *many}}};
}

/// What the engine takes when four million jobs have come and gone, and its memory shrinks no more.
Measured run_at_rest(const Surroundings& surroundings) {
  auto scratch = ScratchEngine::create(surroundings.scratch, 0, 0, 0, milliseconds{100});
  if (!scratch) return std::unexpected(scratch.error());
  auto subject = Subject::join(scratch->directory(), Role::worker, true);
  if (!subject) return std::unexpected(subject.error());
  const std::uint64_t begin = now_ns();
  if (auto in = enqueue_standing_jobs(*subject, "default", many_jobs); !in) return std::unexpected(in.error());
  const auto most = static_cast<double>(subject->engine.status().memory_bytes);
  const std::uint64_t drained_from = now_ns();
  std::array<Job, 64> jobs;
  for (std::uint64_t done = 0; done < many_jobs;) {
    auto claimed = subject->participant->claim_batch(jobs, milliseconds{1000});
    if (!claimed) return std::unexpected("claim_batch: " + claimed.error().message());
    done += subject->participant->complete_batch(std::span(jobs).first(*claimed));
  }
  const double drain_s = static_cast<double>(now_ns() - drained_from) / 1e9;
  const std::uint64_t drained_at = now_ns();
  std::uint64_t bytes = subject->engine.status().memory_bytes;
  std::uint64_t shrank_at = drained_at;
  while (now_ns() - shrank_at < quiet_ns && now_ns() - drained_at < 20 * quiet_ns) {
    std::this_thread::sleep_for(milliseconds{50});
    const std::uint64_t now_bytes = subject->engine.status().memory_bytes;
    if (now_bytes < bytes) shrank_at = now_ns();
    bytes = now_bytes;
  }
  const double shrink_s = static_cast<double>(shrank_at - drained_at) / 1e9;
  return Outcome{
      .measured = std::chrono::nanoseconds(now_ns() - begin),
      .figures = {{"bytes", static_cast<double>(bytes)}},
      .notes = {
          {"bytes_with_all_jobs", most}, {"drained_per_s", many_jobs / drain_s}, {"seconds_to_shrink", shrink_s}}};
}

/// One enqueue after the other, each timed, while a million jobs make the table grow.
Measured run_while_growing(const Surroundings& surroundings) {
  constexpr std::size_t count = 1'000'000;
  auto scratch = ScratchEngine::create(surroundings.scratch, 0);
  if (!scratch) return std::unexpected(scratch.error());
  auto subject = Subject::join(scratch->directory(), Role::producer, true);
  if (!subject) return std::unexpected(subject.error());
  const Message message;
  const JobRequest request{
      .kind = subject->kind, .level = subject->level, .payload = message.bytes(), .durability = Durability::memory};
  std::vector<std::uint64_t> took(count);
  const std::uint64_t begin = now_ns();
  for (std::uint64_t& one : took) {
    const std::uint64_t from = now_ns();
    if (auto id = subject->participant->enqueue(request); !id) return std::unexpected(id.error().message());
    one = now_ns() - from;
  }
  const std::uint64_t end = now_ns();
  std::ranges::sort(took);
  return Outcome{.measured = std::chrono::nanoseconds(end - begin),
                 .figures = {{"p999_us", percentile(took, 0.999) / 1000}},
                 .notes = {{"p50_ns", percentile(took, 0.5)}, {"max_us", static_cast<double>(took.back()) / 1000}}};
}

}  // namespace

std::vector<Workload> memory_workloads() {
  return {{"memory", {"bytes_per_job"}, run_memory},
          {"memory.at_rest", {"bytes"}, run_at_rest},
          {"enqueue_while_growing", {"p999_us"}, run_while_growing}};
}

}  // namespace ringmill::bench
