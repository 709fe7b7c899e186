#include "tools/cli/report.h"

#include <unistd.h>

#include "core/base/shown_text.h"

namespace ringmill::cli {

int exit_code_of(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::would_block:
    case ErrorCode::timed_out:
    case ErrorCode::already_exists:
    case ErrorCode::level_removed:
    case ErrorCode::lease_lost:
    case ErrorCode::not_held:
    case ErrorCode::busy:
      return exit_no;
    case ErrorCode::invalid_argument:
    case ErrorCode::too_large:
      return exit_usage;
    case ErrorCode::not_found:
    case ErrorCode::wrong_thread:
    case ErrorCode::after_fork:
    case ErrorCode::too_many_participants:
    case ErrorCode::permission_denied:
    case ErrorCode::incompatible:
    case ErrorCode::stale:
    case ErrorCode::corrupt:
    case ErrorCode::no_space:
    case ErrorCode::journal_failed:
    case ErrorCode::not_durable:
    case ErrorCode::out_of_memory:
    case ErrorCode::system:
      break;
  }
  return exit_failed;
}

int fail(std::string_view command, int exit_code, std::string_view message) {
  std::string line = "ringmill";
  if (!command.empty()) line.append(" ").append(command);
  line.append(": ").append(shown_line(message)).append("\n");
  // If standard error cannot be written, only the exit code tells of the failure.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
  return exit_code;
}

}  // namespace ringmill::cli
