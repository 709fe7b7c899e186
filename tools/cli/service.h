// What a service manager (systemd) hands a process, and is told by it: sd_notify(3) and sd_listen_fds(3), of which
// ringmill needs a datagram and a number, not the library.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>
#include <vector>

#include "ipc/file.h"

namespace ringmill::cli {

/// Says how the service is: "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=...". Without a manager that asked for it
/// nothing happens.
void tell_manager(std::string_view state) noexcept;

/// How often the manager wants to hear WATCHDOG=1 at least; nothing: it does not wait for that.
std::optional<std::chrono::microseconds> watchdog_interval() noexcept;

/// The sockets that the manager listens on for this process; none: it does not. Once: the environment is cleared.
std::vector<File> inherited_sockets();

}  // namespace ringmill::cli
