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
#include <ringmill/statistics.h>
#include <ringmill/status.h>

namespace ringmill {

struct FlowRules;

/// An open engine. All calls may be made from any thread. After fork() the child must open for itself.
/// Participants must be gone before the Engine that made them.
class Engine {
 public:
  /// Creates the directory (its parent must exist) and the segment, every byte of it allocated.
  /// Errors: already_exists, invalid_argument, no_space (says how much it needs), permission_denied, system.
  [[nodiscard]] static Result<void> create(const std::filesystem::path& directory, const CreateOptions& options = {});

  /// Opens an engine. If its segment is gone (the machine was restarted), this call rebuilds it from the journal: jobs
  /// that were durable wait again under their ids, begun or not. Errors: not_found, incompatible, corrupt,
  /// permission_denied, no_space, busy (its segment was removed while others use it), system.
  [[nodiscard]] static Result<Engine> open(const std::filesystem::path& directory, const OpenOptions& options = {});

  /// Opens the engine, and creates it before if there is none. Of several processes at once one creates it, and the
  /// others wait for it. An engine that is there stays as it is, whatever `creation` says. Errors: those of create()
  /// and open().
  [[nodiscard]] static Result<Engine> open_or_create(const std::filesystem::path& directory,
                                                     const CreateOptions& creation = {},
                                                     const OpenOptions& options = {});

  /// Removes segment and directory, also half-made ones that a dead creator left. Files in the directory that are not
  /// the engine's stay, and then so does the directory. Errors: not_found, busy (participants live and `force` is
  /// false; or another process makes or removes it at this moment), permission_denied, system.
  [[nodiscard]] static Result<void> remove(const std::filesystem::path& directory, bool force = false);

  /// Ends this process's keeper, and gives up the mapping when the last participant has gone. Calls on a closed engine
  /// are undefined. As the destructor, but said where it happens.
  void close() noexcept;

  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;
  ~Engine();

  /// Makes the calling thread, or its process, a participant, which costs a few system calls. Reads a file of the
  /// directory with the rights of the process. Errors: too_many_participants (living participants have all entries),
  /// stale, not_found, permission_denied, system.
  [[nodiscard]] Result<std::unique_ptr<Participant>> attach(Role role, Binding binding = Binding::thread);

  /// Interns a task name: 1 to 63 characters of [A-Za-z0-9._:/-]. The same name gives the same Kind in every process.
  /// Errors: invalid_argument, no_space (1024 names are taken).
  [[nodiscard]] Result<Kind> kind(std::string_view name);
  /// Returns the name of an interned kind; empty if there is no such kind.
  std::string kind_name(Kind kind) const;

  /// Interns a retry policy: `fixed:100ms`, `exponential:1s,2,1h` (base, factor, cap; full jitter), `list:1s,10s,5m`
  /// (the last one repeats). Errors: invalid_argument, no_space (256 policies are taken).
  [[nodiscard]] Result<RetryPolicy> retry_policy(std::string_view text);

  /// Returns the level of this name. Error not_found: the message lists the levels that exist.
  [[nodiscard]] Result<Level> level(std::string_view name) const;
  /// Returns the level's name; empty if there is no such level, or if it was removed.
  std::string level_name(Level level) const;
  /// Returns the number of fixed levels: the first of levels().
  std::uint32_t level_count() const noexcept;

  /// Makes a dynamic level, durably: a tenant, a tube, a queue for replies. Up to 1024 exist at a time. They are less
  /// urgent than the fixed levels; a participant that claims from all levels claims from them too. Costs a few file
  /// operations that wait for the disk. Errors: already_exists, invalid_argument, no_space (names or room for rings are
  /// used up; says what is left), permission_denied, system.
  [[nodiscard]] Result<Level> add_level(std::string_view name, const LevelOptions& options = {});
  /// Removes an empty dynamic level. A participant that enqueues into it, or claims from it by name, receives the error
  /// level_removed. Waits until the ends of its jobs are durable. Errors: not_found, busy (jobs that are not over: says
  /// how many), invalid_argument (a fixed level), timed_out, no_space and journal_failed (as
  /// Participant::wait_durable()), too_many_participants, system.
  [[nodiscard]] Result<void> remove_level(std::string_view name);
  /// Returns the names of all levels, the fixed ones first.
  std::vector<std::string> levels() const;

  /// Pauses a level: no job of it is claimed until resume(). Jobs that run, or were claimed in advance, go on. Pauses
  /// and limits are durable: they hold in every process at once, and across a restart of the machine, until they are
  /// taken back. Pausing what is paused changes nothing. Errors of these five calls: permission_denied, no_space,
  /// corrupt (the file of the rules), system; invalid_argument (a level or kind of another engine).
  [[nodiscard]] Result<void> pause(Level level);
  [[nodiscard]] Result<void> resume(Level level);
  /// Pauses a kind: no job of it begins until resume(), at any level. Jobs of other kinds behind them are not held up.
  /// After resume() the jobs come back at the ends of their levels, ordered by level, then by time of enqueue. That
  /// needs a keeper, as delays do.
  [[nodiscard]] Result<void> pause(Kind kind);
  [[nodiscard]] Result<void> resume(Kind kind);
  /// Limits how often jobs of this kind may begin, and how many may run at a time. KindLimits{} takes all limits off. A
  /// changed rate begins with a full bucket. Running jobs count towards a concurrency limit; lowering the limit does
  /// not end them. A job takes a token of a rate when it begins. Errors: also
  /// no_space, when 64 kinds have a concurrency limit. status() shows the limits and how many jobs they hold back.
  [[nodiscard]] Result<void> limit(Kind kind, const KindLimits& limits);

  /// Limits how many jobs a level holds, in whatever state; LevelLimits{} takes the limit off. What it holds already
  /// stays, and counts. A further job is refused with would_block, or waits; one that follows up a running job is not.
  /// Durable, as pauses are. Errors: as pause(Level); invalid_argument (not a number of jobs, or a share).
  [[nodiscard]] Result<void> limit(Level level, const LevelLimits& limits);

  /// Returns the most bytes that a payload may have.
  std::uint32_t most_payload_bytes() const noexcept;
  /// Returns the same for a job with these options: in an engine without an arena they take some of the room.
  std::uint32_t most_payload_bytes(const JobOptions& options) const noexcept;

  /// Returns what is known of one job, read at one moment. Errors: not_found (no job ever had this id), and those of
  /// the dead letters' file.
  [[nodiscard]] Result<JobInfo> job(JobId id) const;

  /// Calls `visit` for each job in the table that is meant, until it returns false: jobs that wait or run, and those of
  /// which something is kept. Returns how many it saw. Looks only; costs a pass over the cells in use. Each job is read
  /// at one moment of its own; one that changes meanwhile may be left out. Dead letters: DeadLetters::list().
  [[nodiscard]] Result<std::uint64_t> jobs(const JobFilter& filter,
                                           const std::function<bool(const JobInfo&)>& visit) const;

  /// Waits until the job has ended, in any process, and returns what is known of it. Errors: timed_out, not_found.
  [[nodiscard]] Result<JobInfo> wait(JobId id, std::chrono::nanoseconds timeout) const;

  /// Returns the engine's state. It counts jobs in the table, so it costs a pass over all cells.
  EngineStatus status() const;

  /// Returns what the engine has counted and timed. Costs the same whatever the table holds.
  EngineStatistics statistics() const;

  /// Returns true while this process is the engine's keeper. For tests and daemons.
  bool keeps() const noexcept;

 private:
  friend class Participant;
  friend std::shared_ptr<EngineCore> core_of(const Engine& engine) noexcept;
  class Implementation;
  explicit Engine(std::shared_ptr<Implementation> implementation) noexcept;
  [[nodiscard]] Result<void> change_rules(const std::function<Result<void>(FlowRules&)>& change);
  std::shared_ptr<Implementation> implementation_;
};

}  // namespace ringmill
