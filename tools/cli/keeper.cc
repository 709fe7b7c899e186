// ringmill keeper: runs the keeper as its own process, in the background or the foreground.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <csignal>
#include <ctime>
#include <memory>
#include <thread>

#include <ringmill/engine.h>

#include "ipc/directory.h"
#include "ipc/file.h"
#include "tools/cli/command.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"
#include "tools/cli/service.h"

namespace ringmill::cli {

namespace {

/// Blocked in this thread and those it starts, so that only sigtimedwait() sees them.
sigset_t block_end_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

/// Whether the keeper's loop turns, if this process is the keeper. It rests for at most 50 ms, and waits for no disk.
bool loop_turns(const Engine& engine, std::chrono::nanoseconds patience) {
  if (!engine.keeps()) return true;  // a standby waits for a lock, and cannot hang
  const auto ago = engine.statistics().keeper.last_turn_ago;
  return !ago || *ago < patience;
}

/// Returns on SIGTERM or SIGINT, or when the engine is removed. The service manager hears of each look at which the
/// keeper's loop turned (WATCHDOG=1), at least twice in its interval.
void wait_for_end(const sigset_t& signals, const Directory& directory, const Engine& engine) {
  const auto watchdog = watchdog_interval();
  constexpr std::chrono::nanoseconds longest_look = std::chrono::seconds(1);
  const std::chrono::nanoseconds half = watchdog ? *watchdog / 2 : longest_look;
  const auto look_every_ns = std::min(longest_look, half).count();
  const timespec look_every{.tv_sec = look_every_ns / 1'000'000'000, .tv_nsec = look_every_ns % 1'000'000'000};
  while (::sigtimedwait(&signals, nullptr, &look_every) < 0) {
    const auto facts = directory.look("engine.json");
    if (facts && !*facts) break;
    if (watchdog && loop_turns(engine, half)) tell_manager("WATCHDOG=1");
  }
  tell_manager("STOPPING=1");
}

/// Waits until this process is the keeper, or finds that another one is. Both are fine: a standby takes over later.
std::string await_election(const Engine& engine) {
  while (true) {
    if (engine.keeps()) return "keeps";
    const EngineStatus status = engine.status();
    if (status.keeper_alive && status.keeper_pid != ::getpid()) {
      return fmt::format("stands by for process {}, which keeps", status.keeper_pid);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

int keep_in_foreground(const std::filesystem::path& directory) {
  const sigset_t signals = block_end_signals();
  const auto engine = Engine::open(directory, {.dedicated_keeper = true});
  if (!engine) return fail("keeper", engine.error());
  const auto folder = Directory::open(directory);
  if (!folder) return fail("keeper", folder.error());
  Output output;
  output.line(fmt::format("process {} {}", ::getpid(), await_election(*engine)));
  output.flush();
  tell_manager("READY=1");
  wait_for_end(signals, *folder, *engine);
  return output.finish(exit_done);
}

/// Closes all descriptors of the caller but the standard ones. Otherwise a lock would stay locked, and the reader of a
/// pipe would wait, for as long as the daemon lives. The engine is not open yet, so none of them is the engine's.
void close_inherited_but(int kept) noexcept {
  if (kept > STDERR_FILENO + 1) ::syscall(SYS_close_range, STDERR_FILENO + 1, kept - 1, 0);
  ::syscall(SYS_close_range, kept + 1, UINT_MAX, 0);
}

/// Runs in the daemon, which has no standard error: the engine's log goes to syslog.
int keep_in_background(const std::filesystem::path& directory, const File& report) {
  ::setsid();
  close_inherited_but(report.descriptor());
  const sigset_t signals = block_end_signals();
  spdlog::drop("ringmill");  // --log json is about standard error
  spdlog::syslog_logger_mt("ringmill", "ringmill-keeper", LOG_PID, LOG_DAEMON);
  const auto engine = Engine::open(directory, {.dedicated_keeper = true});
  if (!engine) {
    // The parent's standard error is still ours.
    return fail("keeper", engine.error());
  }
  const auto folder = Directory::open(directory);
  if (!folder) return fail("keeper", folder.error());
  await_election(*engine);
  if (const auto nowhere = open_file("/dev/null", O_RDWR)) {
    for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(nowhere->descriptor(), descriptor);
  }
  if (::chdir("/") != 0) return exit_failed;
  [[maybe_unused]] const ssize_t written =
      ::write(report.descriptor(), "k", 1);  // a parent that is gone needs no report
  wait_for_end(signals, *folder, *engine);
  return exit_done;
}

int start_daemon(const std::filesystem::path& directory) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail("keeper", system_error("pipe", directory));
  File reading = File::above_standard(ends[0]);
  File writing = File::above_standard(ends[1]);
  if (!reading || !writing) return fail("keeper", system_error("fcntl F_DUPFD_CLOEXEC", directory));
  const pid_t child = ::fork();
  if (child < 0) return fail("keeper", system_error("fork", directory));
  if (child == 0) {
    reading = File();
    ::_exit(keep_in_background(directory, writing));
  }
  writing = File();
  char sign = 0;
  ssize_t got = 0;
  do {
    got = ::read(reading.descriptor(), &sign, 1);
  } while (got < 0 && errno == EINTR);
  if (got == 1) {
    Output output;
    output.line(std::to_string(child));
    return output.finish(exit_done);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) return WEXITSTATUS(status);  // it has said why
  return fail("keeper", exit_failed, "the daemon ended before it kept");
}

int run_keeper(const std::filesystem::path& given, bool foreground) {
  const std::filesystem::path directory = std::filesystem::absolute(given);  // the daemon changes its folder
  return foreground ? keep_in_foreground(directory) : start_daemon(directory);
}

}  // namespace

Command add_keeper(CLI::App& program) {
  struct Words {
    std::filesystem::path directory;
    bool foreground = false;
  };
  auto words = std::make_shared<Words>();
  CLI::App* app = program.add_subcommand("keeper", "Run the keeper as a process of its own");
  add_directory(*app, words->directory);
  app->add_flag("--foreground", words->foreground, "Do not become a daemon; log to standard error");
  app->footer(
      "The keeper hands jobs of dead workers to others, revokes leases past their deadline, and writes the journal.\n"
      "Every process that opens an engine can be its keeper; this one is the keeper while no worker runs. It ends on\n"
      "SIGTERM, SIGINT, or when the engine is removed. As a daemon it prints its process id once it is the keeper or\n"
      "a standby, and logs to syslog.\n"
      "\n"
      "Examples:\n"
      "  pid=$(ringmill keeper /var/lib/jobs)\n"
      "  ringmill keeper /var/lib/jobs --foreground      # under systemd: Type=notify");
  return {app, [words] { return run_keeper(words->directory, words->foreground); }};
}

}  // namespace ringmill::cli
