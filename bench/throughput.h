// How fast things get from producer processes to worker processes: counted over a window in the middle of the run, so
// that starting, warming up and ending are outside.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <string>
#include <vector>

namespace ringmill::bench {

class ProcessGroup;

inline constexpr std::size_t most_processes_of_a_role = 8;

/// Written by one process, read by the bench now and then. It has a line pair of its own, so counting slows no other
/// word down.
struct alignas(128) Count {
  std::atomic<std::uint64_t> value{0};

  void add(std::uint64_t amount) noexcept {
    // One writer: no read-modify-write is needed.
    value.store(value.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  std::uint64_t read() const noexcept { return value.load(std::memory_order_relaxed); }
};

/// Shared by the processes of one run.
struct RunControl {
  alignas(128) std::atomic<std::uint32_t> ready{0};
  alignas(128) std::atomic<bool> go{false};
  alignas(128) std::atomic<bool> stop{false};
  std::array<Count, most_processes_of_a_role> produced{};
  std::array<Count, most_processes_of_a_role> done{};

  /// Called by each process when it could begin: returns when all can.
  void start_together() noexcept;
  /// Called by the bench: returns when so many processes could begin, or says that one has ended, or hangs.
  std::expected<void, std::string> await_ready(ProcessGroup& processes, std::size_t count) const;
  bool stopping() const noexcept { return stop.load(std::memory_order_relaxed); }
};

/// Body of one process: calls start_together(), then works until stopping(), counting in produced[index] or
/// done[index]. False: it failed and has said why.
using Body = std::function<bool(RunControl& control, std::size_t index)>;

enum class Ending {
  ask,   // bodies look at stopping()
  kill,  // bodies block in calls that nothing can end
};

struct ThroughputPlan {
  Body producer{};
  Body worker{};
  std::size_t producers = 1;
  std::size_t workers = 1;
  Ending ending = Ending::ask;
  std::chrono::milliseconds warm_up;
  std::chrono::milliseconds window;
  /// Runs in the bench's own process once all processes are forked, before they go: opens the keeper, fills the table.
  std::function<std::expected<void, std::string>()> prepare = [] { return std::expected<void, std::string>{}; };
};

struct Throughput {
  std::chrono::nanoseconds window;
  double per_second;
};

/// One producer and one worker are pinned to two CPUs; more are placed by the scheduler.
std::expected<Throughput, std::string> measure_throughput(const ThroughputPlan& plan);

}  // namespace ringmill::bench
