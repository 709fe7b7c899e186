// How fast an engine comes back whose shared memory is gone, with ten million jobs in its journal: the time that open()
// takes, from the first byte read to a table that workers may claim from.
#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <span>

#include "bench/clock.h"
#include "bench/message.h"
#include "bench/scratch.h"
#include "bench/subject.h"
#include "bench/workload.h"
#include "core/instance/engine_files.h"

namespace ringmill::bench {
namespace {

constexpr std::uint64_t jobs = 10'000'000;
constexpr std::uint32_t cell_size = 128;  // a header and 64 bytes of payload

std::expected<void, std::string> write_jobs(const std::filesystem::path& directory) {
  auto subject = Subject::join(directory, Role::producer, true);
  if (!subject) return std::unexpected(subject.error());
  std::array<Message, Participant::most_in_batch> messages{};
  std::array<JobRequest, Participant::most_in_batch> requests{};
  std::array<JobId, Participant::most_in_batch> ids{};
  for (std::size_t n = 0; n < requests.size(); ++n) {
    requests[n] = {.kind = subject->kind, .level = subject->level, .payload = messages[n].bytes()};
  }
  for (std::uint64_t sent = 0; sent < jobs;) {
    for (Message& message : messages) message.words.fill(sent);
    const auto some = static_cast<std::size_t>(std::min<std::uint64_t>(jobs - sent, requests.size()));
    auto enqueued = subject->participant->enqueue_batch(std::span(requests).first(some), ids, std::chrono::seconds{10});
    if (!enqueued) return std::unexpected(enqueued.error().message());
    sent += *enqueued;
  }
  auto durable = subject->participant->wait_durable(subject->participant->ticket(), std::chrono::seconds{120});
  if (!durable) return std::unexpected(durable.error().message());
  return {};
}

Measured run_recovery(const Surroundings& surroundings) {
  auto scratch = ScratchEngine::create(surroundings.scratch, jobs + jobs / 100, cell_size);
  if (!scratch) return std::unexpected(scratch.error());
  if (auto written = write_jobs(scratch->directory()); !written) return std::unexpected(written.error());
  const auto directory = EngineFiles::open(scratch->directory());
  if (!directory) return std::unexpected(directory.error().message());
  std::filesystem::remove(directory->segment_path());
  const std::uint64_t begin = now_ns();
  auto engine = Engine::open(scratch->directory(), {.embedded_keeper = false});
  const std::uint64_t took_ns = now_ns() - begin;
  if (!engine) return std::unexpected(engine.error().message());
  const std::uint64_t came_back = engine->status().cells_used;
  if (came_back != jobs) return std::unexpected(std::to_string(came_back) + " of 10000000 jobs came back");
  return Outcome{.measured = std::chrono::nanoseconds(took_ns),
                 .figures = {{"jobs_per_s", static_cast<double>(jobs) * 1e9 / static_cast<double>(took_ns)}},
                 .notes = {{"seconds", static_cast<double>(took_ns) / 1e9}}};
}

}  // namespace

std::vector<Workload> recovery_workloads() { return {{"recovery.10m", {"jobs_per_s"}, run_recovery}}; }

}  // namespace ringmill::bench
