// Waiting for a job's end, and telling of it: `ringmill wait` and `ringmill enqueue --wait`.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include <ringmill/engine.h>

namespace ringmill::cli {

/// Prints the result of a job that was completed as it is, byte for byte. Else one line on standard error says what
/// became of it, and the exit code is exit_no: it is dead, cancelled, or not over in time. Of a job that is over, of
/// which nothing was kept, and that has no dead letter, nothing is printed, and the exit code is exit_done.
int wait_and_tell(std::string_view command, const Engine& engine, JobId id,
                  std::optional<std::chrono::nanoseconds> timeout);

}  // namespace ringmill::cli
