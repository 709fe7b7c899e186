// A worker that runs one shell command per job.
//
//   the command gets       payload on standard input; RINGMILL_JOB_ID, RINGMILL_KIND, RINGMILL_LEVEL, RINGMILL_ATTEMPT,
//                          RINGMILL_TAG, TRACEPARENT (empty: none),
//                          RINGMILL_PARENTS (ids, with commas between) in its environment; a session of its own.
//                          More than 64 KiB of ids are in the file that RINGMILL_PARENTS_FILE names (descriptor 3)
//   it ends with 0         the job is complete; standard output is its result, which is kept if the job asked for that
//   it cannot be started   the job goes back uncounted, and the worker waits: JobOutcome::unable()
//   100                    it failed for good: the job is dead
//   75, any other status   it failed: the attempt counts, the job waits as its retry policy says
//   by a signal            it failed, as above
//   not in the job's       SIGTERM for the group, and SIGKILL after `kill_grace`; it failed, as above
//   timeout
//   its job is cancelled   likewise, and the job is over as cancelled, however the command ends
//
// Standard error's last bytes are the error text, which is kept with the job and logged. While a command runs,
// its lease is extended whenever half of it is over. If the process stood still for longer than that, the lease is lost
// and another worker has the job: the group gets SIGTERM, and SIGKILL after `kill_grace`.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/engine.h>
#include <ringmill/worker.h>

#include "ipc/file.h"
#include "workers/command.h"

namespace ringmill {

/// The standard output of a command that ended with 0.
struct ExecResult {
  JobId id;
  std::string_view output;  // the first Command::most_output bytes, valid during the call
  const Spool& more;        // what came after them
  /// There was more still; more.why_cut() says why it is not here.
  bool was_cut = false;

  /// Calls `take` with one piece of all of it after another, until it says false.
  Result<void> read(const std::function<bool(std::string_view)>& take) const {
    if (!output.empty() && !take(output)) return {};
    return more.read(take);
  }
};

struct ExecOptions {
  /// For /bin/sh -c.
  std::string command;
  /// Names of the kinds and levels to run. Empty: all.
  std::vector<std::string> kinds{};
  std::vector<std::string> levels{};
  Policy policy = Policy::weighted;
  /// How many commands run at once, 1 to 512.
  std::uint32_t concurrency = 1;
  /// As WorkerOptions::drain.
  bool drain = false;
  /// How long a job stays with a worker that stands still, from 2 ms: each command's lease is set to this at its start.
  std::chrono::milliseconds lease{std::chrono::seconds{30}};
  /// From SIGTERM to SIGKILL, for a command that has to end.
  std::chrono::milliseconds kill_grace{std::chrono::seconds{5}};
  /// Called on the command's thread, by several at once, just before the job is completed. If the lease is lost in that
  /// moment the job runs again all the same.
  std::function<void(const ExecResult&)> on_result{};
  /// How much of a command's standard output on_result gets, and is kept as a result, Command::most_output bytes at
  /// least; what is beyond those goes through a temporary file (workers/spool.h). Without on_result: as much as a
  /// result can have.
  std::uint64_t most_output = std::uint64_t{1} << 30;
  /// As WorkerOptions::give_up_after: a command could not be started for so long, for lack of descriptors, processes,
  /// memory, or a shell.
  std::chrono::milliseconds give_up_after{std::chrono::seconds{60}};
};

class ExecWorker {
 public:
  /// `engine` must outlive the worker.
  ExecWorker(Engine& engine, ExecOptions options);

  /// As Worker::run(); error invalid_argument also for an empty command and a lease that is too short, error system
  /// where SIGCHLD is ignored and the kernel does not tell how a command ended (before Linux 6.15).
  Result<void> run();
  /// Running commands go on to their end, nothing new is started. For any thread and for signal handlers.
  void stop() noexcept;
  /// Running commands get SIGTERM, and SIGKILL after kill_grace; their jobs go back without a counted attempt, however
  /// the commands end. For any thread and for signal handlers.
  void stop_now() noexcept;
  /// The first SIGTERM or SIGINT calls stop(), each further one stop_now(), while what is returned lives.
  Result<SignalStop> stop_on_signals();

  WorkerStatus status() const noexcept { return worker_.status(); }

 private:
  JobOutcome run_command(JobContext& job);
  CommandEnd end(Command& command) const;
  JobOutcome run_shell(JobContext& job);
  static JobOutcome completed(JobContext& job, const CommandEnd& end);
  JobOutcome outcome_of(JobContext& job, const CommandEnd& end) const;

  ExecOptions options_;
  std::uint64_t most_result_bytes_;
  /// An eventfd that can be read from stop_now() on: every command's wait watches it.
  Result<File> ending_;
  Worker worker_;
};

}  // namespace ringmill
