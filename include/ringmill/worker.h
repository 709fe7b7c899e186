// A worker: threads that pass each job to the handler of its kind, and settle the job by the outcome that the handler
// returns.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ringmill/engine.h>
#include <ringmill/error.h>
#include <ringmill/job.h>
#include <ringmill/participant.h>

namespace ringmill {

/// The outcome of a run, which the handler returns.
class [[nodiscard]] JobOutcome {
 public:
  enum class What : std::uint8_t { complete, fail, retry_in, time_out, snooze, reject, release, cancel, unable };

  /// The job is done. The result, any bytes, is kept if the job asked for that. One that is too long is refused (see
  /// Job::complete()), and the log says so once.
  static JobOutcome complete(std::string result = {}) noexcept { return JobOutcome(What::complete, std::move(result)); }
  /// The same, of a result whose end is missing: it is kept as one that is cut.
  static JobOutcome complete_cut(std::string beginning) noexcept {
    JobOutcome outcome(What::complete, std::move(beginning));
    outcome.is_cut_ = true;
    return outcome;
  }
  /// This attempt failed: it counts, and the job waits as its retry policy says, or is dead when its attempts are used
  /// up. The reason is shown with the job, and logged at the attempts 1, 2, 4, 8, ...: a job that always fails does not
  /// fill the log. `said` is the output of the run; if there is no room for all of it, the end is kept.
  static JobOutcome fail(std::string reason = {}, std::string said = {}) {
    return {What::fail, std::move(reason), std::move(said)};
  }
  /// The same, with the error's message as the reason.
  static JobOutcome fail(const Error& error) { return fail(error.message()); }
  /// The same, with the next attempt after `delay` instead of the policy's time: for a server's Retry-After.
  static JobOutcome retry_in(std::chrono::milliseconds delay, std::string reason = {}, std::string said = {}) {
    return {What::retry_in, std::move(reason), std::move(said), delay};
  }
  /// As fail(), for a run that took too long. After the last attempt the dead letter's cause is `timeout`.
  static JobOutcome time_out(std::string reason = {}, std::string said = {}) {
    return {What::time_out, std::move(reason), std::move(said)};
  }
  /// The job is put off; the attempt does not count. For a job that came too early, which is no failure.
  static JobOutcome snooze(std::chrono::milliseconds delay) noexcept { return JobOutcome(What::snooze, {}, delay); }
  /// The job can never succeed: it is dead at once, with attempts left or not.
  static JobOutcome reject(std::string reason = {}, std::string said = {}) {
    return {What::reject, std::move(reason), std::move(said)};
  }
  /// The job ends as cancelled: for a handler that saw JobContext::should_stop().
  static JobOutcome cancel() noexcept { return JobOutcome(What::cancel); }
  /// The job goes back to its level as if it had not been claimed: the attempt does not count. For a handler that saw
  /// JobContext::is_stopping(); otherwise this worker may claim the job again at once.
  static JobOutcome release() noexcept { return JobOutcome(What::release); }
  /// This worker cannot run the job for a reason of its own: it lacks descriptors, processes, a database. The job goes
  /// back as by release(). The thread waits before its next claim: 100 ms, and twice as long each further time, 2 s at
  /// most. The log says the reason once. run() ends with it when WorkerOptions::give_up_after has passed.
  static JobOutcome unable(std::string reason) noexcept { return JobOutcome(What::unable, std::move(reason)); }

  What what() const noexcept { return what_; }
  /// Returns "reason: said" of a failure (either may be missing), the reason of unable(), the result of complete().
  const std::string& text() const noexcept { return text_; }
  std::string_view reason() const noexcept { return std::string_view(text_).substr(0, reason_bytes_); }
  std::string_view said() const noexcept { return std::string_view(text_).substr(said_at_); }
  std::chrono::milliseconds delay() const noexcept { return delay_; }
  /// Returns whether the result is only a beginning.
  bool is_cut() const noexcept { return is_cut_; }

 private:
  explicit JobOutcome(What what, std::string text = {}, std::chrono::milliseconds delay = {}) noexcept
      : what_(what), text_(std::move(text)), reason_bytes_(text_.size()), said_at_(text_.size()), delay_(delay) {}
  JobOutcome(What what, std::string reason, const std::string& said, std::chrono::milliseconds delay = {})
      : JobOutcome(what, std::move(reason), delay) {
    if (said.empty()) return;
    if (!text_.empty()) text_ += ": ";
    said_at_ = text_.size();
    text_ += said;
  }
  What what_;
  std::string text_;
  std::size_t reason_bytes_;
  std::size_t said_at_;
  std::chrono::milliseconds delay_;
  bool is_cut_ = false;
};

/// The job that a handler runs. Valid during the handler's call and on its thread only, as are the views it returns.
class JobContext {
 public:
  JobContext(const JobContext&) = delete;
  JobContext& operator=(const JobContext&) = delete;

  JobId id() const noexcept { return job_->id(); }
  /// Return the names of kind and level.
  std::string_view kind() const noexcept { return kind_; }
  std::string_view level() const noexcept { return level_; }
  /// 1 for the first attempt.
  std::uint32_t attempt() const noexcept { return job_->attempt(); }
  /// As Job::payload(): a private copy of an inline payload; a larger one is read in place and stays unchanged.
  std::span<const std::byte> payload() const noexcept { return job_->payload(); }

  /// Extends the lease until `lease` from now, for a run that takes longer than the job's lease. One compare-and-swap.
  /// Errors: lease_lost (another worker has the job: stop, the outcome will not count), invalid_argument (not 1 ms to
  /// 24 days).
  [[nodiscard]] Result<void> extend(std::chrono::milliseconds lease) { return job_->extend(lease); }

  /// Enqueues a job that becomes visible exactly when this run completes: no crash leaves one without the other. If the
  /// run ends in any other way, the new job is dropped. A request without a level gets this job's. See
  /// Job::follow_up(); for a graph: JobGraph::follow(job()). If there is no room (would_block, timed_out, also because
  /// the worker stops) and the handler fails or throws then, no attempt counts and no error is kept: the job is put off
  /// for a moment.
  [[nodiscard]] Result<JobId> follow_up(const LinkedRequest& request,
                                        std::chrono::nanoseconds wait = std::chrono::seconds{1}) {
    return job_->follow_up(request, wait);
  }
  [[nodiscard]] Result<JobId> follow_up(const JobRequest& request,
                                        std::chrono::nanoseconds wait = std::chrono::seconds{1}) {
    return job_->follow_up({.request = request}, wait);
  }
  /// As Job::follow_up_unique().
  [[nodiscard]] Result<UniqueJob> follow_up_unique(const JobRequest& request, std::string_view key,
                                                   std::chrono::milliseconds unique_for = {},
                                                   std::chrono::nanoseconds wait = std::chrono::seconds{1}) {
    return job_->follow_up_unique(request, key, unique_for, wait);
  }
  /// Enqueues a job unless another one has the same key: Participant::enqueue_unique(). It may run before this one has
  /// ended, however that ends.
  [[nodiscard]] Result<UniqueJob> enqueue_unique(const JobRequest& request, std::string_view key,
                                                 std::chrono::milliseconds unique_for = {},
                                                 std::chrono::nanoseconds wait = std::chrono::seconds{1}) {
    return participant_->enqueue_unique(request, key, unique_for, wait);
  }
  /// Returns the participant of this thread, to enqueue and to cancel. The worker claims with it.
  Participant& participant() noexcept { return *participant_; }
  /// Returns the jobs that this one has waited for; Engine::job() has their results during this run.
  std::vector<JobId> parents() const { return job_->parents(); }
  /// As Job::tag() and Job::trace_parent().
  std::string tag() const { return job_->tag(); }
  std::string trace_parent() const { return job_->trace_parent(); }
  /// Returns the job itself, for calls that this class does not repeat. If the handler settles it here, its outcome
  /// does not count.
  Job& job() noexcept { return *job_; }

  /// Returns how long this run has before the keeper revokes the lease. A handler that will not end in time extends it,
  /// or stops. Reads a clock.
  std::chrono::nanoseconds time_left() const noexcept { return job_->time_left(); }
  /// Returns JobRequest::lease of the job; zero: the engine's default lease holds.
  std::chrono::milliseconds lease() const noexcept { return job_->lease(); }

  /// Returns true once the worker is stopping. A long handler checks this from time to time, and returns
  /// JobOutcome::release() if the job can be run again from the start. One atomic load.
  bool is_stopping() const noexcept { return stopping_->load(); }

  /// Returns true once this job was cancelled. A handler that can stop half-way does so, and returns
  /// JobOutcome::cancel(). One atomic load.
  bool should_stop() const noexcept { return job_->should_stop(); }
  /// Publishes the run's progress, as Job::report_progress().
  void report_progress(std::uint64_t number, std::string_view text = {}) noexcept {
    job_->report_progress(number, text);
  }

 private:
  friend class WorkerThread;
  JobContext(Job& job, Participant& participant, std::string_view kind, std::string_view level,
             const std::atomic<bool>& stopping) noexcept
      : job_(&job), participant_(&participant), kind_(kind), level_(level), stopping_(&stopping) {}
  Job* job_;
  Participant* participant_;
  std::string_view kind_;
  std::string_view level_;
  const std::atomic<bool>* stopping_;
};

/// Callbacks for metrics and tracing. The worker's threads call them, several at once. They must not throw, and the job
/// waits while they run. An empty one costs nothing.
struct WorkerHooks {
  std::function<void(JobContext&)> before{};
  /// After the handler, before the outcome is settled.
  std::function<void(JobContext&, const JobOutcome&, std::chrono::nanoseconds duration)> after{};
  /// After `after`, when the attempt failed or was rejected.
  std::function<void(JobContext&, const JobOutcome&)> on_failure{};
  /// After this worker sent the job to the dead letters.
  std::function<void(JobId, std::string_view kind, const JobOutcome&)> on_dead{};
};

/// Runs one job. Called by several threads at once when the worker has more than one. An exception that leaves a
/// handler counts as JobOutcome::fail() with the exception's text. A std::system_error for a lack of descriptors,
/// threads, processes or memory counts as unable().
using Handler = std::function<JobOutcome(JobContext&)>;

struct WorkerOptions {
  /// How many jobs run at once: 1 to 512. Each thread takes a registry entry of the engine, which has 1,024.
  std::uint32_t threads = 1;
  /// The names of the levels to take jobs from. Empty: all levels, also those made later. The removal of a level is
  /// logged; when none is left run() ends with level_removed.
  std::vector<std::string> levels{};
  Policy policy = Policy::weighted;
  /// As ClaimOptions::prefetch: the most jobs that a thread takes in advance while handlers are fast, 1 to 64.
  std::uint32_t prefetch = 64;
  /// End run() when nothing is left to run: no thread runs a job, and no job of this worker's kinds and levels waits
  /// for a worker, waits for its next attempt, or was left by a dead worker. It does not wait for delayed jobs that
  /// were never begun, nor for jobs that other workers run.
  bool drain = false;
  /// If run() still waits for a handler this long after stop(), the log names the job that holds it up, and again after
  /// each further such time. At least 1 ms.
  std::chrono::milliseconds grace{std::chrono::seconds{10}};
  /// run() ends with the error `system` when every run for this long ended with JobOutcome::unable(), and no thread
  /// runs a job. At least 1 ms.
  std::chrono::milliseconds give_up_after{std::chrono::seconds{60}};
  WorkerHooks hooks{};
};

/// Counts since the worker was made, summed over its threads.
struct WorkerStatus {
  std::uint64_t completed = 0;
  /// Attempts that failed, exceptions included.
  std::uint64_t failed = 0;
  /// Runs that ended with release() or unable(). Jobs that were never started and went back at shutdown are not
  /// counted.
  std::uint64_t released = 0;
  /// Jobs that went to the dead letters; their last attempts are among `failed`.
  std::uint64_t dead = 0;
  std::uint64_t cancelled = 0;
  /// Runs whose lease was revoked before they ended: another worker runs, or ran, the job.
  std::uint64_t lost = 0;
};

/// Threads that claim jobs and run their handlers. Register the handlers, then call run():
///
///   Worker worker(engine, {.threads = 4});
///   worker.on("resize", [](JobContext& job) { resize(job.payload()); return JobOutcome::complete(); });
///   auto ran = worker.run();
///
/// A killed worker loses no job: the keeper hands its jobs to other workers.
class Worker {
 public:
  /// `engine` must outlive the worker. Opens and starts nothing yet.
  explicit Worker(Engine& engine, WorkerOptions options = {});
  /// run() must have returned.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Registers the handler of a kind; the worker takes only kinds that have one. Before run(), from one thread. A bad
  /// name, an empty handler, or a second one for a kind is reported by run().
  Worker& on(std::string_view kind, Handler handler);
  /// Registers the handler of all kinds that have none of their own: the worker then takes every kind.
  Worker& on_any(Handler handler);

  /// Runs jobs on threads of its own, and blocks until stop() was called, or, when draining, until nothing is left to
  /// run. Then each thread ends its current job, gives back what it had taken in advance (those attempts do not count)
  /// and leaves the engine. Threads cannot be killed: run() waits for handlers as long as they take, see
  /// WorkerOptions::grace. May be called again after a drained run. Errors: invalid_argument (an option or a handler),
  /// not_found (a level, or the engine was removed), level_removed, no_space (too many kinds), after_fork,
  /// too_many_participants, busy (it runs already), system. An error of one thread stops all of them gracefully.
  [[nodiscard]] Result<void> run();

  /// Makes run() return: the present call, or the next. Any thread, handler or signal handler may call it, any number
  /// of times. A few system calls.
  void stop() noexcept;

  /// Returns the counts. Any thread may call it; each thread's counts may be one job behind.
  WorkerStatus status() const noexcept;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

/// While this object lives, SIGTERM and SIGINT stop a worker instead of ending the process. The signal handlers only
/// write a byte into a pipe; a thread does the rest, so any thread may get the signal. The destructor restores the
/// former signal actions. One object at a time in a process. In a forked child without exec these signals end the
/// child.
class SignalStop {
 public:
  /// Each signal stops `worker`, which must outlive this. Errors: busy (there is one already), system.
  [[nodiscard]] static Result<SignalStop> install(Worker& worker);
  /// Calls `on_signal(count)` on a thread of its own, with 1 for the first signal, 2 for the second, and so on.
  [[nodiscard]] static Result<SignalStop> install(std::function<void(std::uint32_t count)> on_signal);

  SignalStop(SignalStop&&) noexcept;
  SignalStop& operator=(SignalStop&&) noexcept;
  ~SignalStop();

 private:
  class Implementation;
  explicit SignalStop(std::unique_ptr<Implementation> implementation) noexcept;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace ringmill
