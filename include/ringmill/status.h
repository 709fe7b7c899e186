// What an engine looks like from outside, as `ringmill status` prints it.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace ringmill {

struct LevelStatus {
  std::string name;
  std::uint32_t weight = 0;
  std::uint64_t queued = 0;
  std::uint64_t delayed = 0;
  std::uint64_t blocked = 0;
  std::uint64_t running = 0;
  std::uint64_t completed = 0;
  bool paused = false;
};

struct ParticipantStatus {
  int number = 0;
  int pid = 0;
  std::string role;
  bool alive = false;
  std::uint64_t running = 0;
};

/// Sums over the engine's life, statistics only: each participant counts for itself, so a reader may be a few jobs
/// behind.
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

struct EngineStatus {
  std::string engine_id;
  std::string path;
  std::uint32_t layout_version = 0;
  std::uint32_t capacity = 0;
  std::uint32_t cell_size = 0;
  std::chrono::system_clock::time_point created_at{};
  std::vector<LevelStatus> levels;
  Totals totals;
  std::vector<ParticipantStatus> participants;
  int keeper_pid = 0;
  bool keeper_alive = false;
  std::chrono::system_clock::time_point keeper_since{};
  std::uint64_t memory_bytes = 0;
  std::uint64_t cells_free = 0;
  std::uint64_t cells_used = 0;
  /// The segment's file was unlinked under the running engine: new processes cannot join it.
  bool unlinked = false;
};

}  // namespace ringmill
