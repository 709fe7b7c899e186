#include "server/sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "core/base/durations.h"

namespace ringmill {

namespace {

constexpr int waiting_connections = 64;
constexpr std::size_t least_token = 16;
constexpr std::size_t most_token = 256;

Error refused(const char* what, const std::string& detail) { return Error(ErrorCode::invalid_argument, what, detail); }

/// True if a process accepts connections there.
bool is_served(const sockaddr_un& address) {
  const File probe = File::above_standard(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return false;
  const int result = ::connect(probe.descriptor(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  return result == 0 || errno == EAGAIN || errno == EINPROGRESS;
}

Result<std::string> new_token() {
  std::array<unsigned char, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    return std::unexpected(system_error("cannot get randomness for", "a token"));
  }
  constexpr std::string_view digits = "0123456789abcdef";
  std::string token;
  for (const unsigned char byte : bytes) {
    token += digits[byte >> 4];
    token += digits[byte & 0xf];
  }
  return token;
}

}  // namespace

Result<ListenAddress> ListenAddress::parse(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) return std::unexpected(refused("an address is HOST:PORT", text));
  ListenAddress address{.host = text.substr(0, colon), .port = text.substr(colon + 1)};
  if (address.host.starts_with('[') && address.host.ends_with(']')) {
    address.host = address.host.substr(1, address.host.size() - 2);
  }
  if (address.host == "localhost") address.host = "127.0.0.1";
  const auto port = parse_number(address.port);
  if (!port || *port > 65535) return std::unexpected(refused("a port is 0 to 65535", text));
  in_addr v4{};
  in6_addr v6{};
  if (::inet_pton(AF_INET, address.host.c_str(), &v4) == 1) {
    address.is_loopback = (ntohl(v4.s_addr) >> 24) == 127;
  } else if (::inet_pton(AF_INET6, address.host.c_str(), &v6) == 1) {
    address.is_loopback = IN6_IS_ADDR_LOOPBACK(&v6);
  } else {
    return std::unexpected(refused("a host is an IP address, or localhost", text));
  }
  return address;
}

Result<File> listen_in(const Directory& folder, const std::string& name) {
  const auto path = folder.lasting_path();  // short enough for a socket's address, whatever the directory's path is
  if (!path) return std::unexpected(path.error());
  const std::string place = (*path / name).string();
  const std::filesystem::path shown_path = folder.path_of(name);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (place.size() >= sizeof address.sun_path) return std::unexpected(refused("too long for a socket", place));
  std::memcpy(address.sun_path, place.c_str(), place.size() + 1);
  if (is_served(address)) {
    return std::unexpected(Error(ErrorCode::busy, "another process serves this engine", shown_path.string()));
  }
  const auto left = folder.look(name);
  if (!left) return std::unexpected(left.error());
  if (*left) {
    if (!S_ISSOCK((*left)->st_mode)) {
      return std::unexpected(
          Error(ErrorCode::already_exists, "something else has the socket's name", shown_path.string()));
    }
    if (auto removed = folder.remove_if_there(name); !removed) return std::unexpected(removed.error());
  }
  File socket = File::above_standard(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return std::unexpected(system_error("socket", shown_path));
  // Its rights are never wider than the directory's: those before bind() are those of the name that it makes, less the
  // umask. Nothing listens before they are right.
  const mode_t rights = folder.mode() & 0666;
  if (::fchmod(socket.descriptor(), rights) != 0) return std::unexpected(system_error("fchmod", shown_path));
  if (::bind(socket.descriptor(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return std::unexpected(system_error("bind", shown_path));
  }
  if (::fchmodat(folder.descriptor(), name.c_str(), rights, 0) != 0) {
    return std::unexpected(system_error("chmod", shown_path));
  }
  if (::listen(socket.descriptor(), waiting_connections) != 0)
    return std::unexpected(system_error("listen", shown_path));
  return socket;
}

Result<File> listen_on(ListenAddress& address) {
  const std::filesystem::path shown_path = address.url_host() + ":" + address.port;
  const auto port = static_cast<std::uint16_t>(parse_number(address.port).value_or(0));
  sockaddr_storage place{};
  socklen_t length = 0;
  if (auto& v4 = reinterpret_cast<sockaddr_in&>(place); ::inet_pton(AF_INET, address.host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    length = sizeof v4;
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(place);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    ::inet_pton(AF_INET6, address.host.c_str(), &v6.sin6_addr);
    length = sizeof v6;
  }
  File socket = File::above_standard(::socket(place.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return std::unexpected(system_error("socket", shown_path));
  const int yes = 1;
  ::setsockopt(socket.descriptor(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (::bind(socket.descriptor(), reinterpret_cast<const sockaddr*>(&place), length) != 0 ||
      ::listen(socket.descriptor(), waiting_connections) != 0 ||
      ::getsockname(socket.descriptor(), reinterpret_cast<sockaddr*>(&place), &length) != 0) {
    return std::unexpected(system_error("cannot listen on", shown_path));
  }
  const std::uint16_t chosen = place.ss_family == AF_INET ? reinterpret_cast<const sockaddr_in&>(place).sin_port
                                                          : reinterpret_cast<const sockaddr_in6&>(place).sin6_port;
  address.port = std::to_string(ntohs(chosen));
  return socket;
}

Result<std::string> token_of(const std::filesystem::path& path) {
  const auto folder = Directory::open(path.has_parent_path() ? path.parent_path() : ".", Directory::Links::followed);
  if (!folder) return std::unexpected(folder.error());
  const std::string name = path.filename().string();
  const auto facts = folder->look(name);
  if (!facts) return std::unexpected(facts.error());
  if (!*facts) {
    auto token = new_token();
    if (!token) return token;
    const auto file = folder->make_file(name, 0600);
    if (!file) return std::unexpected(file.error());
    if (auto written = write_all(*file, *token + "\n", path); !written) return std::unexpected(written.error());
    return token;
  }
  if (((*facts)->st_mode & 077) != 0) {
    return std::unexpected(
        Error(ErrorCode::permission_denied, "others may read the token file", path.string() + "; chmod it to 0600"));
  }
  auto token = folder->read_small_file(name, Directory::Owners::alone, most_token);
  if (!token) return token;
  while (!token->empty() && (token->back() == '\n' || token->back() == '\r')) token->pop_back();
  const bool is_plain = std::ranges::all_of(*token, [](char c) { return c > ' ' && c <= '~'; });
  if (token->size() < least_token || !is_plain) {
    return std::unexpected(
        Error(ErrorCode::invalid_argument, "a token has 16 to 255 printable characters without blanks", path.string()));
  }
  return token;
}

}  // namespace ringmill
