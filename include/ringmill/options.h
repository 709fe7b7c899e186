// How engines and levels are made, and how an engine is opened.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <ringmill/flow_control.h>

namespace ringmill {

/// Room that is kept for the jobs of one level, beside CreateOptions::capacity.
struct LevelReserve {
  /// One of CreateOptions::levels; "*": all dynamic levels, which share it.
  std::string level;
  /// So many jobs, rounded up to a multiple of 64.
  std::uint32_t jobs = 0;
};

/// The limits of one level.
struct LevelLimit {
  /// One of CreateOptions::levels.
  std::string level;
  LevelLimits limits;
};

/// How to make an engine. Everything is fixed at creation but limits; levels can be added later.
struct CreateOptions {
  /// The fixed levels, the most urgent first: 1 to 16 names of 1 to 63 characters of [A-Za-z0-9._:/-].
  std::vector<std::string> levels{"high", "default", "low"};
  /// One weight per level, 1 to 1000: its share under Policy::weighted. Empty: 6, 3, 1 for three levels, else all 1.
  std::vector<std::uint32_t> weights{};
  /// How many jobs there is room for at most, whichever levels they are of; 64 to 16 Mi, rounded up to a multiple of
  /// 64. What is kept comes on top of it. Memory is taken as jobs come, in chunks of 256 KiB, and given back when they
  /// have gone. 0: 4 Mi, or what a quarter of the tmpfs `shm_dir` holds, if that is less.
  std::uint32_t capacity = 0;
  /// For so long the memory of free cells is kept before it is given back: 0 to ten years.
  std::chrono::milliseconds keep_memory{10'000};
  /// What is kept for the jobs of single levels, so that a backlog of one level shuts no other out. Nothing: a
  /// twentieth of the capacity for each level but the last, and for the dynamic levels together. With it the engine
  /// keeps room for the follow-ups of running handlers, a sixty-fourth of the capacity (64 to 1024 jobs): handlers that
  /// enqueue cannot fill it up against each other. An empty list keeps neither, nor does a capacity above 14 Mi.
  std::optional<std::vector<LevelReserve>> reserve{};
  /// The most jobs that single levels may hold; Engine::limit() changes it. Follow-ups are never refused for it.
  std::vector<LevelLimit> level_limits{};
  /// The most results and histories that are kept at a time (JobOptions::keep_result): when there are more, the oldest
  /// go before their time. They go, too, where a job needs their room; EngineStatus::results says how many went.
  /// Nothing: half of the capacity. 0: only the room bounds them.
  std::optional<std::uint32_t> results{};
  /// Bytes of one cell: a power of two, 128 to 65536. It holds a payload of up to cell_size - 64 bytes (48 less with
  /// some of JobOptions); longer ones go to the arena.
  std::uint32_t cell_size = 256;
  /// The longest payload, at most 64 MiB. 0: 1 MiB. If it fits a cell, the engine has no arena.
  std::uint32_t max_payload = 0;
  /// Bytes of shared memory for payloads that do not fit a cell, rounded up to whole chunks: each takes max_payload,
  /// rounded up to a power of two. At least four chunks. Memory is taken as they come, a chunk at a time. 0: 1 GiB, or
  /// an eighth of the tmpfs, or four chunks if that is more. If `journal_limit` is given and too small for that, the
  /// defaults of `arena` and `max_payload` shrink.
  std::uint64_t arena = 0;
  /// Which users may use the engine, as of chmod. Applies to the directory and, without the x bits, to its files and
  /// segment.
  std::uint32_t mode = 0700;
  /// A tmpfs for the segment.
  std::filesystem::path shm_dir = "/dev/shm";
  /// The default lease: how long a worker may hold a job that sets none. At most 24 days.
  std::chrono::milliseconds lease{std::chrono::minutes{5}};
  /// The most bytes that the journal's files take on the disk; they are created as needed. It must be at least 2.5
  /// times a full engine (records of the longest payload and the arena included) and 4 MiB. 0: three times a full
  /// engine, at least 64 MiB.
  std::uint64_t journal_limit = 0;
  /// The ring slots that all dynamic levels share, 8 bytes each: 16 Ki to 64 Mi. 0: 64 Ki.
  std::uint64_t level_rings = 0;
};

/// How to make a dynamic level.
struct LevelOptions {
  /// As CreateOptions::weights.
  std::uint32_t weight = 1;
  /// The slots of the level's ring: 16 to 65536, rounded up to a power of two. Jobs that do not fit wait in the
  /// keeper's overflow queue, in order; a small ring costs the keeper CPU time. 0: 4096, and less if
  /// CreateOptions::level_rings is nearly used up.
  std::uint32_t ring = 0;
};

struct OpenOptions {
  /// Run the keeper in a thread of this process whenever no other process does. Leave it on, unless `ringmill keeper`
  /// runs as a daemon or the process only reads. A process that may be stopped for long should not keep: see
  /// docs/operations.md, "A keeper that stands still".
  bool embedded_keeper = true;
  /// This process does nothing but keep, as `ringmill keeper` does. A keeper embedded in another process hands over to
  /// it. If it keeps, and is stopped or frozen for 10 s, a process that stands by kills it (SIGKILL) and keeps instead.
  /// Has no effect without `embedded_keeper`.
  bool dedicated_keeper = false;
  /// Leave the segment in core dumps. A dump of a large mapping delays every sign of this process's death by as long as
  /// it takes.
  bool dump_segment = false;
};

}  // namespace ringmill
