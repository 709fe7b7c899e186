// Ends what a dead process has left running in a session.
#pragma once

#include <sys/types.h>

#include <string_view>

namespace ringmill {

/// Kills every process of a session (SIGKILL, stopped ones included) until none is left, if the environment that one of
/// them was started with has this entry ("NAME=value"). Session 1: any session that has such a process. Reads /proc;
/// the session is of this pid namespace. Processes of other users are left alone where the kernel says so. Returns how
/// many were killed. What is killed does not run any more when this returns, but for a process that is in a system call
/// that cannot be interrupted.
int end_session(pid_t session, std::string_view environment_entry) noexcept;

}  // namespace ringmill
