// A worker for jobs that wait more than they compute: its handlers begin a job and return; any thread settles it later.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/engine.h>
#include <ringmill/error.h>
#include <ringmill/job.h>
#include <ringmill/participant.h>
#include <ringmill/worker.h>

namespace ringmill {

class AsyncRun;

/// A job that an AsyncWorker has begun. Move it to where the work goes on, and settle it there. One thread at a time
/// may use it; which one does not matter. It may outlive its worker and its engine. Each call takes a mutex that up to
/// 64 jobs of the worker share.
///
/// If it is destroyed before it is settled, the attempt fails with a text that says so: it counts, and the job waits as
/// its retry policy says. While the worker stops the job is given back instead, and no attempt counts.
class AsyncJob {
 public:
  /// Makes an empty one.
  AsyncJob() noexcept = default;
  AsyncJob(AsyncJob&&) noexcept = default;
  AsyncJob& operator=(AsyncJob&& other) noexcept;
  ~AsyncJob();

  /// Returns false for one that is empty or moved from. All calls below but settle() need one that is not.
  explicit operator bool() const noexcept { return run_ != nullptr; }
  JobId id() const noexcept;
  /// Return the names of kind and level.
  std::string_view kind() const noexcept;
  std::string_view level() const noexcept;
  /// 1 for the first attempt.
  std::uint32_t attempt() const noexcept;
  /// Returns the payload: a copy, valid as long as this object.
  std::span<const std::byte> payload() const noexcept;
  /// Returns the jobs that this one has waited for. Nothing once it is settled. Allocates.
  std::vector<JobId> parents() const;

  /// Ends the run as a handler's outcome does. Returns what became of the job. `unable` gives the job back, and the
  /// worker claims nothing for 100 ms. An attempt that fails after a follow_up() that found no room is put off: it does
  /// not count. Errors: not_held (it was settled before, or is empty: a fault of the caller), lease_lost (the lease was
  /// revoked, or the worker stopped and gave the job back: another worker has it, and this run does not count),
  /// after_fork. One compare-and-swap in shared memory.
  [[nodiscard]] Result<Settled> settle(const JobOutcome& outcome);
  /// As JobContext::follow_up(). While it waits for room, others use the worker. Errors: as Job::follow_up(), and those
  /// of settle().
  [[nodiscard]] Result<JobId> follow_up(const LinkedRequest& request,
                                        std::chrono::nanoseconds wait = std::chrono::seconds{1});
  [[nodiscard]] Result<JobId> follow_up(const JobRequest& request,
                                        std::chrono::nanoseconds wait = std::chrono::seconds{1}) {
    return follow_up(LinkedRequest{.request = request}, wait);
  }
  /// As Job::follow_up_unique().
  [[nodiscard]] Result<UniqueJob> follow_up_unique(const JobRequest& request, std::string_view key,
                                                   std::chrono::milliseconds unique_for = {},
                                                   std::chrono::nanoseconds wait = std::chrono::seconds{1});
  /// Publishes the run's progress, as Job::report_progress().
  void report_progress(std::uint64_t number, std::string_view text = {}) noexcept;

  /// Returns true once the outcome does not matter: the job was cancelled, or its lease is known to be lost.
  bool should_stop() const noexcept;
  /// Returns true once the worker is stopping: settle soon, or the job is given back.
  bool is_stopping() const noexcept;

 private:
  friend class AsyncClaimer;
  explicit AsyncJob(std::shared_ptr<AsyncRun> run) noexcept : run_(std::move(run)) {}
  std::shared_ptr<AsyncRun> run_;
};

/// Begins one job. Called by several threads at once when the worker has more than one. It should not block for long:
/// the thread claims no other job meanwhile. If an exception leaves it before the job is settled or handed on, that is
/// JobOutcome::fail() with the exception's text.
using AsyncHandler = std::function<void(AsyncJob)>;

struct AsyncOptions {
  /// How many threads claim jobs and call handlers, 1 to 64.
  std::uint32_t threads = 1;
  /// How many jobs are begun and not settled at most, 1 to 8192. Each 64 of them take a registry entry of the engine,
  /// and each thread takes one at least.
  std::uint32_t in_flight = 64;
  /// As WorkerOptions.
  std::vector<std::string> levels{};
  Policy policy = Policy::weighted;
  /// How long run() waits, after stop(), for jobs in flight. What is not settled then is given back: no attempt counts,
  /// and settling it later is the error lease_lost. Zero or more.
  std::chrono::milliseconds grace{std::chrono::seconds{10}};
  /// How long a run may take. Until then the worker extends the lease of a job in flight whenever half of it is over;
  /// afterwards the lease ends, the attempt counts, and another worker gets the job. Zero: as long as it takes. (The
  /// jobs of a process that dies are handed over in any case.)
  std::chrono::milliseconds longest_run{0};
};

/// Claims jobs, and hands each to the handler of its kind as an AsyncJob. A thread of its own keeps their leases.
///
///   AsyncWorker worker(engine, {.threads = 4, .in_flight = 500});
///   worker.on("ask", [&](AsyncJob job) { http.post(job.payload(), [job = std::move(job)](Answer a) mutable {...}); });
///   auto ran = worker.run();
class AsyncWorker {
 public:
  /// `engine` must outlive the worker. Opens and starts nothing yet.
  explicit AsyncWorker(Engine& engine, AsyncOptions options = {});
  /// run() must have returned.
  ~AsyncWorker();
  AsyncWorker(const AsyncWorker&) = delete;
  AsyncWorker& operator=(const AsyncWorker&) = delete;

  /// As Worker::on() and Worker::on_any().
  AsyncWorker& on(std::string_view kind, AsyncHandler handler);
  AsyncWorker& on_any(AsyncHandler handler);

  /// Runs until stop() was called, then waits for the jobs in flight (AsyncOptions::grace). May be called once. Errors:
  /// as Worker::run().
  [[nodiscard]] Result<void> run();
  /// Makes run() return. Any thread or signal handler may call it, any number of times. A few system calls.
  void stop() noexcept;

  /// Returns the counts; `released` has those that were given back at the end, too. Any thread.
  WorkerStatus status() const noexcept;
  /// Returns how many jobs are in flight. Any thread.
  std::uint32_t in_flight() const noexcept;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace ringmill
