// Limits of a kind: how often its jobs may begin, and how many may run at a time.
#pragma once

#include <chrono>
#include <cstdint>

namespace ringmill {

/// So many jobs may begin in each such time. `count` 0: no limit; at most 10^9. `period`: 1 us to 7 days.
struct Rate {
  std::uint32_t count = 0;
  std::chrono::nanoseconds period{std::chrono::seconds{1}};

  bool operator==(const Rate&) const noexcept = default;
};

/// Of one kind, in the whole engine, in all levels and all processes.
struct KindLimits {
  /// Each attempt takes a token. In any span of time tokens for at most burst + span * rate jobs come due; a job never
  /// begins before its token, and may begin later, when no worker is free.
  Rate rate{};
  /// So many may begin at once after a time without any: 1 to 10000.
  std::uint32_t burst = 1;
  /// So many run at a time, over all workers; 0: any number; at most 256. A job that a worker has claimed in advance
  /// counts as one that runs. The place of a worker that dies is free again with the job.
  std::uint32_t concurrency = 0;

  bool operator==(const KindLimits&) const noexcept = default;
};

}  // namespace ringmill
