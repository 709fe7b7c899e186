// The state of an engine, as `ringmill status` prints it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <ringmill/flow_control.h>
#include <ringmill/job.h>

namespace ringmill {

struct LevelStatus {
  Level level{};
  std::string name;
  std::uint32_t weight = 0;
  std::uint64_t queued = 0;
  std::uint64_t delayed = 0;
  /// Delayed jobs that have failed before and wait for their next attempt; part of `delayed`.
  std::uint64_t retrying = 0;
  std::uint64_t blocked = 0;
  std::uint64_t running = 0;
  std::uint64_t completed = 0;
  bool paused = false;
  std::chrono::system_clock::time_point paused_since{};
  /// Jobs whose kind is paused; part of `queued`.
  std::uint64_t held = 0;
  bool is_made_at_run_time = false;
  /// The number of slots of the level's ring.
  std::uint64_t ring = 0;
  /// Room that is kept for its jobs alone, beside EngineStatus::capacity; dynamic levels share theirs.
  std::uint64_t kept = 0;
  /// The most jobs that it may hold; 0: no bound of its own.
  std::uint64_t most = 0;
};

/// A kind that is paused or limited.
struct KindStatus {
  std::string name;
  bool paused = false;
  std::chrono::system_clock::time_point paused_since{};
  KindLimits limits;
  std::uint64_t queued = 0;
  /// Jobs that the kind's limits hold back; part of `queued`.
  std::uint64_t waiting = 0;
  std::uint64_t running = 0;
};

/// Jobs of one kind in one level that are left to run: they wait for a worker, for a limit of their kind, or for their
/// next attempt. Jobs of a paused level or kind are not counted.
struct JobsLeft {
  std::string kind;
  std::string level;
  std::uint64_t count = 0;
};

struct ParticipantStatus {
  int number = 0;
  int pid = 0;
  std::string role;
  bool alive = false;
  std::uint64_t running = 0;
};

/// Sums over the engine's life. Each participant has its own counters, so a reader may be a few jobs behind.
struct Totals {
  std::uint64_t enqueued = 0;
  std::uint64_t completed = 0;
  std::uint64_t failed = 0;
  std::uint64_t retried = 0;
  std::uint64_t dead = 0;
  std::uint64_t worker_lost = 0;
  std::uint64_t lease_expired = 0;
  std::uint64_t cancelled = 0;
};

/// The journal at one moment, in the keeper's own numbers: they are at most one flush interval old.
struct JournalStatus {
  /// "none" (nothing has been written), "io_uring" or "pwritev2".
  std::string mode = "none";
  /// What the system refused to the keeper's process, if that makes the journal slower; else empty.
  std::string note;
  /// The files in use, and their bytes on the disk.
  std::uint32_t segments = 0;
  std::uint64_t bytes = 0;
  std::uint64_t limit = 0;
  /// The age of the oldest change that is not durable; zero when all are.
  std::chrono::microseconds durable_lag{0};
  /// The average since the journal was opened.
  std::uint64_t bytes_per_s = 0;
  /// Since the engine's shared memory was made.
  std::uint64_t bytes_written = 0;
  std::uint64_t records_written = 0;
  /// How often a flush found nothing to write for a cell, because its job came and ended between two flushes. Each may
  /// stand for several jobs that followed each other in one cell.
  std::uint64_t jobs_elided = 0;
  /// Empty while the journal works.
  std::string last_error;
};

/// Results, histories and values that are kept, as they were counted in one pass.
struct ResultsStatus {
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
  /// Values (<ringmill/values.h>); part of `count` and of `bytes`.
  std::uint64_t values = 0;
  /// The most that are kept; 0: only the room bounds them.
  std::uint64_t limit = 0;
  /// Those that went before their time, since the engine's shared memory was made.
  std::uint64_t evicted = 0;
};

struct EngineStatus {
  std::string engine_id;
  std::string path;
  std::uint32_t layout_version = 0;
  /// Jobs of any level that there is room for. What is kept for single levels and for running handlers is beside it, so
  /// cells_used can be more.
  std::uint32_t capacity = 0;
  std::uint32_t cell_size = 0;
  std::uint32_t max_payload = 0;
  std::chrono::system_clock::time_point created_at{};
  std::vector<LevelStatus> levels;
  /// Kinds that are paused or limited.
  std::vector<KindStatus> kinds;
  /// Non-zero counts only, unordered.
  std::vector<JobsLeft> left;
  Totals totals;
  std::vector<ParticipantStatus> participants;
  int keeper_pid = 0;
  bool keeper_alive = false;
  std::chrono::system_clock::time_point keeper_since{};
  /// Empty while the keeper works, or if none lives; else for how long it has stood still, and why: it is stopped,
  /// frozen, waits for the disk. Nothing becomes durable then, and nothing is handed over.
  std::string keeper_trouble;
  std::uint64_t memory_bytes = 0;
  /// Of the capacity.
  std::uint64_t cells_free = 0;
  std::uint64_t cells_used = 0;
  /// The bytes of shared memory for payloads that do not fit a cell, and how many of them jobs have.
  std::uint64_t arena_bytes = 0;
  std::uint64_t arena_used = 0;
  ResultsStatus results;
  JournalStatus journal;
  /// The segment's file was unlinked under the running engine: new processes cannot join it.
  bool unlinked = false;
};

}  // namespace ringmill
