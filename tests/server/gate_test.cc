// Which requests `ringmill serve` lets in: the matrix of Host, Origin, token and method.
#include "server/gate.h"

#include <gtest/gtest.h>

namespace ringmill::test {
namespace {

constexpr const char* secret = "0123456789abcdef0123456789abcdef";

Gate tcp_gate(bool allows_actions) {
  return {.is_tcp = true,
          .allows_actions = allows_actions,
          .hosts = {"127.0.0.1", "localhost", "[::1]"},
          .port = "8787",
          .token = secret};
}

HttpRequest asked(const char* method, const char* path, const char* host, const char* origin, const char* token) {
  HttpRequest request;
  request.method = method;
  request.path = path;
  request.host = host;
  request.origin = origin;
  request.content_type = "application/json";
  if (*token != '\0') request.authorization = std::string("Bearer ") + token;
  return request;
}

unsigned status_of(const Gate& gate, const HttpRequest& request) {
  const auto answer = refusal(gate, request);
  return answer ? answer->status : 200;
}

TEST(GateInProcess, over_tcp_host_origin_token_and_method_all_have_to_be_right) {
  struct Host {
    const char* text;
    bool is_ours;
  };
  struct Token {
    const char* text;
    bool is_right;
  };
  const Host hosts[] = {{"127.0.0.1:8787", true},  {"localhost:8787", true},      {"LOCALHOST:8787", true},
                        {"[::1]:8787", true},      {"localhost", true},           {"", false},
                        {"evil.example", false},   {"evil.example:8787", false},  {"localhost:9999", false},
                        {"localhost.evil", false}, {"127.0.0.1.evil:8787", false}};
  const Host origins[] = {{"", true},
                          {"http://localhost:8787", true},
                          {"http://127.0.0.1:8787", true},
                          {"https://localhost:8787", false},
                          {"http://evil.example", false},
                          {"null", false},
                          {"http://localhost:8788", false}};
  const Token tokens[] = {{"", false},
                          {secret, true},
                          {"0123456789abcdef0123456789abcdee", false},
                          {"0123456789abcdef", false},
                          {"0123456789abcdef0123456789abcdef0", false}};
  int let_in = 0;
  for (const bool acts : {false, true}) {
    for (const char* method : {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"}) {
      for (const Host& host : hosts) {
        for (const Host& origin : origins) {
          for (const Token& token : tokens) {
            const std::string verb = method;
            const bool reads = verb == "GET" || verb == "HEAD";
            const bool is_known = reads || verb == "POST";
            const unsigned expected = !is_known                          ? 405
                                      : !host.is_ours || !origin.is_ours ? 403
                                      : !token.is_right                  ? 401
                                      : reads || acts                    ? 200
                                                                         : 403;
            const auto request = asked(method, "/api/v1/look", host.text, origin.text, token.text);
            EXPECT_EQ(status_of(tcp_gate(acts), request), expected)
                << method << " host " << host.text << " origin " << origin.text << " token " << token.text;
            let_in += expected == 200;
          }
        }
      }
    }
  }
  EXPECT_EQ(let_in, 5 * 3 * (2 + 3));
}

TEST(GateInProcess, only_what_is_the_same_for_every_engine_needs_no_token) {
  const Gate gate = tcp_gate(false);
  for (const char* path :
       {"/", "/app.js", "/elements.js", "/graph.js", "/plot.js", "/style.css", "/healthz", "/api/v1/openapi.json"}) {
    EXPECT_EQ(status_of(gate, asked("GET", path, "localhost:8787", "", "")), 200U) << path;
    EXPECT_EQ(status_of(gate, asked("GET", path, "evil.example", "", "")), 403U) << path;
    EXPECT_EQ(status_of(tcp_gate(true), asked("POST", path, "localhost:8787", "", "")), 401U) << path;
  }
  for (const char* path : {"/metrics", "/api/v1/look", "/api/v1/jobs", "//", "/healthz/", "/APP.js", "/api/v1/dead"}) {
    EXPECT_EQ(status_of(gate, asked("GET", path, "localhost:8787", "", "")), 401U) << path;
  }
}

TEST(GateInProcess, a_post_without_a_json_content_type_is_refused) {
  for (const char* type : {"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"}) {
    auto request = asked("POST", "/api/v1/dead/retry", "localhost:8787", "", secret);
    request.content_type = type;
    EXPECT_EQ(status_of(tcp_gate(true), request), 415U) << type;
  }
  auto request = asked("POST", "/api/v1/dead/retry", "localhost:8787", "", secret);
  request.content_type = "Application/JSON; charset=utf-8";
  EXPECT_EQ(status_of(tcp_gate(true), request), 200U);
}

TEST(GateInProcess, on_the_unix_socket_its_mode_decides_and_no_page_is_let_in) {
  Gate gate;
  EXPECT_EQ(status_of(gate, asked("GET", "/metrics", "engine", "", "")), 200U);
  EXPECT_EQ(status_of(gate, asked("GET", "/metrics", "engine", "http://localhost", "")), 403U);
  EXPECT_EQ(status_of(gate, asked("POST", "/api/v1/dead/purge", "engine", "", "")), 403U);
  gate.allows_actions = true;
  EXPECT_EQ(status_of(gate, asked("POST", "/api/v1/dead/purge", "engine", "", "")), 200U);
}

TEST(GateInProcess, a_server_without_a_token_lets_nothing_in_over_tcp) {
  Gate gate = tcp_gate(true);
  gate.token.clear();
  EXPECT_EQ(status_of(gate, asked("GET", "/metrics", "localhost:8787", "", "")), 401U);
  auto request = asked("GET", "/metrics", "localhost:8787", "", "");
  request.authorization = "Bearer ";
  EXPECT_EQ(status_of(gate, request), 401U);
}

TEST(GateInProcess, secrets_are_compared_whole) {
  EXPECT_TRUE(is_equal_secret("abc", "abc"));
  for (const char* other : {"", "ab", "abcd", "abd", "Abc", "abcabc"}) EXPECT_FALSE(is_equal_secret(other, "abc"));
  EXPECT_FALSE(is_equal_secret("abc", ""));
}

}  // namespace
}  // namespace ringmill::test
