// What ringmill tells a service manager, and takes from it: played by the test.
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/cli/command_line.h"
#include "tests/support/must.h"

namespace ringmill::test {
namespace {

/// The end of the manager: a datagram socket with a name.
class NotifySocket {
 public:
  explicit NotifySocket(const std::filesystem::path& path) : path_(path) {
    descriptor_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    EXPECT_EQ(::bind(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  ~NotifySocket() {
    ::unsetenv("NOTIFY_SOCKET");
    ::unsetenv("WATCHDOG_USEC");
    ::close(descriptor_);
  }
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;

  /// The next state; empty: none came within the time.
  std::string next(int milliseconds = 20'000) const {
    pollfd watched{.fd = descriptor_, .events = POLLIN, .revents = 0};
    if (::poll(&watched, 1, milliseconds) != 1) return "";
    char text[256];
    const ssize_t got = ::recv(descriptor_, text, sizeof text, 0);
    return got > 0 ? std::string(text, static_cast<std::size_t>(got)) : "";
  }

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

class Service : public CommandLine {};

TEST_F(Service, a_keeper_says_that_it_is_ready_lives_and_stops) {
  const NotifySocket manager(place_.directory().parent_path() / "notify");
  ::setenv("WATCHDOG_USEC", "400000", 1);
  Command keeper(words_for("keeper", {"--foreground"}));
  EXPECT_EQ(manager.next(), "READY=1");
  for (int n = 0; n < 3; ++n) EXPECT_EQ(manager.next(), "WATCHDOG=1");
  ::kill(keeper.pid(), SIGTERM);
  std::string last;
  for (std::string said = manager.next(); !said.empty() && last != "STOPPING=1"; said = manager.next(1000)) last = said;
  EXPECT_EQ(last, "STOPPING=1");
  EXPECT_EQ(keeper.end().exit_code, 0);
}

TEST_F(Service, a_keeper_without_a_watchdog_says_nothing_more) {
  const NotifySocket manager(place_.directory().parent_path() / "notify");
  Command keeper(words_for("keeper", {"--foreground"}));
  EXPECT_EQ(manager.next(), "READY=1");
  EXPECT_EQ(manager.next(1500), "");
  ::kill(keeper.pid(), SIGTERM);
  EXPECT_EQ(keeper.end().exit_code, 0);
}

TEST_F(Service, watch_and_serve_say_that_they_are_ready) {
  const std::vector<std::vector<std::string>> services{words_for("watch", {"--when", "dead > 5"}), words_for("serve")};
  for (const auto& words : services) {
    const NotifySocket manager(place_.directory().parent_path() / words.front());
    Command service(words);
    EXPECT_EQ(manager.next(), "READY=1") << words.front();
    ::kill(service.pid(), SIGTERM);
    EXPECT_EQ(service.end().exit_code, 0);
  }
}

TEST_F(Service, the_log_is_a_json_object_a_line_if_asked_for) {
  Command worker(words_for("work", {"--exec", "cat"}));
  ASSERT_TRUE(await([&] { return !status()["participants"].empty(); }));
  ::kill(worker.pid(), SIGKILL);
  static_cast<void>(worker.end());
  Command keeper({"--log", "json", "keeper", directory(), "--foreground"});
  // The worker is gone when the new keeper is the only participant.
  ASSERT_TRUE(await([&] {
    const auto now = status();
    return now["participants"].size() == 1 && now["participants"][0]["pid"] == keeper.pid() &&
           now["keeper"]["alive"] == true;
  }));
  ::kill(keeper.pid(), SIGTERM);
  const Ran ran = keeper.end();
  EXPECT_NE(ran.err.find("is gone"), std::string::npos) << ran.err;
  for (std::size_t begin = 0, end = 0; (end = ran.err.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const auto line = nlohmann::ordered_json::parse(ran.err.substr(begin, end - begin));
    EXPECT_EQ(keys_of(line), (std::vector<std::string>{"time", "level", "process", "message"}));
    EXPECT_TRUE(line["time"].get<std::string>().ends_with("Z"));
  }
  expect_error(ringmill({"--log", "xml", "status", directory()}), 2, "--log");
}

/// A shell puts the socket to descriptor 3, and has the process id that LISTEN_PID names.
TEST_F(Service, serve_takes_the_socket_of_the_manager_and_leaves_it_there) {
  const std::string path = (place_.directory().parent_path() / "http.sock").string();
  const std::string python =
      "import os,socket,sys\n"
      "s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); os.dup2(s.fileno(),3); "
      "os.set_inheritable(3,True)\n"
      "os.environ['LISTEN_PID']=str(os.getpid()); os.environ['LISTEN_FDS']='1'\n"
      "os.execv(sys.argv[2],sys.argv[2:])\n";
  const std::string ringmill_path = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "ringmill";
  Program server("/usr/bin/python3", {"-c", python, path, ringmill_path, "serve", directory()});
  ASSERT_TRUE(await([&] { return std::filesystem::exists(path); }));
  const std::string ask =
      "import socket,sys,time\n"
      "s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b'GET /healthz HTTP/1.0\\r\\nHost: "
      "x\\r\\n\\r\\n')\n"
      "print(s.recv(100).split(b' ')[1].decode())\n";
  const Ran asked = Program("/usr/bin/python3", {"-c", ask, path}).end();
  EXPECT_EQ(asked.out, "503\n") << "an engine without a keeper: " << asked.err;
  EXPECT_FALSE(std::filesystem::exists(place_.directory() / "serve.sock"));
  ::kill(server.pid(), SIGTERM);
  EXPECT_EQ(server.end().exit_code, 0);
  EXPECT_TRUE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace ringmill::test
