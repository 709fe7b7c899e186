// Requests and answers of HTTP/1.1, and the listener that carries them (libmicrohttpd, docs/decisions/0051). One thread
// serves each listener: whatever is asked, an answer takes a bounded number of looks at the engine.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/error.h>

#include "ipc/file.h"

namespace ringmill {

/// What is accepted of one request; what is more gets an error.
inline constexpr std::size_t most_body_bytes = 64 * 1024;
inline constexpr std::size_t most_header_bytes = 32 * 1024;
inline constexpr unsigned most_connections = 64;
inline constexpr unsigned idle_seconds = 10;
/// Streams of events, of all listeners together.
inline constexpr std::size_t most_streams = 16;

/// The header names that are read, in lower case, and the query, percent-decoded.
struct HttpRequest {
  std::string method;
  std::string path;
  std::map<std::string, std::string> query;
  std::string host;
  std::string origin;
  std::string authorization;
  std::string content_type;
  std::string if_none_match;
  std::string body;
  /// For the log: "user 1000, process 33" or an address.
  std::string peer;

  std::string parameter(const std::string& name) const {
    const auto place = query.find(name);
    return place != query.end() ? place->second : std::string();
  }
};

/// Events for one viewer. Any thread may push; the listener's thread sends. A viewer that does not read loses the
/// oldest.
class EventStream {
 public:
  void push(std::shared_ptr<const std::string> event);
  /// Nothing more comes.
  void close();

 private:
  friend class HttpListener;
  static constexpr std::size_t most_waiting = 4;

  std::mutex mutex_;
  std::vector<std::shared_ptr<const std::string>> waiting_;
  std::size_t sent_ = 0;  // bytes of the first one
  bool is_closed_ = false;
  bool is_suspended_ = false;
  std::function<void()> suspend_;
  std::function<void()> resume_;
};

struct HttpAnswer {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body{};
  std::string etag{};
  /// A page, a script or a style: the browser may keep it, and asks whether it still holds.
  bool is_asset = false;
  std::shared_ptr<EventStream> stream{};
};

using HttpHandler = std::function<HttpAnswer(const HttpRequest&)>;

/// A socket that accepts connections, bound and listening.
class HttpListener {
 public:
  /// Takes the socket. `handler` is called on the listener's thread.
  static Result<std::unique_ptr<HttpListener>> start(File socket, bool is_local, HttpHandler handler);
  /// Ends all connections.
  ~HttpListener();
  HttpListener(const HttpListener&) = delete;
  HttpListener& operator=(const HttpListener&) = delete;

 private:
  struct Inside;
  explicit HttpListener(std::unique_ptr<Inside> inside) noexcept;
  std::unique_ptr<Inside> inside_;
};

}  // namespace ringmill
