// Which requests are let in: a pure function of a request and of how the server was started.
//
//   Unix socket   The mode of the engine's directory and of the socket decides. No browser reaches it.
//   TCP           Every local user, and each page in a browser, can reach a port of loopback. So the Host must be one
//                 of ours (a page of another name that leads here, DNS rebinding, is refused), an Origin must be ours
//                 (a page of another site is refused), and all but the page's own files needs the token. It is sent in
//                 a header and never in a cookie: no site can make a browser send it.
//   Actions       POST alone acts. It needs --allow-actions, and a JSON content type.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/http.h"

namespace ringmill {

struct Gate {
  bool is_tcp = false;
  bool allows_actions = false;
  /// Of TCP: names that Host and Origin may have, without the port.
  std::vector<std::string> hosts;
  /// Of TCP.
  std::string port;
  /// Of TCP: what `Authorization: Bearer` must have. Never empty there.
  std::string token;
};

/// Returns true for paths that need no token: what they give is the same for every engine. `/healthz` says up or down.
bool is_open_path(std::string_view path) noexcept;

/// Returns the answer to a request that is not let in; nothing: it is.
std::optional<HttpAnswer> refusal(const Gate& gate, const HttpRequest& request);

/// Compares in a time that does not depend on where they differ.
bool is_equal_secret(std::string_view left, std::string_view right) noexcept;

}  // namespace ringmill
