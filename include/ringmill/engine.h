// The engine: a directory with its configuration and locks, and a segment of shared memory that all its users map.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/error.h>
#include <ringmill/flow_control.h>
#include <ringmill/job.h>
#include <ringmill/options.h>
#include <ringmill/participant.h>
#include <ringmill/status.h>

namespace ringmill {

struct FlowRules;

/// An open engine. All calls may be made from any thread. After fork() the child must open for itself.
/// Participants must be gone before the Engine that made them.
class Engine {
 public:
  /// Makes the directory (its parent must exist) and the segment, every byte of it allocated.
  /// Errors: already_exists, invalid_argument, no_space (says how much it needs), permission_denied, system.
  static Result<void> create(const std::filesystem::path& directory, const CreateOptions& options = {});

  /// Opens an engine. Where its segment is gone (the machine was restarted) it is made anew from the journal: jobs that
  /// were durable wait again under their ids, begun or not. Errors: not_found, incompatible, corrupt,
  /// permission_denied, no_space, busy (its segment was removed while others use it), system.
  static Result<Engine> open(const std::filesystem::path& directory, const OpenOptions& options = {});

  /// Removes segment and directory, whole or as a creator that died has left them. Files in the directory that are not
  /// the engine's stay, and the directory with them. Errors: not_found, busy (participants live and `force` is false;
  /// or another process makes or removes it at this moment), permission_denied, system.
  static Result<void> remove(const std::filesystem::path& directory, bool force = false);

  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;
  ~Engine();

  /// Gives the calling thread a participant: a few system calls. Reads a file of the directory, as this user may.
  /// Errors: too_many_participants (all entries belong to the living), stale, not_found, permission_denied, system.
  Result<std::unique_ptr<Participant>> attach(Role role);

  /// Interns a task name: 1 to 63 characters of [A-Za-z0-9._:/-]. The same name gives the same Kind in every process.
  /// Errors: invalid_argument, no_space (1024 names are taken).
  Result<Kind> kind(std::string_view name);
  /// The name of an interned kind; empty when there is none.
  std::string kind_name(Kind kind) const;

  /// Interns a retry policy: `fixed:100ms`, `exponential:1s,2,1h` (base, factor, cap; full jitter), `list:1s,10s,5m`
  /// (the last one repeats). Errors: invalid_argument, no_space (256 policies are taken).
  Result<RetryPolicy> retry_policy(std::string_view text);

  /// Error not_found: the message lists the levels that are.
  Result<Level> level(std::string_view name) const;
  /// Empty when there is none, or it was removed.
  std::string level_name(Level level) const;
  /// Returns the number of fixed levels: Level{0} to Level{n - 1}.
  std::uint32_t level_count() const noexcept;

  /// Makes a dynamic level, durably: a tenant, a tube, a queue for replies. Up to 1024 exist at a time. They are less
  /// urgent than the fixed levels; a participant that claims from all levels claims from them too. Costs a few file
  /// operations that wait for the disk. Errors: already_exists, invalid_argument, no_space (names or room for rings are
  /// used up; says what is left), permission_denied, system.
  Result<Level> add_level(std::string_view name, const LevelOptions& options = {});
  /// Removes an empty dynamic level. A participant that enqueues into it, or claims from it by name, receives the error
  /// level_removed. Waits until the ends of its jobs are durable. Errors: not_found, busy (jobs that are not over: says
  /// how many), invalid_argument (a first level), timed_out, no_space and journal_failed (as
  /// Participant::wait_durable()), too_many_participants, system.
  Result<void> remove_level(std::string_view name);
  /// Names of all levels, the first ones first.
  std::vector<std::string> levels() const;

  /// Nothing of this level is claimed until resume(); what runs, or was claimed in advance, goes on. Pauses and limits
  /// are durable: they hold in every process at once, after a restart of the machine, and until they are taken back.
  /// A level, or a kind, that is paused already stays so. Errors of these five: permission_denied, no_space,
  /// corrupt (the file that keeps the rules), system; invalid_argument (a level or kind of another engine).
  Result<void> pause(Level level);
  Result<void> resume(Level level);
  /// No job of this kind begins until resume(), whatever its level. Jobs of other kinds behind it are not held up.
  /// After resume() they come back in the order of their levels, then of their enqueues, each at the end of its level;
  /// that needs a keeper, as delays do.
  Result<void> pause(Kind kind);
  Result<void> resume(Kind kind);
  /// How often jobs of this kind may begin, and how many may run at a time. KindLimits{} takes all limits off. Another
  /// rate begins with a full bucket. Jobs that run already count towards a concurrency limit and end as they will.
  /// Within a kind with a rate, jobs get their tokens in the order in which workers come upon them: in that of their
  /// levels while they wait there, whatever came first once a token is theirs. Errors: also no_space, when 64 kinds
  /// have a concurrency limit. What holds, and how many wait: status().
  Result<void> limit(Kind kind, const KindLimits& limits);

  /// The most bytes a payload may have.
  std::uint32_t most_payload_bytes() const noexcept;
  /// The same for a job with these options: without an arena they take some of the room.
  std::uint32_t most_payload_bytes(const JobOptions& options) const noexcept;

  /// What is known of one job, read at one moment. Errors: not_found (no job ever had this id), and those of the dead
  /// letters' file.
  Result<JobInfo> job(JobId id) const;

  /// Waits until the job has ended, in any process; returns what is known of it. Errors: timed_out, not_found.
  Result<JobInfo> wait(JobId id, std::chrono::nanoseconds timeout) const;

  /// Counts recomputed from the table: costs a pass over all cells.
  EngineStatus status() const;

  /// True while this process is the engine's keeper. For tests and daemons.
  bool keeps() const noexcept;

 private:
  friend class Participant;
  class Implementation;
  explicit Engine(std::shared_ptr<Implementation> implementation) noexcept;
  Result<void> change_rules(const std::function<Result<void>(FlowRules&)>& change);
  std::shared_ptr<Implementation> implementation_;
};

}  // namespace ringmill
