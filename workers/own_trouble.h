// A worker that cannot run jobs for reasons of its own: no descriptors, no processes, no shell, a database that does
// not answer. The job is not to blame: it goes back uncounted. The thread waits before its next claim, longer each
// time, so that a worker without means does not take jobs away from those that have them. When no thread could run
// anything for long enough, the worker ends with an error.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace ringmill {

/// Shared by the threads of one worker.
class OwnTrouble {
 public:
  /// The first wait, and the longest: each is twice as long as the one before.
  static constexpr std::chrono::milliseconds first_wait{100};
  static constexpr std::chrono::milliseconds longest_wait{2000};
  /// A trouble is logged again after this long without it.
  static constexpr std::chrono::minutes quiet_time{10};

  void begin(std::chrono::milliseconds give_up_after);

  /// One load, for each run.
  bool is_there() const noexcept { return is_there_.load(std::memory_order_relaxed); }  // ORDER relaxed: a sign
  /// A job was run, however it ended.
  void note_run() noexcept {
    if (is_there()) [[unlikely]]
      clear();
  }
  /// A run came to nothing. `others_run`: another thread of the worker is running a job. True: the worker gives up.
  bool note(const std::string& reason, std::uint64_t began_ns, std::uint64_t now_ns, bool others_run);
  /// Another thread's run that has lasted for so long is one that goes well.
  std::uint64_t sound_after_ns() const noexcept;

  static std::chrono::milliseconds wait_after(std::uint32_t failures_in_a_row) noexcept;

 private:
  void clear() noexcept;
  /// Whether the log has not said this yet.
  bool is_new(const std::string& reason, std::uint64_t now_ns);

  std::atomic<bool> is_there_{false};
  std::mutex mutex_;  // of what follows
  std::chrono::milliseconds give_up_after_{};
  std::uint64_t since_ns_ = 0;
  std::uint64_t last_ns_ = 0;
  std::atomic<std::uint64_t> longest_run_ns_{0};
  std::vector<std::string> said_;
};

}  // namespace ringmill
