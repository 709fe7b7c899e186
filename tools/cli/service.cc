#include "tools/cli/service.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

#include "core/base/values.h"

namespace ringmill::cli {

namespace {

constexpr int first_inherited = 3;
constexpr std::uint64_t most_inherited = 16;

/// The number in a variable; nothing: it is none, or not for this process.
std::optional<std::uint64_t> number_in(const char* name, const char* process_name) {
  const char* const text = std::getenv(name);
  if (text == nullptr) return std::nullopt;
  if (const char* const process = std::getenv(process_name); process != nullptr) {
    const auto id = parse_number(process);
    if (!id || *id != static_cast<std::uint64_t>(::getpid())) return std::nullopt;
  }
  return parse_number(text);
}

}  // namespace

void tell_manager(std::string_view state) noexcept {
  const char* const path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  const std::size_t length = path != nullptr ? std::strlen(path) : 0;
  if (length == 0 || length >= sizeof address.sun_path) return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';  // an abstract name
  const File socket = File::above_standard(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return;
  const auto bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  [[maybe_unused]] const ssize_t sent =
      ::sendto(socket.descriptor(), state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
               reinterpret_cast<const sockaddr*>(&address), bytes);
}

std::optional<std::chrono::microseconds> watchdog_interval() noexcept {
  const auto interval = number_in("WATCHDOG_USEC", "WATCHDOG_PID");
  if (!interval || *interval == 0 || *interval > INT64_MAX) return std::nullopt;
  return std::chrono::microseconds(*interval);
}

std::vector<File> inherited_sockets() {
  const auto count = number_in("LISTEN_FDS", "LISTEN_PID");
  std::vector<File> sockets;
  for (int n = 0; count && *count <= most_inherited && n < static_cast<int>(*count); ++n) {
    ::fcntl(first_inherited + n, F_SETFD, FD_CLOEXEC);
    sockets.emplace_back(first_inherited + n);
  }
  for (const char* name : {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}) ::unsetenv(name);
  return sockets;
}

}  // namespace ringmill::cli
