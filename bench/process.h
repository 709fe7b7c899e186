// The processes of one run: forked, pinned, watched and reaped.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <vector>

namespace ringmill::bench {

/// The CPUs that this process may use, ascending.
std::vector<int> allowed_cpus();

/// Children that do not outlive the group, nor the process that made it. Fork only while no other thread runs: open
/// an engine with a keeper after start().
class ProcessGroup {
 public:
  ProcessGroup() = default;
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  /// Runs `body` in a new process; what it returns is the exit code. `cpu_slot` counts in allowed_cpus(),
  /// round-robin; without it the scheduler places the process.
  void start(const std::function<int()>& body, std::optional<std::size_t> cpu_slot = std::nullopt);

  /// False once one of them has ended.
  bool all_run();

  /// Waits until all have ended. False when one of them ended badly, or did not end in time and was killed.
  bool join(std::chrono::milliseconds patience);

  void kill_all();

 private:
  struct Child {
    pid_t id;
    bool ended;
    bool well;
  };
  void look(Child& child, bool block);

  std::vector<Child> children_;
};

/// Polls without using the CPU that the measured processes need. False when `patience` is over.
bool wait_until(const std::function<bool()>& condition, std::chrono::milliseconds patience,
                std::chrono::microseconds pause = std::chrono::microseconds{200});

}  // namespace ringmill::bench
