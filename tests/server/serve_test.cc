// ringmill serve, as a program: asked over its Unix socket and over TCP.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <sstream>
#include <thread>

#include "tests/cli/command_line.h"
#include "tests/support/dead_letters.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;

struct Reply {
  int status = 0;
  std::string head;
  std::string body;

  Json json() const { return Json::parse(body, nullptr, false); }
};

/// A connection to the server, closed at the end of its scope.
class Asker {
 public:
  static Asker of_socket(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    Asker asker(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    asker.is_connected_ =
        ::connect(asker.socket_.descriptor(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    return asker;
  }
  static Asker of_port(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    Asker asker(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    asker.is_connected_ =
        ::connect(asker.socket_.descriptor(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    return asker;
  }

  bool is_connected() const noexcept { return is_connected_; }
  void send(std::string_view text) const {
    static_cast<void>(::send(socket_.descriptor(), text.data(), text.size(), MSG_NOSIGNAL));
  }
  /// Reads until the server closes, `until` has come, or for ten seconds.
  std::string read(std::string_view until = "") const {
    timeval patience{.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(socket_.descriptor(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    std::string text;
    char part[4096];
    for (ssize_t count = 0; (count = ::recv(socket_.descriptor(), part, sizeof part, 0)) > 0;) {
      text.append(part, static_cast<std::size_t>(count));
      if (!until.empty() && text.find(until) != std::string::npos) break;
    }
    return text;
  }
  Reply ask(const std::string& method, const std::string& path, const std::string& headers = "",
            const std::string& body = "") const {
    std::string request = method + " " + path + " HTTP/1.1\r\n";
    if (headers.find("Host:") == std::string::npos) request += "Host: localhost\r\n";
    request += headers + "Connection: close\r\n";
    if (method == "POST") {
      if (headers.find("Content-Type:") == std::string::npos) request += "Content-Type: application/json\r\n";
      request += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    }
    send(request + "\r\n" + body);
    const std::string text = read();
    Reply reply;
    if (text.starts_with("HTTP/1.1 ")) reply.status = std::stoi(text.substr(9, 3));
    const std::size_t end = text.find("\r\n\r\n");
    reply.head = text.substr(0, end);
    if (end != std::string::npos) reply.body = text.substr(end + 4);
    return reply;
  }

 private:
  explicit Asker(int descriptor) : socket_(descriptor) {}

  File socket_;
  bool is_connected_ = false;
};

class ServeCommand : public CommandLine {
 protected:
  void serve(std::vector<std::string> more = {}) {
    std::vector<std::string> words = words_for("serve", more);
    server_ = std::make_unique<Command>(words);
    const bool wants_tcp = std::ranges::find(more, "--listen") != more.end();
    ASSERT_TRUE(await([&] { return std::ranges::count(server_->out(), '\n') >= (wants_tcp ? 2 : 1); }));
    const std::string out = server_->out();
    if (!wants_tcp) return;
    const std::size_t colon = out.rfind(':');
    port_ = static_cast<std::uint16_t>(std::stoi(out.substr(colon + 1)));
    token_ = out.substr(out.rfind('=') + 1, 32);
  }
  std::string socket_path() const { return directory() + "/serve.sock"; }
  Asker connect() const { return Asker::of_socket(socket_path()); }
  Reply get(const std::string& path) const { return connect().ask("GET", path); }
  Reply post(const std::string& path, const std::string& body = "{}") const {
    return connect().ask("POST", path, "", body);
  }
  std::string authorization() const { return "Authorization: Bearer " + token_ + "\r\n"; }
  std::string dead_job(const std::string& payload, const std::string& kind = "greet") {
    const std::string id =
        on_engine("enqueue", {"--kind", kind, "--payload", payload, "--max-attempts", "1"}).lines().at(0);
    EXPECT_EQ(on_engine("work", {"--exec", "echo broken >&2; exit 1", "--kind", kind, "--drain"}).exit_code, 0);
    EXPECT_TRUE(await([&] { return on_engine("dead", {"list", "--json"}).out.find(id) != std::string::npos; }));
    return id;
  }

  std::unique_ptr<Command> server_;
  std::uint16_t port_ = 0;
  std::string token_;
};

TEST_F(ServeCommand, answers_on_a_socket_of_the_directorys_mode_and_takes_it_away_at_its_end) {
  serve();
  struct stat facts {};
  ASSERT_EQ(::stat(socket_path().c_str(), &facts), 0);
  EXPECT_TRUE(S_ISSOCK(facts.st_mode));
  EXPECT_EQ(facts.st_mode & 0777, 0600U);
  EXPECT_EQ(get("/healthz").json()["trouble"], "no keeper lives");
  EXPECT_NE(get("/metrics").body.find("ringmill_up 1\n"), std::string::npos);
  EXPECT_EQ(server_->end_by(SIGTERM).exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(socket_path()));
}

TEST_F(ServeCommand, replaces_the_socket_of_a_dead_server_and_refuses_a_second_one) {
  serve();
  expect_error(ringmill(words_for("serve")), 1, "another process serves this engine");
  EXPECT_EQ(server_->end_by(SIGKILL).exit_code, -SIGKILL);
  EXPECT_TRUE(std::filesystem::exists(socket_path()));
  serve();
  EXPECT_EQ(get("/api/v1/look").status, 200);
  server_.reset();
  ASSERT_EQ(on_engine("remove").exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(directory()));
}

TEST_F(ServeCommand, shows_jobs_in_pages_that_hold_each_job_once) {
  std::vector<std::string> ids;
  for (int n = 0; n < 23; ++n) ids.push_back(enqueue(std::to_string(n), n % 2 == 0 ? "even" : "odd"));
  serve();
  std::vector<std::string> seen;
  std::string cursor;
  do {
    const Json page = get("/api/v1/jobs?limit=5" + (cursor.empty() ? "" : "&cursor=" + cursor)).json();
    for (const Json& job : page["jobs"]) seen.push_back(job["id"]);
    EXPECT_LE(page["jobs"].size(), 5U);
    cursor = page["next"].is_null() ? "" : page["next"].get<std::string>();
  } while (!cursor.empty());
  std::ranges::sort(seen);
  std::ranges::sort(ids);
  EXPECT_EQ(seen, ids);
  EXPECT_EQ(get("/api/v1/jobs?kind=odd&limit=500").json()["jobs"].size(), 11U);
  EXPECT_EQ(get("/api/v1/jobs?state=running").json()["jobs"].size(), 0U);
  EXPECT_EQ(get("/api/v1/jobs?cursor=-1").status, 400);
  EXPECT_EQ(get("/api/v1/jobs?cursor=99999999").status, 400);
}

TEST_F(ServeCommand, shows_a_job_with_its_explanation_and_its_payload_as_it_is) {
  const std::string text = R"({"number":12345678901234567890123,"html":"<img src=x onerror=alert(1)>"})";
  const std::string id = enqueue(text);
  serve();
  const Json job = get("/api/v1/jobs/" + id).json();
  EXPECT_EQ(job["id"], id);
  EXPECT_EQ(job["state"], "queued");
  EXPECT_EQ(job["payload"], text);
  EXPECT_EQ(job["payload_cut"], false);
  EXPECT_NE(job["explanation"].get<std::string>().find("no live worker takes kind greet"), std::string::npos);
  EXPECT_EQ(get("/api/v1/jobs/0000000000000000").status, 404);
  EXPECT_EQ(get("/api/v1/jobs/000000000000000g").status, 400);
  EXPECT_EQ(get("/api/v1/jobs/00000000ff000000").status, 404);
  EXPECT_EQ(get("/api/v1/jobs/../../etc").status, 400);
  const std::string large = enqueue(std::string(5'000, 'x'));
  EXPECT_EQ(get("/api/v1/jobs/" + large).json()["payload"].get<std::string>().size(), 2'048U);
  EXPECT_EQ(get("/api/v1/jobs/" + large + "?payload=whole").json()["payload"].get<std::string>().size(), 5'000U);
}

TEST_F(ServeCommand, shows_the_parents_and_the_children_of_a_job) {
  const std::string parent = enqueue("parent");
  const std::string child =
      on_engine("enqueue", {"--kind", "later", "--payload", "x", "--after", parent}).lines().at(0);
  const std::string other =
      on_engine("enqueue", {"--kind", "later", "--payload", "y", "--after", parent}).lines().at(0);
  enqueue("alone");
  serve();
  std::vector<std::string> found;
  std::string cursor;
  do {
    const Json page =
        get("/api/v1/jobs/" + parent + "/children?limit=1" + (cursor.empty() ? "" : "&cursor=" + cursor)).json();
    EXPECT_LE(page["jobs"].size(), 1U);
    for (const Json& job : page["jobs"]) {
      found.push_back(job["id"]);
      EXPECT_EQ(job["state"], "blocked");
      EXPECT_EQ(job["kind"], "later");
    }
    cursor = page["next"].is_null() ? "" : page["next"].get<std::string>();
  } while (!cursor.empty());
  EXPECT_EQ(found, (std::vector{child, other}));
  EXPECT_EQ(get("/api/v1/jobs/" + child).json()["parent_jobs"][0]["id"], parent);
  EXPECT_EQ(get("/api/v1/jobs/" + child + "/children").json()["jobs"].size(), 0U);
  EXPECT_EQ(get("/api/v1/jobs/" + parent + "/children?cursor=99999999").status, 400);
  EXPECT_EQ(get("/api/v1/jobs/x/children").status, 400);
}

TEST_F(ServeCommand, shows_schedules_with_their_next_tick_and_pauses_and_resumes_them) {
  serve({"--allow-actions"});
  EXPECT_EQ(get("/api/v1/schedules").json()["schedules"].size(), 0U);
  EXPECT_FALSE(std::filesystem::exists(directory() + "/schedules.db"));  // looking makes no file
  for (const char* name : {"beat", "nightly", "weekly"}) {
    ASSERT_EQ(
        on_engine("schedule", {"add", name, "--cron", "30 2 * * *", "--kind", "report", "--payload", "x"}).exit_code,
        0);
  }
  const Json all = get("/api/v1/schedules").json();
  ASSERT_EQ(all["schedules"].size(), 3U);
  EXPECT_EQ(all["schedules"][0]["times"], "30 2 * * * UTC");
  EXPECT_FALSE(all["schedules"][0].contains("payload"));
  const Json listed = Json::parse(on_engine("schedule", {"list", "beat", "--json"}).out);
  EXPECT_EQ(all["schedules"][0]["next_tick"], listed["next_tick"]);
  const Json first = get("/api/v1/schedules?limit=2").json();
  EXPECT_EQ(first["next"], "nightly");
  const Json rest = get("/api/v1/schedules?limit=2&after=nightly").json();
  ASSERT_EQ(rest["schedules"].size(), 1U);
  EXPECT_EQ(rest["schedules"][0]["name"], "weekly");
  EXPECT_TRUE(rest["next"].is_null());
  EXPECT_EQ(post("/api/v1/schedules/beat/pause").status, 200);
  EXPECT_EQ(get("/api/v1/schedules").json()["schedules"][0]["paused"], true);
  EXPECT_TRUE(get("/api/v1/schedules").json()["schedules"][0]["next_tick"].is_null());
  EXPECT_EQ(post("/api/v1/schedules/beat/resume").status, 200);
  EXPECT_EQ(get("/api/v1/schedules").json()["schedules"][0]["paused"], false);
  EXPECT_EQ(post("/api/v1/schedules/none/pause").status, 404);
}

TEST_F(ServeCommand, only_shows_unless_actions_are_allowed) {
  const std::string id = enqueue("x");
  serve();
  for (const char* path : {"/api/v1/levels/default/pause", "/api/v1/dead/purge", "/api/v1/dead/retry",
                           "/api/v1/schedules/nightly/pause"}) {
    EXPECT_EQ(post(path).status, 403) << path;
  }
  EXPECT_EQ(post("/api/v1/jobs/" + id + "/cancel").status, 403);
  EXPECT_EQ(state_of(id), "queued");
}

TEST_F(ServeCommand, pauses_resumes_and_cancels_and_logs_the_asker) {
  const std::string id = enqueue("x");
  serve({"--allow-actions"});
  EXPECT_EQ(post("/api/v1/levels/default/pause").status, 200);
  EXPECT_EQ(status()["levels"][1]["paused"], true);
  EXPECT_EQ(post("/api/v1/levels/default/resume").status, 200);
  EXPECT_EQ(status()["levels"][1]["paused"], false);
  EXPECT_EQ(post("/api/v1/kinds/greet/pause").status, 200);
  EXPECT_EQ(post("/api/v1/kinds/greet/resume").status, 200);
  EXPECT_EQ(post("/api/v1/levels/none/pause").status, 404);
  EXPECT_EQ(post("/api/v1/jobs/" + id + "/cancel").json()["outcome"], "cancelled");
  EXPECT_EQ(post("/api/v1/jobs/" + id + "/cancel").json()["outcome"], "already_over");
  const std::string log = server_->end_by(SIGTERM).err;
  EXPECT_NE(log.find("pause levels default, asked by user " + std::to_string(::getuid()) + ", process " +
                     std::to_string(::getpid()) + ": done"),
            std::string::npos)
      << log;
  EXPECT_NE(log.find("cancel " + id), std::string::npos);
}

TEST_F(ServeCommand, retries_and_purges_dead_letters_by_id_by_filter_and_all) {
  const std::string first = dead_job("1", "mail");
  dead_job("2", "mail");
  dead_job("3", "greet");
  serve({"--allow-actions"});
  EXPECT_EQ(get("/api/v1/dead").json()["letters"].size(), 3U);
  EXPECT_EQ(get("/api/v1/dead?kind=mail").json()["letters"].size(), 2U);
  EXPECT_EQ(get("/api/v1/dead?limit=1").json()["more"], true);
  const Json job = get("/api/v1/jobs/" + first).json();
  EXPECT_EQ(job["state"], "dead");
  EXPECT_EQ(job["payload"], "1");
  EXPECT_NE(job["last_error"].get<std::string>().find("broken"), std::string::npos);
  for (const char* body :
       {"", "[]", "{}", R"({"id":"x"})", R"({"id":7})", R"({"all":true,"kind":"mail"})", R"({"all":"yes"})",
        R"({"kind":"mail","more":1})", R"({"cause":"none"})", R"({"all":false})"}) {
    EXPECT_EQ(post("/api/v1/dead/purge", body).status, 400) << body;
  }
  EXPECT_EQ(get("/api/v1/dead").json()["letters"].size(), 3U);
  const Json retried = post("/api/v1/dead/retry", R"({"id":")" + first + "\"}").json();
  EXPECT_EQ(retried["retried"], 1);
  EXPECT_EQ(state_of(retried["jobs"][0]["retried_as"]), "queued");
  EXPECT_EQ(post("/api/v1/dead/retry", R"({"id":")" + first + "\"}").status, 404);
  EXPECT_EQ(post("/api/v1/dead/purge", R"({"kind":"mail"})").json()["purged"], 1);
  EXPECT_EQ(post("/api/v1/dead/retry", R"({"all":true})").json()["retried"], 1);
  EXPECT_EQ(get("/api/v1/dead").json()["letters"].size(), 0U);
}

TEST_F(ServeCommand, a_retry_of_all_that_is_killed_half_way_loses_no_letter) {
  init({"--capacity", "8192"});
  constexpr std::uint64_t in_a_round = 150;
  constexpr std::uint64_t rounds = 6;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    std::vector<DeadLetter> letters;
    for (std::uint64_t n = 1; n <= in_a_round; ++n) {
      const std::uint64_t number = round * in_a_round + n;
      letters.push_back(letter_of(number, std::to_string(number)));
    }
    must(open_store(directory(), {}).bury(letters));
    serve({"--allow-actions"});
    const Asker asker = connect();
    const std::string body = R"({"all":true})";
    asker.send(
        "POST /api/v1/dead/retry HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
        std::to_string(body.size()) + "\r\n\r\n" + body);
    std::this_thread::sleep_for(std::chrono::milliseconds(5 * round));
    EXPECT_EQ(server_->end_by(SIGKILL).exit_code, -SIGKILL);
  }
  serve({"--allow-actions"});
  bool more = true;
  while (more) more = post("/api/v1/dead/retry", R"({"all":true})").json()["more"].get<bool>();
  EXPECT_EQ(get("/api/v1/dead").json()["letters"].size(), 0U);
  std::map<std::string, std::uint64_t> times;
  for (const auto& job : on_engine("dump", {"--json", "--payload"}).json_lines()) ++times[job["payload"]];
  EXPECT_EQ(times.size(), rounds * in_a_round);
  for (const auto& [payload, count] : times) EXPECT_LE(count, 1 + rounds) << payload;
}

TEST_F(ServeCommand, pages_over_jobs_that_come_and_go_show_none_twice_and_miss_none_that_stays) {
  init({"--capacity", "32768"});
  const auto lines = [](std::size_t count, const char* kind) {
    std::string text;
    for (std::size_t n = 0; n < count; ++n) text += fmt::format(R"({{"kind":"{}","payload":"x"}}{})", kind, '\n');
    return text;
  };
  std::set<std::string> staying;
  for (int part = 0; part < 10; ++part) {  // among the others
    ASSERT_EQ(on_engine("enqueue", {"--from-json", "-", "--quiet"}, lines(1'500, "goes")).exit_code, 0);
    const auto ids = on_engine("enqueue", {"--from-json", "-"}, lines(200, "stays")).lines();
    staying.insert(ids.begin(), ids.end());
  }
  serve();
  Command worker(words_for("work", {"--kind", "goes", "--exec", "true", "--concurrency", "2"}));
  std::set<std::string> seen;
  std::string cursor;
  do {
    const Json page = get("/api/v1/jobs?limit=500" + (cursor.empty() ? "" : "&cursor=" + cursor)).json();
    for (const Json& job : page["jobs"]) EXPECT_TRUE(seen.insert(job["id"]).second) << job["id"];
    cursor = page["next"].is_null() ? "" : page["next"].get<std::string>();
    if (seen.size() % 3 == 0) on_engine("enqueue", {"--from-json", "-", "--quiet"}, lines(50, "goes"));
  } while (!cursor.empty());
  worker.end_by(SIGTERM);
  for (const std::string& id : staying) EXPECT_TRUE(seen.contains(id)) << id;
}

TEST_F(ServeCommand, over_tcp_it_wants_the_token_of_a_file_that_only_its_owner_reads) {
  serve({"--listen", "127.0.0.1:0"});
  const std::string file = directory() + "/serve.token";
  struct stat facts {};
  ASSERT_EQ(::stat(file.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600U);
  std::string line;
  std::getline(std::ifstream(file) >> std::ws, line);
  EXPECT_EQ(line, token_);
  const auto ask = [this](const std::string& path, const std::string& headers) {
    return Asker::of_port(port_).ask("GET", path, headers);
  };
  EXPECT_EQ(ask("/api/v1/look", "").status, 401);
  EXPECT_EQ(ask("/api/v1/look", authorization()).status, 200);
  EXPECT_EQ(ask("/api/v1/look", authorization() + "Host: evil.example\r\n").status, 403);
  EXPECT_EQ(ask("/api/v1/look", authorization() + "Origin: http://evil.example\r\n").status, 403);
  EXPECT_EQ(ask("/", "").status, 200);
  EXPECT_EQ(server_->end_by(SIGTERM).exit_code, 0);
  const std::string first = token_;
  serve({"--listen", "127.0.0.1:0"});
  EXPECT_EQ(token_, first);
  server_.reset();
  std::filesystem::permissions(file, std::filesystem::perms(0644));
  expect_error(ringmill(words_for("serve", {"--listen", "127.0.0.1:0"})), 3, "others may read the token file");
  expect_error(ringmill(words_for("serve", {"--listen", "0.0.0.0:0"})), 2, "other machines could reach this address");
  expect_error(ringmill(words_for("serve", {"--listen", "example.com:80"})), 2, "a host is an IP address");
}

TEST_F(ServeCommand, the_page_names_no_other_host_and_may_run_nothing_inline) {
  serve();
  const Reply page = get("/");
  ASSERT_EQ(page.status, 200);
  EXPECT_NE(page.head.find("Content-Security-Policy: default-src 'none'; script-src 'self'"), std::string::npos);
  EXPECT_NE(page.head.find("X-Content-Type-Options: nosniff"), std::string::npos);
  EXPECT_NE(page.head.find("text/html"), std::string::npos);
  for (const char* path : {"/", "/app.js", "/elements.js", "/graph.js", "/plot.js", "/style.css"}) {
    const Reply file = get(path);
    EXPECT_EQ(file.status, 200) << path;
    EXPECT_EQ(file.body.find("https://"), std::string::npos) << path;
    EXPECT_EQ(file.body.find("innerHTML"), std::string::npos) << path;
    EXPECT_EQ(file.body.find("eval("), std::string::npos) << path;
    const std::size_t tag = file.head.find("ETag: ");
    ASSERT_NE(tag, std::string::npos) << path;
    const std::string etag = file.head.substr(tag + 6, 18);
    EXPECT_EQ(connect().ask("GET", path, "If-None-Match: " + etag + "\r\n").status, 304) << path;
  }
  EXPECT_EQ(get("/api/v1/openapi.json").json()["openapi"], "3.0.3");
  EXPECT_EQ(get("/../engine.json").status, 404);
  EXPECT_EQ(get("/%2e%2e/engine.json").status, 404);
}

TEST_F(ServeCommand, every_path_of_the_description_is_served) {
  const std::string id = enqueue("x");
  ASSERT_EQ(on_engine("schedule", {"add", "beat", "--every", "1h", "--kind", "greet"}).exit_code, 0);
  serve({"--allow-actions"});
  const Json description = get("/api/v1/openapi.json").json();
  ASSERT_GT(description["paths"].size(), 10U);
  for (const auto& [path, methods] : description["paths"].items()) {
    for (const auto& [method, about] : methods.items()) {
      if (path == "/api/v1/events") continue;  // it does not end
      std::string asked = path;
      if (const auto at = asked.find("{id}"); at != std::string::npos) asked.replace(at, 4, id);
      if (const auto at = asked.find("{name}"); at != std::string::npos) {
        asked.replace(at, 6,
                      asked.find("levels") != std::string::npos      ? "default"
                      : asked.find("schedules") != std::string::npos ? "beat"
                                                                     : "greet");
      }
      const Reply reply = method == "get" ? get(asked) : post(asked, R"({"kind":"none"})");
      EXPECT_NE(reply.status, 404) << method << " " << path;
      EXPECT_NE(reply.status, 0) << method << " " << path;
    }
  }
}

TEST_F(ServeCommand, a_stream_gets_each_look_and_one_look_serves_all) {
  serve();
  const Asker first = connect();
  const Asker second = connect();
  for (const Asker* asker : {&first, &second}) {
    asker->send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  }
  for (const Asker* asker : {&first, &second}) {
    const std::string text = asker->read("\"levels\":");
    EXPECT_NE(text.find("text/event-stream"), std::string::npos);
    EXPECT_NE(text.find("event: look"), std::string::npos) << text;
  }
  enqueue("x");
  EXPECT_NE(first.read("\"depth\":1").find("\"depth\":1"), std::string::npos);
  EXPECT_NE(get("/api/v1/history").json()["points"].size(), 0U);
}

TEST_F(ServeCommand, viewers_that_read_nothing_or_are_too_many_do_not_hold_it_up) {
  serve();
  std::vector<Asker> silent;
  for (int n = 0; n < 20; ++n) {
    silent.push_back(connect());
    silent.back().send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
  }
  EXPECT_EQ(get("/api/v1/events").status, 503);
  EXPECT_EQ(get("/api/v1/look").status, 200);
  silent.clear();
  EXPECT_TRUE(await([&] {
    const Asker asker = connect();
    asker.send("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    return asker.read("\r\n").find(" 200 ") != std::string::npos;
  }));
  EXPECT_EQ(server_->end_by(SIGTERM).exit_code, 0);
}

TEST_F(ServeCommand, a_thousand_connections_that_ask_nothing_leave_it_as_it_was) {
  serve();
  for (int part = 0; part < 20; ++part) {  // so many as it takes at a time: further ones wait for a place
    std::vector<Asker> silent;
    for (int n = 0; n < 50; ++n) silent.push_back(connect());
    EXPECT_EQ(get("/metrics").status, 200);
  }
  EXPECT_TRUE(await([&] { return get("/metrics").status == 200; }));
  EXPECT_EQ(server_->end_by(SIGTERM).exit_code, 0);
}

TEST_F(ServeCommand, an_engine_that_goes_and_comes_is_shown_as_that) {
  enqueue("x");
  serve();
  EXPECT_EQ(get("/api/v1/look").status, 200);
  std::filesystem::remove(segment_file());
  EXPECT_EQ(get("/healthz").status, 503);
  EXPECT_NE(get("/metrics").body.find("ringmill_up 0\n"), std::string::npos);
  EXPECT_TRUE(place_.shm_names().empty());  // looking brought nothing back
  enqueue("y");                             // this does
  EXPECT_TRUE(await([&] { return get("/metrics").body.find("ringmill_up 1\n") != std::string::npos; }));
}

TEST_F(ServeCommand, lengths_beyond_the_limits_and_broken_requests_are_refused_and_it_lives) {
  serve({"--allow-actions"});
  EXPECT_EQ(post("/api/v1/dead/purge", std::string(65 * 1024, ' ')).status, 413);
  for (const char* nested : {"[", "{\"a\":", "[{\"kind\":["}) {
    std::string body;
    while (body.size() < 60'000) body += nested;
    EXPECT_EQ(post("/api/v1/dead/purge", body).status, 400) << nested;
  }
  EXPECT_NE(connect().ask("GET", "/" + std::string(40 * 1024, 'a')).status, 200);
  EXPECT_NE(connect().ask("GET", "/", "X: " + std::string(40 * 1024, 'a') + "\r\n").status, 200);
  std::mt19937_64 random(17);
  const std::string sound =
      "POST /api/v1/dead/retry?x=%20&y=%zz HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
      "application/json\r\nContent-Length: 12\r\n\r\n{\"all\":true}";
  for (int round = 0; round < 300; ++round) {
    std::string bytes = sound;
    for (int change = 0; change < 4 && !bytes.empty(); ++change) {
      const std::size_t at = random() % bytes.size();
      switch (random() % 4) {
        case 0:
          bytes[at] = static_cast<char>(random());
          break;
        case 1:
          bytes.erase(at, random() % 20);
          break;
        case 2:
          bytes.insert(at, random() % 20, static_cast<char>(random()));
          break;
        default:
          bytes.resize(at + 1);
      }
    }
    connect().send(bytes);
  }
  EXPECT_EQ(get("/api/v1/look").status, 200);
  EXPECT_EQ(server_->end_by(SIGTERM).exit_code, 0);
}

TEST_F(ServeCommand, slow_and_idle_connections_do_not_shut_others_out) {
  serve();
  std::vector<Asker> slow;
  for (int n = 0; n < 40; ++n) {
    slow.push_back(connect());
    slow.back().send(n % 2 == 0 ? "GET /metrics HT" : "POST /api/v1/dead/purge HTTP/1.1\r\nContent-Length: 9\r\n\r\n{");
  }
  EXPECT_EQ(get("/metrics").status, 200);
  // More than there is room for: the others are refused until the slow ones have used up their time.
  for (int n = 0; n < 40; ++n) slow.push_back(connect());
  EXPECT_TRUE(await([&] { return get("/metrics").status == 200; }, 40s));
}

}  // namespace
}  // namespace ringmill::test
