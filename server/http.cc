#include "server/http.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

namespace ringmill {

namespace {

/// `default-src 'none'` and what the page needs: nothing of another host, no inline script or style, no frame.
constexpr const char* content_policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// One request, while its body comes.
struct Exchange {
  HttpRequest request;
  bool is_too_long = false;
  std::shared_ptr<EventStream> stream;
};

std::string header_of(MHD_Connection* connection, const char* name) {
  const char* const value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
  return value != nullptr ? value : "";
}

std::string peer_of(MHD_Connection* connection) {
  const auto* const fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
  if (fd == nullptr) return "unknown";
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getpeername(fd->connect_fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return "unknown";
  if (address.ss_family == AF_UNIX) {
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(fd->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return "unknown";
    return "user " + std::to_string(peer.uid) + ", process " + std::to_string(peer.pid);
  }
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, text, sizeof text);
  } else if (address.ss_family == AF_INET6) {
    ::inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, text, sizeof text);
  }
  return text;
}

MHD_Result take_query(void* to, MHD_ValueKind, const char* key, const char* value) {
  (*static_cast<std::map<std::string, std::string>*>(to))[key] = value != nullptr ? value : "";
  return MHD_YES;
}

void fill(HttpRequest& request, MHD_Connection* connection, const char* url, const char* method) {
  request.method = method;
  request.path = url;
  request.host = header_of(connection, "Host");
  request.origin = header_of(connection, "Origin");
  request.authorization = header_of(connection, "Authorization");
  request.content_type = header_of(connection, "Content-Type");
  request.if_none_match = header_of(connection, "If-None-Match");
  request.peer = peer_of(connection);
  MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, &take_query, &request.query);
}

void add_headers(MHD_Response* response, const HttpAnswer& answer) {
  MHD_add_response_header(response, "Content-Type", answer.content_type.c_str());
  MHD_add_response_header(response, "Content-Security-Policy", content_policy);
  MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
  MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
  MHD_add_response_header(response, "Cross-Origin-Resource-Policy", "same-origin");
  MHD_add_response_header(response, "Cache-Control", answer.is_asset ? "no-cache" : "no-store");
  if (!answer.etag.empty()) MHD_add_response_header(response, "ETag", answer.etag.c_str());
  if (answer.status == MHD_HTTP_UNAUTHORIZED) MHD_add_response_header(response, "WWW-Authenticate", "Bearer");
}

HttpAnswer plain_error(unsigned status, std::string_view message) {
  return {.status = status, .body = R"({"error":")" + std::string(message) + "\"}\n"};
}

}  // namespace

void EventStream::push(std::shared_ptr<const std::string> event) {
  std::function<void()> resume;
  {
    const std::lock_guard lock(mutex_);
    // The first one may be half sent.
    if (waiting_.size() >= most_waiting) waiting_.erase(waiting_.begin() + 1);
    waiting_.push_back(std::move(event));
    if (is_suspended_) resume = resume_;
    is_suspended_ = false;
  }
  if (resume) resume();
}

void EventStream::close() {
  std::function<void()> resume;
  {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
    if (is_suspended_) resume = resume_;
    is_suspended_ = false;
  }
  if (resume) resume();
}

struct HttpListener::Inside {
  HttpHandler handler;
  MHD_Daemon* daemon = nullptr;
  std::mutex streams_mutex;
  std::vector<std::shared_ptr<EventStream>> streams;

  void add(const std::shared_ptr<EventStream>& stream) {
    const std::lock_guard lock(streams_mutex);
    streams.push_back(stream);
  }
  void remove(const std::shared_ptr<EventStream>& stream) {
    const std::lock_guard lock(streams_mutex);
    std::erase(streams, stream);
  }

  static ssize_t read_stream(void* of, std::uint64_t, char* to, std::size_t room) {
    auto& stream = **static_cast<std::shared_ptr<EventStream>*>(of);
    const std::lock_guard lock(stream.mutex_);
    if (stream.waiting_.empty()) {
      if (stream.is_closed_) return MHD_CONTENT_READER_END_OF_STREAM;
      // A reader that returns 0 is asked again at once, unless the connection sleeps.
      stream.is_suspended_ = true;
      stream.suspend_();
      return 0;
    }
    const std::string& event = *stream.waiting_.front();
    const std::size_t count = std::min(room, event.size() - stream.sent_);
    std::memcpy(to, event.data() + stream.sent_, count);
    stream.sent_ += count;
    if (stream.sent_ == event.size()) {
      stream.waiting_.erase(stream.waiting_.begin());
      stream.sent_ = 0;
    }
    return static_cast<ssize_t>(count);
  }
  static void free_stream(void* of) { delete static_cast<std::shared_ptr<EventStream>*>(of); }

  MHD_Result send_stream(MHD_Connection* connection, const HttpAnswer& answer, Exchange& exchange) {
    const auto& stream = answer.stream;
    {
      const std::lock_guard lock(stream->mutex_);
      stream->suspend_ = [connection] { MHD_suspend_connection(connection); };
      stream->resume_ = [connection] { MHD_resume_connection(connection); };
    }
    auto* const held = new std::shared_ptr<EventStream>(stream);
    MHD_Response* const response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16 * 1024, &read_stream, held, &free_stream);
    if (response == nullptr) {
      delete held;
      return MHD_NO;
    }
    add_headers(response, answer);
    exchange.stream = stream;
    add(stream);
    const MHD_Result queued = MHD_queue_response(connection, answer.status, response);
    MHD_destroy_response(response);
    return queued;
  }

  MHD_Result send(MHD_Connection* connection, const HttpAnswer& answer, Exchange& exchange) {
    if (answer.stream) return send_stream(connection, answer, exchange);
    MHD_Response* const response = MHD_create_response_from_buffer(
        answer.body.size(), const_cast<char*>(answer.body.data()), MHD_RESPMEM_MUST_COPY);  // it copies, and writes not
    if (response == nullptr) return MHD_NO;
    add_headers(response, answer);
    const MHD_Result queued = MHD_queue_response(connection, answer.status, response);
    MHD_destroy_response(response);
    return queued;
  }

  MHD_Result take(MHD_Connection* connection, const char* url, const char* method, const char* data, std::size_t* size,
                  void** context) {
    if (*context == nullptr) {  // the headers are there
      auto exchange = std::make_unique<Exchange>();
      fill(exchange->request, connection, url, method);
      *context = exchange.release();
      return MHD_YES;
    }
    auto& exchange = *static_cast<Exchange*>(*context);
    if (*size != 0) {
      exchange.is_too_long = exchange.is_too_long || exchange.request.body.size() + *size > most_body_bytes;
      if (!exchange.is_too_long) exchange.request.body.append(data, *size);
      *size = 0;
      return MHD_YES;
    }
    if (exchange.is_too_long) return send(connection, plain_error(413, "the body is too long"), exchange);
    return send(connection, handler(exchange.request), exchange);
  }

  static MHD_Result on_request(void* of, MHD_Connection* connection, const char* url, const char* method, const char*,
                               const char* data, std::size_t* size, void** context) {
    try {
      return static_cast<Inside*>(of)->take(connection, url, method, data, size, context);
    } catch (const std::exception&) {  // for lack of memory: the connection is closed
      return MHD_NO;
    }
  }
  static void on_end(void* of, MHD_Connection*, void** context, MHD_RequestTerminationCode) {
    const std::unique_ptr<Exchange> exchange(static_cast<Exchange*>(*context));
    *context = nullptr;
    if (!exchange || !exchange->stream) return;
    EventStream& stream = *exchange->stream;
    {
      const std::lock_guard lock(stream.mutex_);
      stream.is_closed_ = true;
      stream.is_suspended_ = false;
      stream.resume_ = nullptr;
      stream.suspend_ = nullptr;
    }
    static_cast<Inside*>(of)->remove(exchange->stream);
  }
};

HttpListener::HttpListener(std::unique_ptr<Inside> inside) noexcept : inside_(std::move(inside)) {}

HttpListener::~HttpListener() {
  // No connection may be asleep when the daemon stops.
  std::vector<std::shared_ptr<EventStream>> streams;
  {
    const std::lock_guard lock(inside_->streams_mutex);
    streams = inside_->streams;
  }
  for (const auto& stream : streams) stream->close();
  MHD_stop_daemon(inside_->daemon);
}

Result<std::unique_ptr<HttpListener>> HttpListener::start(File socket, bool is_local, HttpHandler handler) {
  auto inside = std::make_unique<Inside>();
  inside->handler = std::move(handler);
  const int descriptor = socket.descriptor();
  inside->daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, nullptr, nullptr,
                                    &Inside::on_request, inside.get(), MHD_OPTION_LISTEN_SOCKET, descriptor,
                                    MHD_OPTION_CONNECTION_LIMIT, most_connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
                                    is_local ? 0U : most_connections / 2, MHD_OPTION_CONNECTION_TIMEOUT, idle_seconds,
                                    MHD_OPTION_CONNECTION_MEMORY_LIMIT, most_header_bytes, MHD_OPTION_STRICT_FOR_CLIENT,
                                    1, MHD_OPTION_NOTIFY_COMPLETED, &Inside::on_end, inside.get(), MHD_OPTION_END);
  if (inside->daemon == nullptr) {
    return std::unexpected(Error(ErrorCode::system, "cannot serve HTTP", "libmicrohttpd did not start"));
  }
  static_cast<void>(socket.release());  // the daemon closes it
  return std::unique_ptr<HttpListener>(new HttpListener(std::move(inside)));
}

}  // namespace ringmill
