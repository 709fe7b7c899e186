// One clock for all processes of a run.
#pragma once

#include <time.h>

#include <chrono>
#include <cstdint>

#include "ipc/pause.h"

namespace ringmill::bench {

/// CLOCK_MONOTONIC is the same in every process, unlike a stopwatch started by each. A reading costs 20 to 30 ns
/// (vDSO, TSC), which the latency figures include once.
inline std::uint64_t now_ns() noexcept {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(time.tv_nsec);
}

/// Lets the core's other work go first while a loop waits for another process.
inline void relax() noexcept { pause_while_spinning(); }

}  // namespace ringmill::bench
