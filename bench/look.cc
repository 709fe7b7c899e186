// What being looked at costs a loaded engine: ten viewers of `ringmill serve`'s events, as ten browsers have the page
// open, and `ringmill top` on a terminal, against the same load alone. In turns in one run, because a machine that gets
// slower in the middle of it slows both.
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bench/clock.h"
#include "bench/lifecycle.h"
#include "bench/process.h"
#include "bench/scratch.h"
#include "bench/shared_block.h"
#include "bench/workload.h"
#include "ipc/file.h"

namespace ringmill::bench {
namespace {

constexpr std::size_t browsers = 10;
constexpr std::size_t pairs_of_processes = 2;
constexpr std::size_t jobs_in_a_call = 64;
/// As long as from one look to the next: each turn has one. Short turns, and many: what the machine does besides is in
/// both of a pair.
constexpr std::chrono::milliseconds turn{1000};
constexpr std::chrono::milliseconds settling{200};

/// Shared by the load, the viewers and the bench.
struct LookControl {
  RunControl load;
  alignas(128) std::atomic<bool> watched{false};
  std::atomic<std::uint64_t> events{0};
  std::atomic<std::uint64_t> drawn_bytes{0};
  /// Server, viewers, top, terminal. 0: not started yet.
  std::array<std::atomic<pid_t>, 4> processes{};
};

std::string own_program() { return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "ringmill"; }

/// Becomes `ringmill NAME DIRECTORY`; ends with the process that started it.
[[noreturn]] void become(const char* name, const std::string& directory) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const std::string program = own_program();
  ::execl(program.c_str(), program.c_str(), name, directory.c_str(), nullptr);
  std::perror(program.c_str());
  ::_exit(3);
}

void drop_output() {
  const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  ::dup2(null, STDOUT_FILENO);
  ::dup2(null, STDERR_FILENO);
}

File connect_to(const std::string& path) {
  File socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  if (::connect(socket.descriptor(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return {};
  constexpr std::string_view request = "GET /api/v1/events HTTP/1.1\r\nHost: engine\r\n\r\n";
  if (::send(socket.descriptor(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return {};
  return socket;
}

std::uint64_t looks_in(std::string_view text) {
  std::uint64_t count = 0;
  for (std::size_t at = 0; (at = text.find("event: look", at)) != std::string_view::npos; ++at) ++count;
  return count;
}

/// Reads what came; false: the server has closed.
bool read_events(const File& socket, LookControl& control) {
  char part[64 * 1024];
  const ssize_t count = ::recv(socket.descriptor(), part, sizeof part, 0);
  if (count <= 0) return false;
  control.events.fetch_add(looks_in({part, static_cast<std::size_t>(count)}), std::memory_order_relaxed);
  return true;
}

/// The transport of ten browsers, in one process. What a browser draws is no cost of the engine's machine.
int view(LookControl& control, const std::string& path) {
  control.processes[1].store(::getpid());
  while (!control.load.stopping()) {
    if (!control.watched.load()) {
      std::this_thread::sleep_for(std::chrono::milliseconds{10});
      continue;
    }
    std::vector<File> viewers;
    std::vector<pollfd> ready;
    for (std::size_t n = 0; n < browsers; ++n) {
      viewers.push_back(connect_to(path));
      if (!viewers.back()) return report_failure("a viewer", "the server takes no connection") ? 0 : 1;
      ready.push_back({.fd = viewers.back().descriptor(), .events = POLLIN, .revents = 0});
    }
    while (control.watched.load() && !control.load.stopping()) {
      if (::poll(ready.data(), ready.size(), 50) <= 0) continue;
      for (std::size_t n = 0; n < browsers; ++n) {
        if (ready[n].revents != 0 && !read_events(viewers[n], control)) {
          return report_failure("a viewer", "the server closed its stream") ? 0 : 1;
        }
      }
    }
  }
  return 0;
}

/// A terminal with `top` in it, which stands still while nothing is watched.
int show_top(LookControl& control, const std::string& directory) {
  winsize size{.ws_row = 40, .ws_col = 120, .ws_xpixel = 0, .ws_ypixel = 0};
  int terminal = -1;
  const pid_t top = ::forkpty(&terminal, nullptr, nullptr, &size);
  if (top == 0) {
    ::setenv("TERM", "xterm-256color", 1);
    become("top", directory);
  }
  if (top < 0) return report_failure("top", "no terminal") ? 0 : 1;
  control.processes[2].store(top);
  control.processes[3].store(::getpid());
  bool stands = false;
  while (!control.load.stopping()) {
    const bool is_wanted = control.watched.load();
    if (stands == is_wanted) ::kill(top, is_wanted ? SIGCONT : SIGSTOP);
    stands = !is_wanted;
    pollfd ready{.fd = terminal, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, 10) <= 0) continue;
    char part[16 * 1024];
    const ssize_t count = ::read(terminal, part, sizeof part);
    if (count <= 0) return report_failure("top", "it ended") ? 0 : 1;
    if (is_wanted) control.drawn_bytes.fetch_add(static_cast<std::uint64_t>(count), std::memory_order_relaxed);
  }
  ::kill(top, SIGKILL);
  ::waitpid(top, nullptr, 0);
  return 0;
}

/// The processor time of the processes that look.
double seconds_of_lookers(const LookControl& control) {
  double sum = 0;
  for (const auto& process : control.processes) {
    clockid_t clock{};
    timespec time{};
    const pid_t id = process.load();
    if (id == 0 || ::clock_getcpuclockid(id, &clock) != 0 || ::clock_gettime(clock, &time) != 0) continue;
    sum += static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
  }
  return sum;
}

std::uint64_t done_so_far(const LookControl& control) {
  std::uint64_t sum = 0;
  for (const Count& count : control.load.done) sum += count.read();
  return sum;
}

/// Jobs per second of one turn.
double take_turn(LookControl& control, bool watched) {
  control.watched.store(watched);
  std::this_thread::sleep_for(settling);
  const std::uint64_t begin_ns = now_ns();
  const std::uint64_t begin = done_so_far(control);
  std::this_thread::sleep_for(turn);
  const std::uint64_t done = done_so_far(control) - begin;
  return static_cast<double>(done) * 1e9 / static_cast<double>(now_ns() - begin_ns);
}

double median_of(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

struct Turns {
  std::vector<double> ratios;
  double looked_for_s = 0;  // while watched, in which
  double looking_s = 0;     // of processor time were used
};

Turns take_turns(LookControl& control, std::uint32_t count) {
  Turns turns;
  for (std::uint32_t n = 0; n < count; ++n) {
    // ABBA: what drifts in one direction is in both.
    const bool watched_first = n % 2 == 1;
    std::array<double, 2> speed{};
    for (const bool watched : {watched_first, !watched_first}) {
      const double before = seconds_of_lookers(control);
      const std::uint64_t begin_ns = now_ns();
      speed[watched ? 1 : 0] = take_turn(control, watched);
      if (!watched) continue;
      turns.looking_s += seconds_of_lookers(control) - before;
      turns.looked_for_s += static_cast<double>(now_ns() - begin_ns) / 1e9;
    }
    turns.ratios.push_back(speed[1] / speed[0]);
  }
  return turns;
}

Measured run_look(const Surroundings& surroundings) {
  const std::uint64_t begin_ns = now_ns();
  auto scratch = ScratchEngine::create(surroundings.scratch, 0);
  if (!scratch) return std::unexpected(scratch.error());
  const std::string directory = scratch->directory();
  const std::string socket = directory + "/serve.sock";
  SharedBlock<LookControl> control;
  ProcessGroup processes;
  const auto start = [&](Role role, const EngineBody& body, std::size_t index) {
    processes.start([&, role, index] {
      auto subject = Subject::join(directory, role, false);
      if (!subject) return report_failure("joining", subject.error()) ? 0 : 1;
      return body(control->load, index, *subject) ? 0 : 1;
    });
  };
  for (std::size_t n = 0; n < pairs_of_processes; ++n) {
    start(Role::producer, lifecycle_producer(jobs_in_a_call, Durability::memory), n);
    start(Role::worker, lifecycle_worker(jobs_in_a_call), n);
  }
  if (auto ready = control->load.await_ready(processes, 2 * pairs_of_processes); !ready)
    return std::unexpected(ready.error());
  ProcessGroup server;
  server.start([&]() -> int {
    control->processes[0].store(::getpid());
    drop_output();
    become("serve", directory);
  });
  if (!wait_until([&] { return std::filesystem::exists(socket); }, std::chrono::seconds{10})) {
    return std::unexpected("`ringmill serve` did not start: it is built beside this program");
  }
  processes.start([&] { return view(*control, socket); });
  processes.start([&] { return show_top(*control, directory); });
  auto keeper = Subject::join(directory, Role::tool, true);
  if (!keeper) return std::unexpected(keeper.error());
  control->load.go.store(true, std::memory_order_release);
  std::this_thread::sleep_for(surroundings.lengths.warm_up);
  const Turns turns = take_turns(*control, surroundings.lengths.turns_of_looks);
  const bool all_ran = processes.all_run() && server.all_run();
  control->load.stop.store(true);
  if (!all_ran || !processes.join(std::chrono::seconds{10})) {
    return std::unexpected("a process of the run ended early, or not well");
  }
  server.kill_all();
  const double events = static_cast<double>(control->events.load());
  const double least_events = static_cast<double>(browsers * turns.ratios.size());
  if (events < least_events || control->drawn_bytes.load() == 0) return std::unexpected("nothing was looked at");
  const double cpus = static_cast<double>(allowed_cpus().size());
  return Outcome{
      .measured = std::chrono::nanoseconds(now_ns() - begin_ns),
      .figures = {{"cost", 1 - median_of(turns.ratios)}, {"cpu_share", turns.looking_s / (turns.looked_for_s * cpus)}},
      .notes = {{"events", events},
                {"least_ratio", std::ranges::min(turns.ratios)},
                {"most_ratio", std::ranges::max(turns.ratios)}}};
}

}  // namespace

std::vector<Workload> look_workloads() { return {{"look", {"cost", "cpu_share"}, run_look}}; }

}  // namespace ringmill::bench
