// One run of the demo: starts producers and workers, shows progress, kills a worker in the middle, waits for the end.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "tools/demo_program/files.h"

namespace ringmill::demo {

inline constexpr int producers = 2;
inline constexpr int workers = 3;
/// This one is killed.
inline constexpr int victim = 0;

struct RunResult {
  std::chrono::duration<double> seconds{};
  /// Ids of the jobs that the victim held when it was killed. Empty: the run was over before.
  std::vector<std::string> held_by_victim;
  /// From SIGKILL to the moment at which it held none of them any more.
  std::chrono::duration<double, std::milli> taken_back_after{};
  bool killed = false;
};

/// Makes the engine in `folder` and runs all jobs. Throws std::runtime_error when something fails, or the user ends it.
RunResult run_jobs(const std::string& program, const RunFolder& folder, const Listing& listing);

}  // namespace ringmill::demo
