// What tests of workers begin with: an engine with a producer, and a worker that runs beside the test.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string_view>
#include <thread>

#include <ringmill/worker.h>

#include "core/table/job_table.h"
#include "ipc/clock.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"

namespace ringmill::test {

/// A handler that completes its job, and does nothing else.
inline JobOutcome done(JobContext&) { return JobOutcome::complete(); }

/// An engine, by default without a keeper, and a producer on the test's thread.
struct WorkerWorld : World {
  explicit WorkerWorld(const CreateOptions& options = small_engine(), const OpenOptions& opening = without_keeper)
      : World(options, opening) {}

  /// A job that is tried for ever, and again at once when it fails: no keeper has to be there. (One with the longest
  /// payload has no room for that.)
  JobId add(std::string_view payload = {}, std::string_view kind_of_job = kind_name,
            std::string_view level_of_job = "default") {
    const bool fits = payload.size() + sizeof(CellOptions) <= engine.most_payload_bytes();
    return must(producer->enqueue({.kind = must(engine.kind(kind_of_job)),
                                   .level = must(engine.level(level_of_job)),
                                   .payload = as_payload(payload),
                                   .options = fits ? at_once : JobOptions{}}));
  }
  std::uint32_t attempts_of(JobId id) const { return must(engine.job(id)).attempts; }
  std::uint64_t count_queued() const {
    std::uint64_t queued = 0;
    for (const LevelStatus& one : engine.status().levels) queued += one.queued;
    return queued;
  }

  JobOptions at_once{.max_attempts = 0, .retry_policy = must(engine.retry_policy("fixed:0ms"))};
  std::unique_ptr<Participant> producer = attach(Role::producer);
};

/// Handlers are asked this often: a look at the words is cheap, a status is not.
inline std::uint32_t count_running(const EngineCore& core) {
  const JobTable table(core.segment);
  std::uint32_t running = 0;
  for (CellIndex index = 0; index < table.capacity(); ++index) {
    if (table.word(index).state() == CellState::running) ++running;
  }
  return running;
}

/// As if the deadline of every lease that ends within `ahead` had passed and the keeper had seen it.
inline void revoke_leases(Inside& inside, std::chrono::nanoseconds ahead = std::chrono::hours{24 * 365}) {
  Reaper reaper(inside.core(), inside.number());
  const std::uint64_t then_ns = lease_clock_ns() + static_cast<std::uint64_t>(ahead.count());
  for_each_entry(inside.segment(), [&](std::uint32_t n, const ParticipantEntry&) { reaper.expire_leases(n, then_ns); });
}

/// Runs a Worker or an ExecWorker on a thread; stops it at the end of its scope.
template <class AnyWorker>
class Running {
 public:
  explicit Running(AnyWorker& worker)
      : worker_(worker), thread_([this] {
          ran_ = worker_.run();
          is_over_.store(true);
        }) {}
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    if (thread_.joinable()) static_cast<void>(stop());
  }

  bool is_over() const { return is_over_.load(); }
  /// What run() returns when it ends by itself.
  Result<void> wait() {
    thread_.join();
    return ran_;
  }
  Result<void> stop() {
    worker_.stop();
    return wait();
  }

 private:
  AnyWorker& worker_;
  Result<void> ran_;
  std::atomic<bool> is_over_{false};
  std::thread thread_;
};

}  // namespace ringmill::test
