// How a process ended, as the kernel tells. Nothing here waits: what the kernel cannot tell at that moment is unknown.
//
// A killed process is told apart for as long as its parent has not reaped it, by /proc/PID/stat, where the kernel shows
// the exit code from the moment at which the process begins to end. After it was reaped, a pidfd that was opened while
// it lived still tells, on kernels that know PIDFD_INFO_EXIT (6.15).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "ipc/file.h"

namespace ringmill {

/// A thread of a process of this pid namespace. The start time tells a reused pid.
struct ProcessName {
  pid_t process = 0;
  pid_t thread = 0;
  std::uint64_t started_ticks = 0;
};

struct ProcessEnd {
  enum class How : std::uint8_t {
    unknown,       // it is gone, or we may not know
    killed,        // by the signal `number`
    exited,        // with the status `number`
    thread_ended,  // the thread alone: its process goes on
    replaced,      // by exec: the process runs another program
  };
  How how = How::unknown;
  int number = 0;

  bool operator==(const ProcessEnd&) const noexcept = default;
};

/// As wait() tells it.
ProcessEnd process_end_of(int wait_status) noexcept;
/// "process 4711 was killed by signal 9 (SIGKILL)"
std::string sentence_of(const ProcessEnd& end, const ProcessName& who);

/// When this process started, in clock ticks since boot. 0 where it cannot be read.
std::uint64_t own_start_ticks();
/// The inode of the calling process's pid namespace; 0 where it cannot be read.
std::uint64_t own_pid_namespace() noexcept;

/// Returns what /proc tells of a thread that is known to be dead. In the usual case, a kill, it reads one small file.
ProcessEnd end_by_proc(const ProcessName& who);

/// Returns what a pidfd tells of a process that was reaped, by its parent or by the kernel because the parent ignores
/// SIGCHLD. Unknown while it is not reaped, and on kernels before 6.15.
ProcessEnd end_by_descriptor(int process_descriptor) noexcept;
/// Whether this kernel answers end_by_descriptor(). A kernel of 6.13 or 6.14 says yes and tells nothing.
bool descriptors_tell_ends() noexcept;

/// A descriptor of a living process, to ask for its exit code after it was reaped.
class ProcessHandle {
 public:
  /// Returns nothing if the process has ended, if its id was reused, or if this kernel does not report exits.
  static std::optional<ProcessHandle> open(const ProcessName& who);
  /// Unknown until it was reaped.
  ProcessEnd end() const noexcept;

 private:
  explicit ProcessHandle(File file) noexcept : file_(std::move(file)) {}
  File file_;
};

/// The kills for lack of memory that the memory control group of a process counts.
class OutOfMemoryCount {
 public:
  /// Nothing: the process has none that can be read.
  static std::optional<OutOfMemoryCount> of(pid_t process);
  /// `file` has a line "oom_kill N".
  static std::optional<OutOfMemoryCount> in(std::string file);

  /// To be called at regular intervals.
  void look();
  /// Whether it has risen since the look before the last one. Not since the last one: the kernel counts before it
  /// kills, and a look may have come in between.
  bool has_risen() const;

 private:
  explicit OutOfMemoryCount(std::string file) noexcept : file_(std::move(file)) {}
  std::optional<std::uint64_t> read() const;

  std::string file_;
  std::uint64_t before_ = 0;
  std::uint64_t seen_ = 0;
};

}  // namespace ringmill
