// A thousand dynamic levels, with many more jobs in each than its ring has places for. No worker runs while they are
// enqueued, so most of them wait in the keeper's overflow queue; then workers drain them.
//
// One producer process goes round the levels, a batch of 64 into each. Two worker processes claim batches of 64, each
// from half of the levels, so the worker of a level sees all of its jobs: each has to be the next one by its number.
// That is order and exactly once in one comparison, and an error of the run where it does not hold. The keeper is a
// process of its own, which looks at its own private memory: the overflow queue is part of it.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstring>
#include <fstream>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "bench/clock.h"
#include "bench/message.h"
#include "bench/process.h"
#include "bench/scratch.h"
#include "bench/shared_block.h"
#include "bench/subject.h"
#include "bench/throughput.h"
#include "bench/workload.h"
#include "core/levels/level_list.h"
#include "ipc/directory.h"

namespace ringmill::bench {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t level_count = 1000;
constexpr std::uint32_t ring_places = 256;
constexpr std::size_t worker_count = 2;

struct LevelsControl {
  RunControl run;  // produced by the producer, done by the workers
  std::atomic<bool> drain{false};
  std::atomic<bool> keeper_keeps{false};
  std::atomic<bool> keeper_ends{false};
  // Read when all have ended.
  std::uint64_t enqueue_ns = 0;
  std::array<std::uint64_t, worker_count> drained_at_ns{};
  std::uint64_t keeper_bytes_before = 0;
  std::uint64_t keeper_bytes_most = 0;
  std::uint64_t keeper_bytes_after = 0;
};

std::string name_of_level(std::size_t n) { return fmt::format("tenant-{}", n); }

/// Resident memory that no other process shares.
std::uint64_t private_bytes() {
  constexpr std::string_view field = "RssAnon:";
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(field)) continue;
    const std::size_t digits = line.find_first_of("0123456789");
    std::uint64_t kib = 0;
    if (digits != std::string::npos) std::from_chars(line.data() + digits, line.data() + line.size(), kib);
    return kib * 1024;
  }
  return 0;
}

/// All but the last are written into the engine's list of levels; the call that makes the last one opens them all. One
/// by one they would cost two file syncs each, which is the disk's figure.
std::expected<void, std::string> make_levels(const std::filesystem::path& directory) {
  LevelList list;
  for (std::uint32_t n = 0; n + 1 < level_count; ++n) {
    list.levels().push_back(
        {.name = name_of_level(n), .place = n, .ring = {.first = n * ring_places, .slots = ring_places}});
  }
  const auto opened = Directory::open(directory);
  if (!opened) return std::unexpected(opened.error().message());
  if (auto written = list.write(*opened, 0600); !written) return std::unexpected(written.error().message());
  auto engine = Engine::open(directory, {.embedded_keeper = false});
  if (!engine) return std::unexpected(engine.error().message());
  auto made = engine->add_level(name_of_level(level_count - 1), {.ring = ring_places});
  if (!made) return std::unexpected(made.error().message());
  return {};
}

std::expected<std::vector<Level>, std::string> find_levels(const Engine& engine) {
  std::vector<Level> levels;
  for (std::size_t n = 0; n < level_count; ++n) {
    const auto level = engine.level(name_of_level(n));
    if (!level) return std::unexpected(level.error().message());
    levels.push_back(*level);
  }
  return levels;
}

bool keep(LevelsControl& control, const std::filesystem::path& directory) {
  control.keeper_bytes_before = private_bytes();
  auto engine = Engine::open(directory, {});
  if (!engine) return report_failure("joining", engine.error().message());
  control.keeper_keeps = true;
  while (!control.keeper_ends) {
    control.keeper_bytes_most = std::max(control.keeper_bytes_most, private_bytes());
    std::this_thread::sleep_for(10ms);
  }
  std::this_thread::sleep_for(500ms);  // the last signs are lowered
  control.keeper_bytes_after = private_bytes();
  return true;
}

bool fill_all(LevelsControl& control, const std::filesystem::path& directory, std::uint64_t jobs_of_each) {
  auto subject = Subject::join(directory, Role::producer, false);
  if (!subject) return report_failure("joining", subject.error());
  const auto levels = find_levels(subject->engine);
  if (!levels) return report_failure("levels", levels.error());
  std::array<Message, Participant::most_in_batch> messages{};
  std::array<JobRequest, Participant::most_in_batch> requests{};
  std::array<JobId, Participant::most_in_batch> ids{};
  control.run.start_together();
  const std::uint64_t begin = now_ns();
  for (std::uint64_t first = 0; first < jobs_of_each; first += requests.size()) {
    const auto batch = static_cast<std::size_t>(std::min<std::uint64_t>(jobs_of_each - first, requests.size()));
    for (std::size_t level = 0; level < levels->size(); ++level) {
      for (std::size_t n = 0; n < batch; ++n) {
        messages[n].words = {first + n, level};
        requests[n] = {.kind = subject->kind,
                       .level = (*levels)[level],
                       .payload = messages[n].bytes(),
                       .durability = Durability::memory};
      }
      const auto sent = subject->participant->enqueue_batch(std::span(requests).first(batch), ids);
      if (!sent) return report_failure("enqueue_batch", sent.error().message());
      if (*sent != batch) return report_failure("enqueue_batch", "the table has no room for all jobs");
      control.run.produced[0].add(batch);
    }
  }
  control.enqueue_ns = now_ns() - begin;
  return true;
}

/// The jobs of the levels whose number leaves `worker` when it is divided by the number of workers.
bool drain_its_levels(LevelsControl& control, std::size_t worker, const std::filesystem::path& directory,
                      std::uint64_t jobs_of_each) {
  auto subject = Subject::join(directory, Role::worker, false);
  if (!subject) return report_failure("joining", subject.error());
  const auto levels = find_levels(subject->engine);
  if (!levels) return report_failure("levels", levels.error());
  ClaimOptions options;
  for (std::size_t n = worker; n < levels->size(); n += worker_count) options.levels.push_back((*levels)[n]);
  std::uint64_t left = options.levels.size() * jobs_of_each;
  std::vector<std::uint64_t> next(level_count, 0);
  std::array<Job, Participant::most_in_batch> jobs;
  control.run.start_together();
  while (!control.drain) std::this_thread::sleep_for(50us);
  if (auto subscribed = subject->participant->subscribe(options); !subscribed) {
    return report_failure("subscribe", subscribed.error().message());
  }
  while (left != 0) {
    const auto claimed = subject->participant->claim_batch(jobs, 10s);
    if (!claimed) return report_failure(fmt::format("claim_batch with {} jobs left", left), claimed.error().message());
    for (const Job& job : std::span(jobs).first(*claimed)) {
      std::array<std::uint64_t, 2> words{};
      if (job.payload().size() != sizeof(Message)) return report_failure("a job", "another length");
      std::memcpy(words.data(), job.payload().data(), sizeof words);
      consume(job.payload());
      const auto [number, level] = words;
      if (level >= level_count || job.level() != (*levels)[level]) return report_failure("a job", "another level");
      if (number != next[level]) {
        return report_failure(name_of_level(level), fmt::format("job {} came, and {} was next", number, next[level]));
      }
      ++next[level];
    }
    if (subject->participant->complete_batch(std::span(jobs).first(*claimed)) != *claimed) {
      return report_failure("complete_batch", "a lease was lost");
    }
    left -= *claimed;
    control.run.done[worker].add(*claimed);
  }
  control.drained_at_ns[worker] = now_ns();
  return true;
}

std::string size_of_run(std::uint64_t jobs_of_each) { return fmt::format("{}x{}", level_count, jobs_of_each); }

Measured run_levels(const Surroundings& surroundings) {
  const std::uint64_t jobs_of_each = surroundings.lengths.jobs_of_a_level;
  const std::uint64_t jobs = jobs_of_each * level_count;
  auto scratch = ScratchEngine::create(surroundings.scratch, static_cast<std::uint32_t>(jobs + jobs / 100));
  if (!scratch) return std::unexpected(scratch.error());
  if (auto made = make_levels(scratch->directory()); !made) return std::unexpected(made.error());

  SharedBlock<LevelsControl> control;
  ProcessGroup keeper;
  keeper.start([&] { return keep(*control, scratch->directory()) ? 0 : 1; });
  ProcessGroup producer;
  producer.start([&] { return fill_all(*control, scratch->directory(), jobs_of_each) ? 0 : 1; });
  ProcessGroup workers;
  for (std::size_t n = 0; n < worker_count; ++n) {
    workers.start([&] { return drain_its_levels(*control, n, scratch->directory(), jobs_of_each) ? 0 : 1; });
  }
  if (auto ready = control->run.await_ready(workers, worker_count + 1); !ready) return std::unexpected(ready.error());
  if (!wait_until([&] { return control->keeper_keeps.load() || !keeper.all_run(); }, 10s) || !keeper.all_run()) {
    return std::unexpected("the keeper's process did not start");
  }
  const std::uint64_t begin = now_ns();
  control->run.go.store(true, std::memory_order_release);
  if (!producer.join(5min)) return std::unexpected("not all jobs went in");
  const std::uint64_t drain_begin = now_ns();
  control->drain = true;
  if (!workers.join(5min)) return std::unexpected("a level was not drained in order, or not in five minutes");
  const std::uint64_t end = *std::ranges::max_element(control->drained_at_ns);
  std::uint64_t shared_bytes = 0;
  {
    auto engine = Engine::open(scratch->directory(), {.embedded_keeper = false});
    if (!engine) return std::unexpected(engine.error().message());
    const EngineStatus status = engine->status();
    if (status.cells_used != 0) return std::unexpected(fmt::format("{} jobs are still there", status.cells_used));
    shared_bytes = status.memory_bytes;
  }
  control->keeper_ends = true;
  if (!keeper.join(10s)) return std::unexpected("the keeper's process did not end well");

  const auto all = static_cast<double>(jobs);
  const auto keeper_bytes = [&](std::uint64_t then) {
    return static_cast<double>(then - control->keeper_bytes_before);
  };
  const std::string size = size_of_run(jobs_of_each);
  return Outcome{.measured = std::chrono::nanoseconds(end - begin),
                 .figures = {{size + ".enqueue_per_s", all * 1e9 / static_cast<double>(control->enqueue_ns)},
                             {size + ".drain_per_s", all * 1e9 / static_cast<double>(end - drain_begin)},
                             {size + ".bytes_per_job", static_cast<double>(shared_bytes) / all},
                             {size + ".keeper_bytes_per_job", keeper_bytes(control->keeper_bytes_most) / all}},
                 .notes = {{"seconds to enqueue and drain", static_cast<double>(end - begin) / 1e9},
                           {"places of a level's ring", ring_places},
                           {"keeper's bytes afterwards", keeper_bytes(control->keeper_bytes_after)}}};
}

}  // namespace

std::vector<Workload> level_workloads() {
  Workload workload{"levels", {}, run_levels};
  for (const Lengths& lengths : {full_lengths, quick_lengths}) {
    for (const char* figure : {"enqueue_per_s", "drain_per_s", "bytes_per_job", "keeper_bytes_per_job"}) {
      workload.figures.push_back(size_of_run(lengths.jobs_of_a_level) + "." + figure);
    }
  }
  return {workload};
}

}  // namespace ringmill::bench
