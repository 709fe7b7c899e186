// Bytes on a connection of the real listener: broken, cut, pipelined, chunked, with huge headers and bodies, in pieces.
// It answers or closes, hands no request on that is beyond its limits, and serves the next one.
#include "server/http.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/action_request.h"
#include "server/api_text.h"
#include "server/gate.h"
#include "tests/fuzz/fuzz.h"

namespace ringmill::test {
namespace {

constexpr int patience_ms = 9'000;

/// What a handler of ours gives, with all that came of a request in it.
HttpAnswer answer_to(const HttpRequest& request) {
  check(request.body.size() <= most_body_bytes, "a body beyond the limit");
  check(request.path.size() + request.authorization.size() + request.content_type.size() <= most_header_bytes,
        "headers beyond the limit");
  Gate gate;
  gate.allows_actions = true;
  if (auto refused = refusal(gate, request)) return *std::move(refused);
  if (request.method == "POST") {
    const auto asked = action_asked_by(request);
    if (!asked) return error_answer(asked.error());
  }
  nlohmann::ordered_json json{{"path", request.path}, {"peer", request.peer}, {"body", request.body}};
  for (const auto& [name, value] : request.query) json["query"][name] = value;
  return json_answer(json);
}

File socket_of_ours() { return File(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

/// A name that no file has: the kernel frees it with the process.
sockaddr_un address_of_ours() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "ringmill-fuzz-%d", static_cast<int>(::getpid()));
  return address;
}

void listen_once() {
  static const std::unique_ptr<HttpListener> listener = [] {
    File socket = socket_of_ours();
    const sockaddr_un address = address_of_ours();
    check(::bind(socket.descriptor(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0, "bind");
    check(::listen(socket.descriptor(), 16) == 0, "listen");
    auto started = HttpListener::start(std::move(socket), true, &answer_to);
    check(started.has_value(), "the listener does not start");
    return *std::move(started);
  }();
}

File connected() {
  File socket = socket_of_ours();
  const sockaddr_un address = address_of_ours();
  check(::connect(socket.descriptor(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0, "connect");
  return socket;
}

/// Sends what the server takes: it may close before the end.
void send_all(const File& socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket.descriptor(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

/// What has come, without a wait: an unfinished request is answered by nothing until its time is up.
std::string read_what_came(const File& socket) {
  std::string text;
  char part[16 * 1024];
  ssize_t count = 0;
  while ((count = ::recv(socket.descriptor(), part, sizeof part, MSG_DONTWAIT)) > 0) {
    text.append(part, static_cast<std::size_t>(count));
  }
  return text;
}

std::string read_to_the_end(const File& socket) {
  std::string text;
  char part[16 * 1024];
  while (true) {
    pollfd ready{.fd = socket.descriptor(), .events = POLLIN, .revents = 0};
    check(::poll(&ready, 1, patience_ms) == 1, "the server neither answers nor closes");
    const ssize_t count = ::recv(socket.descriptor(), part, sizeof part, 0);
    if (count <= 0) return text;
    text.append(part, static_cast<std::size_t>(count));
  }
}

std::string chunked(Input& input) {
  std::string body;
  while (!input.is_empty()) {
    const std::string part = input.take_text(1U + input.take<std::uint8_t>());
    char size[16];
    std::snprintf(size, sizeof size, "%zx\r\n", part.size());
    body += size + part + "\r\n";
  }
  return body + "0\r\n\r\n";
}

/// A request that is framed as it should be, around hostile contents.
std::string framed(Input& input, std::uint8_t flags) {
  std::string head = "POST /api/v1/" + input.take_text(flags % 32U) + " HTTP/1.1\r\nHost: localhost\r\n";
  if ((flags & 32U) != 0) {
    const std::string name = input.take_text(4);
    const std::string value = input.take_text(16);
    const std::size_t times = input.take<std::uint16_t>() % 3'000U;
    for (std::size_t n = 0; n < times; ++n) head += "X-" + name + ": " + value + "\r\n";
  }
  head += "Content-Type: application/json\r\n";
  if ((flags & 64U) != 0) return head + "Transfer-Encoding: chunked\r\n\r\n" + chunked(input);
  std::string body = input.rest();
  if ((flags & 128U) != 0) body.resize(body.size() * 40, '[');
  return head + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

/// Its thread has seen by then what came before.
void check_it_serves() {
  const File socket = connected();
  send_all(socket, "GET /x?y=z HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  const std::string reply = read_to_the_end(socket);
  check(reply.starts_with("HTTP/1.1 200 "), "the next request is not served");
  check(reply.find("Content-Security-Policy: default-src 'none'") != std::string::npos, "an answer without its policy");
}

}  // namespace

void run(Input input) {
  listen_once();
  const auto how = input.take<std::uint8_t>();
  const auto cut = input.take<std::uint16_t>();
  std::string bytes = (how & 1U) != 0 ? framed(input, input.take<std::uint8_t>()) : input.rest();
  if ((how & 2U) != 0) bytes += bytes;  // pipelined
  if ((how & 4U) != 0) bytes.resize(std::min<std::size_t>(bytes.size(), cut));
  const File hostile = connected();
  const std::size_t first = (how & 8U) != 0 ? std::min<std::size_t>(bytes.size(), cut) : bytes.size();
  send_all(hostile, std::string_view(bytes).substr(0, first));
  if (first != bytes.size()) check_it_serves();  // a part is taken by itself
  send_all(hostile, std::string_view(bytes).substr(first));
  check_it_serves();
  const std::string reply = read_what_came(hostile);
  check(reply.empty() || reply.starts_with("HTTP/1."), "an answer that is none of HTTP");
}

}  // namespace ringmill::test
