// What an engine has counted and timed: the numbers for plots and alerts. Reading them costs the same at a thousand
// jobs and at four million: no cell of the table is looked at but those at the front of each level and those that run.
//
// Counts are statistics, not the truth: a participant that is killed may leave out its last event, and each counter is
// read at its own moment. No count ever falls, until the shared memory is made anew. How many jobs are in which state
// exactly, Engine::status() says, for a pass over the table.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <ringmill/job.h>
#include <ringmill/status.h>

namespace ringmill {

/// What happened to jobs, in all since the shared memory was made.
struct JobTotals {
  std::uint64_t enqueued = 0;
  /// Attempts that ended, in whatever way, and those that failed; after `retried` attempts the job waits again. A
  /// worker that was lost counts as retried, not as failed.
  std::uint64_t attempts = 0;
  std::uint64_t failed = 0;
  std::uint64_t retried = 0;
  /// Jobs that are over, by how they ended.
  std::uint64_t completed = 0;
  std::uint64_t dead = 0;
  std::uint64_t cancelled = 0;

  JobTotals& operator+=(const JobTotals& other) noexcept;
  std::uint64_t ended() const noexcept { return completed + dead + cancelled; }
};

/// How long something took, of many jobs. Buckets are an eighth as wide as the durations in them, so a quantile is
/// right within 12.5 %. The jobs are a sample with weights, by which counts and sums are unbiased
/// (docs/operations.md, "Statistics").
class Durations {
 public:
  Durations() noexcept = default;
  Durations(std::vector<std::uint64_t> counts, std::chrono::duration<double> sum) noexcept
      : counts_(std::move(counts)), sum_(sum) {}

  /// Returns how many jobs these are.
  std::uint64_t count() const noexcept;
  std::chrono::duration<double> sum() const noexcept { return sum_; }
  /// Returns the duration that a share of the jobs stays below, as the middle of its bucket. Nothing: there are no
  /// jobs. `share` is 0 to 1.
  std::optional<std::chrono::nanoseconds> quantile(double share) const noexcept;
  /// Returns how many jobs took less than `limit`; exact where it is a power of two of nanoseconds, 2^11 to 2^42.
  std::uint64_t count_below(std::chrono::nanoseconds limit) const noexcept;
  /// Returns those that came since `earlier`, a former reading of the same durations.
  Durations since(const Durations& earlier) const;
  /// Adds others.
  void add(const Durations& others);

 private:
  std::vector<std::uint64_t> counts_;  // by duration_bucket() (ipc/statistics.h)
  std::chrono::duration<double> sum_{0};
};

struct LevelStatistics {
  Level level{};
  std::string name;
  bool paused = false;
  std::chrono::system_clock::time_point paused_since{};
  /// Jobs that wait for a worker. It may count jobs that were cancelled or dead a moment ago.
  std::uint64_t depth = 0;
  /// The ring has no room for all of them: `depth` is enqueued minus ended and running, so it counts delayed and
  /// blocked jobs as well.
  bool is_estimate = false;
  std::uint64_t running = 0;
  /// For how long the job at the front of the level waits. Nothing: no job waits.
  std::optional<std::chrono::nanoseconds> oldest;
  JobTotals totals;
  /// How long jobs waited until a worker claimed them: from the enqueue, or the time that they were put off to. Dynamic
  /// levels share one; see EngineStatistics::dynamic_wait.
  std::optional<Durations> wait;
};

struct KindStatistics {
  std::string name;
  std::uint64_t running = 0;
  JobTotals totals;
  /// How long attempts took. The first 63 kinds have their own; the others share EngineStatistics::other_runs.
  std::optional<Durations> run;
};

/// One level and one kind. Levels that were removed come as "_removed", what found no room as "_other".
struct PairStatistics {
  std::string level;
  std::string kind;
  JobTotals totals;
};

struct RunningJob {
  JobId id{};
  std::string kind;
  std::string level;
  std::chrono::nanoseconds running_for{0};
};

struct ParticipantStatistics {
  int number = 0;
  int pid = 0;
  std::string role;
  bool alive = false;
  std::chrono::system_clock::time_point since{};
  /// Of the entry: its former owners are counted in.
  std::uint64_t enqueued = 0;
  std::uint64_t completed = 0;
  std::uint64_t failed = 0;
  /// The time between claims that found jobs and the claims after them, of the entry's owners. A run that lasts is not
  /// in it yet.
  std::chrono::nanoseconds busy{0};
  /// The jobs that are handed out to its handlers, the longest-running first.
  std::vector<RunningJob> running;
};

struct KeeperStatistics {
  int pid = 0;
  bool alive = false;
  std::chrono::system_clock::time_point since{};
  /// Turns of the loop of all keepers, and the time that they took.
  std::uint64_t turns = 0;
  std::chrono::nanoseconds busy{0};
  /// Of the present keeper.
  std::chrono::nanoseconds longest_turn{0};
  /// Since its last turn has ended. It rests for at most 50 ms. Nothing: there was no turn.
  std::optional<std::chrono::nanoseconds> last_turn_ago;
  /// As EngineStatus::keeper_trouble.
  std::string trouble;
};

struct EngineStatistics {
  std::string engine_id;
  std::string path;
  std::chrono::system_clock::time_point at{};
  std::uint32_t layout_version = 0;
  std::uint64_t capacity = 0;
  std::uint64_t memory_bytes = 0;
  /// The shared memory was unlinked under its participants.
  bool unlinked = false;
  Totals totals;
  std::vector<LevelStatistics> levels;
  std::vector<KindStatistics> kinds;
  std::vector<PairStatistics> pairs;
  Durations dynamic_wait;
  Durations other_runs;
  std::vector<ParticipantStatistics> participants;
  KeeperStatistics keeper;
  JournalStatus journal;
};

}  // namespace ringmill
