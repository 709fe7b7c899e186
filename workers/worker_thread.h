// One thread of a worker: it attaches a participant of its own, claims jobs, runs their handlers, and settles the jobs.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include <ringmill/engine.h>
#include <ringmill/worker.h>

#include "workers/handler_registry.h"
#include "workers/own_trouble.h"
#include "workers/repeated_faults.h"

namespace ringmill {

class WorkerThread;

/// The state that the threads of one worker share. The first part is fixed while they run.
struct WorkerCommons {
  explicit WorkerCommons(Engine& used_engine, WorkerOptions given_options)
      : engine(used_engine), options(std::move(given_options)) {}

  Engine& engine;
  WorkerOptions options;
  HandlerRegistry handlers;
  std::vector<Level> levels;  // to claim from; empty: all

  const std::deque<WorkerThread>* threads = nullptr;

  std::atomic<bool> stopping{false};
  /// Futex: 1 when it stops. What a thread sleeps on that claims nothing for a while.
  std::atomic<std::uint32_t> stop_word{0};
  OwnTrouble trouble;
  RepeatedFaults faults;
  /// A result that was longer than there is room for was logged.
  std::atomic<bool> cut_was_said{false};
  /// How many calls of stop() look at the threads' participants right now.
  std::atomic<std::uint32_t> visitors{0};
  /// Draining: how many threads found nothing to claim since they last ran a job, those that have left included.
  std::atomic<std::uint32_t> idle_threads{0};
  /// Futex: how many threads have still to enter the engine. None runs a job before: what its handler takes
  /// (descriptors, memory) may be what another thread needs to enter.
  std::atomic<std::uint32_t> to_enter{0};

  /// Called once by each thread when it has entered, or failed to.
  void note_entered() noexcept;
  /// Until all have entered, or the worker stops.
  void wait_for_entries() noexcept;
};

class alignas(64) WorkerThread {
 public:
  explicit WorkerThread(WorkerCommons& commons) noexcept : commons_(commons) {}
  WorkerThread(const WorkerThread&) = delete;
  WorkerThread& operator=(const WorkerThread&) = delete;

  /// Called on the thread itself. Returns when the worker stops, is drained, or cannot go on.
  Result<void> run();

  /// Ends a wait for jobs. For any thread and for signal handlers, between visitors += 1 and visitors -= 1.
  void wake() noexcept;
  /// The job whose handler runs now; none: a zero id.
  JobId current_job() const noexcept { return JobId(current_job_.load()); }
  void add_to(WorkerStatus& status) const noexcept;

 private:
  Result<void> run_jobs(Participant& participant);
  /// A level that was removed is logged, and the others are gone on with. Error level_removed: none is left.
  Result<Job> next_job(Participant& participant);
  Result<Job> next_job_of_levels(Participant& participant);
  /// No thread of ours runs a job, and the engine has none for us, as far as one look shows.
  bool is_drained() const;
  JobOutcome run_one(Job& job);
  JobOutcome call_handler(Job& job);
  JobOutcome put_off(const Job& job);
  static JobOutcome run_handler(const Handler& handler, JobContext& context);
  void settle(Job& job, const JobOutcome& outcome);
  /// Once for a fault, then at its 2nd, 4th, 8th, ... time.
  void say_failed(const Job& job, const JobOutcome& outcome, bool is_dead);
  /// Longer than there is room for.
  void say_cut(JobId id, std::size_t bytes, std::size_t room);
  /// After a run that this worker was unable to do: waits, or gives up.
  Result<void> pause(Participant& participant, const JobOutcome& outcome, std::uint64_t began_ns);
  /// Another thread runs a job, and has done so for longer than a run lasts that comes to nothing.
  bool do_others_run(std::uint64_t now_ns) const noexcept;
  std::string_view kind_name(Kind kind);
  std::string_view level_name(Level level);

  /// Adds to a counter of our own. ORDER relaxed: one writer; readers want a recent value.
  static void count(std::atomic<std::uint64_t>& counter) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  WorkerCommons& commons_;
  std::unordered_map<Kind, std::string> kind_names_;    // of kinds that only the default handler runs
  std::unordered_map<Level, std::string> level_names_;  // of those that it had jobs of
  std::atomic<Participant*> participant_{nullptr};
  std::atomic<std::uint64_t> current_job_{0};
  /// Steady clock; 0: there was no trouble when the run began.
  std::atomic<std::uint64_t> run_began_ns_{0};
  std::uint32_t failures_in_a_row_ = 0;
  std::uint32_t lacks_in_a_row_ = 0;  // runs whose follow-up found no room
  std::atomic<std::uint64_t> completed_{0};
  std::atomic<std::uint64_t> failed_{0};
  std::atomic<std::uint64_t> released_{0};
  std::atomic<std::uint64_t> dead_{0};
  std::atomic<std::uint64_t> cancelled_{0};
  std::atomic<std::uint64_t> lost_{0};
};

}  // namespace ringmill
