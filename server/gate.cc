#include "server/gate.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace ringmill {

namespace {

constexpr std::array<std::string_view, 8> open_paths{"/",        "/app.js",    "/elements.js", "/graph.js",
                                                     "/plot.js", "/style.css", "/healthz",     "/api/v1/openapi.json"};

HttpAnswer refused(unsigned status, std::string_view why) {
  return {.status = status, .body = R"({"error":")" + std::string(why) + "\"}\n"};
}

std::string in_lower_case(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

/// `host` is NAME, or NAME:PORT; an IPv6 address stands in brackets.
bool is_our_host(const Gate& gate, std::string_view host) {
  const std::string lower = in_lower_case(host);
  return std::ranges::any_of(gate.hosts,
                             [&](const std::string& name) { return lower == name || lower == name + ":" + gate.port; });
}

bool is_our_origin(const Gate& gate, std::string_view origin) {
  constexpr std::string_view scheme = "http://";
  return origin.starts_with(scheme) && is_our_host(gate, origin.substr(scheme.size()));
}

bool has_token(const Gate& gate, std::string_view authorization) {
  constexpr std::string_view scheme = "Bearer ";
  return authorization.starts_with(scheme) && is_equal_secret(authorization.substr(scheme.size()), gate.token);
}

bool is_json(std::string_view content_type) {
  return in_lower_case(content_type.substr(0, content_type.find(';'))) == "application/json";
}

}  // namespace

bool is_open_path(std::string_view path) noexcept { return std::ranges::find(open_paths, path) != open_paths.end(); }

bool is_equal_secret(std::string_view left, std::string_view right) noexcept {
  unsigned difference = left.size() == right.size() ? 0U : 1U;
  for (std::size_t n = 0; n < left.size(); ++n) {
    const char other = right.empty() ? '\0' : right[n % right.size()];
    difference |= static_cast<unsigned char>(left[n]) ^ static_cast<unsigned char>(other);
  }
  return difference == 0;
}

std::optional<HttpAnswer> refusal(const Gate& gate, const HttpRequest& request) {
  const bool reads = request.method == "GET" || request.method == "HEAD";
  if (!reads && request.method != "POST") return refused(405, "GET, HEAD and POST are known");
  if (gate.is_tcp) {
    if (!is_our_host(gate, request.host)) return refused(403, "this Host is not served here");
    if (!request.origin.empty() && !is_our_origin(gate, request.origin)) {
      return refused(403, "pages of another origin may not ask");
    }
    const bool is_open = reads && is_open_path(request.path);
    if (!is_open && (gate.token.empty() || !has_token(gate, request.authorization))) {
      return refused(401, "send the token as Authorization: Bearer");
    }
  } else if (!request.origin.empty()) {
    return refused(403, "no page reaches a Unix socket");
  }
  if (reads) return std::nullopt;
  if (!gate.allows_actions) return refused(403, "started without --allow-actions: it only shows");
  if (!is_json(request.content_type)) return refused(415, "the content type is application/json");
  return std::nullopt;
}

}  // namespace ringmill
