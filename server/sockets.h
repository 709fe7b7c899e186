// The sockets and the token of `ringmill serve`.
#pragma once

#include <filesystem>
#include <string>

#include <ringmill/error.h>

#include "ipc/directory.h"
#include "ipc/file.h"

namespace ringmill {

/// ADDRESS:PORT, as 127.0.0.1:8787, [::1]:8787 or localhost:8787. Port 0: the system chooses.
struct ListenAddress {
  std::string host;  // an address, IPv6 without brackets
  std::string port;
  bool is_loopback = false;

  static Result<ListenAddress> parse(const std::string& text);
  /// The host as it stands in a URL.
  std::string url_host() const { return host.find(':') != std::string::npos ? "[" + host + "]" : host; }
};

/// Listens on `name` in the engine's directory, with the directory's rights. A socket that a dead server has left is
/// replaced. Error busy: another process serves there.
Result<File> listen_in(const Directory& folder, const std::string& name);

/// Listens on TCP; a port of 0 is replaced by the one that the system chose.
Result<File> listen_on(ListenAddress& address);

/// Reads the token of a file, or makes the file with mode 0600 and a random token of 128 bits. Error permission_denied:
/// others than its owner may read it.
Result<std::string> token_of(const std::filesystem::path& file);

}  // namespace ringmill
