// Exit codes and error lines, the same for all commands.
#pragma once

#include <string>
#include <string_view>

#include <ringmill/error.h>

namespace ringmill::cli {

inline constexpr int exit_done = 0;
inline constexpr int exit_no = 1;      // the answer is no: no such job, check failed, would block
inline constexpr int exit_usage = 2;   // the caller's words are off
inline constexpr int exit_failed = 3;  // the engine or the system failed

/// The exit code for an error of the engine. `not_found` is exit_failed: there is no engine. A command
/// that asks for a job, or names a level, has its own codes.
int exit_code_of(ErrorCode code) noexcept;

/// Prints "ringmill COMMAND: MESSAGE" as one line on standard error; returns `exit_code`.
int fail(std::string_view command, int exit_code, std::string_view message);

inline int fail(std::string_view command, const Error& error) {
  return fail(command, exit_code_of(error.code()), error.message());
}

}  // namespace ringmill::cli
