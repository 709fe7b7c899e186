// What commands wrote, on our standard output: each result by itself and whole, byte for byte.
#pragma once

#include <cstdint>
#include <mutex>
#include <string_view>

#include "workers/exec_worker.h"

namespace ringmill::cli {

/// All of the text to standard output, waiting for room where that does not block. 0, or the errno of the write that
/// failed: the rest is dropped.
int write_whole(std::string_view text) noexcept;

/// A result that cannot be written is said at once, and the next one is tried: a disk that was full may have room
/// again.
class ResultStream {
 public:
  /// From any thread.
  void write(const ExecResult& result);
  /// `exit_code`, or exit_failed with a line on standard error when not all could be passed on.
  int finish(int exit_code);

 private:
  void say_lost(const ExecResult& result, int error);

  std::mutex mutex_;        // of all that follows
  int last_error_ = 0;      // errno of the last result; 0: it was written
  int first_error_ = 0;     // the first that is not EPIPE: a reader may leave
  std::uint64_t lost_ = 0;  // results
  bool was_cut_ = false;
};

}  // namespace ringmill::cli
