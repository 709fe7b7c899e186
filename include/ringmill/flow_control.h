// Limits of a kind: how often its jobs may begin, and how many may run at a time.
#pragma once

#include <chrono>
#include <cstdint>

namespace ringmill {

/// `count` jobs may begin in each `period`. `count`: 0 (no limit) to 10^9. `period`: 1 us to 7 days.
struct Rate {
  std::uint32_t count = 0;
  std::chrono::nanoseconds period{std::chrono::seconds{1}};

  bool operator==(const Rate&) const noexcept = default;
};

/// The most jobs that a level holds, in whatever state: those that wait, run, or are kept with their result. One of the
/// two is set, or neither: no bound.
struct LevelLimits {
  /// 0 to 16 Mi jobs.
  std::uint32_t most = 0;
  /// 0 to 100 % of the engine's capacity, rounded up.
  std::uint32_t most_percent = 0;

  bool operator==(const LevelLimits&) const noexcept = default;
};

/// The limits of one kind, over all levels and all processes of the engine.
struct KindLimits {
  /// Each attempt takes a token when it begins, and waits for one. In any span of time at most burst + span * rate
  /// attempts begin, also after a time in which none could. An attempt begins when claim() returns its job.
  Rate rate{};
  /// The size of the token bucket: how many may begin at once after a pause. 1 to 10000.
  std::uint32_t burst = 1;
  /// The most jobs that run at a time, over all workers: 0 (no limit) to 1024. A job that a worker has claimed in
  /// advance counts. When a worker dies, its place is free again with its job.
  std::uint32_t concurrency = 0;

  bool operator==(const KindLimits&) const noexcept = default;
};

}  // namespace ringmill
