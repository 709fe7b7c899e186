// crash-sweep: the power is cut at every call of the journal's device, with many outcomes for what was not durable yet;
// what is recovered must hold every job that was acknowledged as durable, and none whose end was.
//
// A run is a seeded life on the modelled disk: of a journal (writer_run.h), or of a whole engine (engine_run.h).
// Workers, one per processor, take runs until enough states were checked. The process that was started watches them: a
// run that crashes or hangs is counted, and a new worker goes on behind it.
//
// The line that repeats a run is printed for each that fails, and the seed whenever the sweep ends badly, by a signal
// too: nothing that a fresh seed has found is lost.
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <thread>

#include <fmt/format.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/spdlog.h>
#include <CLI/CLI.hpp>

#include "tests/crash/crash_report.h"
#include "tests/crash/engine_run.h"
#include "tests/crash/writer_run.h"

namespace ringmill::crash {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto longest_run = std::chrono::seconds(120);
constexpr auto between_lines = std::chrono::seconds(5);
/// A worker is replaced after so many runs: what its abandoned keepers leave in memory goes with it.
constexpr int runs_of_worker = 200;

struct Arguments {
  std::uint64_t states = 20'000;
  std::uint64_t seed = 0;
  std::optional<std::uint64_t> run;
  std::size_t workers = 0;
  std::string failed_file;
};

/// SIGTERM (the time is up) or SIGINT has come.
volatile std::sig_atomic_t ended_by_signal = 0;

CrashTally* shared_tally() {
  void* at = ::mmap(nullptr, sizeof(CrashTally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) {
    std::perror("crash-sweep: mmap");
    std::exit(3);
  }
  return new (at) CrashTally;
}

void make_run(std::uint64_t seed, std::uint64_t run, CrashTally& tally) {
  CrashReport report(tally, run);
  test::DiskRandom mixed(seed ^ (run * 0x9e3779b97f4a7c15));
  if (run % 2 == 0) {
    WriterRun(mixed.next(), report).run();
  } else {
    EngineRun(mixed.next(), report).run();
  }
  tally.runs.fetch_add(1);
}

int worker_main(const Arguments& arguments, CrashTally& tally, std::size_t worker) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  std::signal(SIGTERM, SIG_DFL);
  std::signal(SIGINT, SIG_DFL);
  // What the engine says of disks that fail on purpose.
  spdlog::register_logger(
      std::make_shared<spdlog::logger>("ringmill", std::make_shared<spdlog::sinks::null_sink_mt>()));
  for (int n = 0; n < runs_of_worker && tally.states < arguments.states; ++n) {
    const std::uint64_t run = arguments.run ? *arguments.run : tally.next_run.fetch_add(1);
    tally.run_of.at(worker) = run + 1;
    make_run(arguments.seed, run, tally);
    tally.run_of.at(worker) = 0;
    if (arguments.run) break;
  }
  return 0;
}

struct Worker {
  std::size_t number = 0;
  std::uint64_t run = 0;
  Clock::time_point since = Clock::now();
};

class Sweep {
 public:
  Sweep(const Arguments& arguments, CrashTally& tally) : arguments_(arguments), tally_(tally) {}

  void run() {
    for (std::size_t n = 0; n < arguments_.workers; ++n) start(n);
    auto next_line = Clock::now() + between_lines;
    while (!workers_.empty()) {
      if (ended_by_signal != 0) return end_all();
      if (!reap()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      end_those_that_hang();
      if (Clock::now() < next_line) continue;
      next_line += between_lines;
      fmt::print("{} states of {} runs, {} with trouble\n", tally_.states.load(), tally_.runs.load(),
                 tally_.all_troubles());
      std::fflush(stdout);
    }
  }

 private:
  void end_all() {
    for (const auto& [child, worker] : workers_) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
      const std::uint64_t run = tally_.run_of.at(worker.number);
      if (run != 0) fmt::print("ended by a signal within run {}\n", run - 1);
    }
    workers_.clear();
  }

  void start(std::size_t number) {
    std::fflush(stdout);
    const pid_t child = ::fork();
    if (child == 0) {
      const int status = worker_main(arguments_, tally_, number);
      std::fflush(stdout);
      ::_exit(status);
    }
    workers_[child] = {.number = number};
  }

  /// True if a worker has ended.
  bool reap() {
    int status = 0;
    const pid_t child = ::waitpid(-1, &status, WNOHANG);
    if (child <= 0) return false;
    const std::size_t number = workers_.at(child).number;
    workers_.erase(child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
      const std::uint64_t run = tally_.run_of.at(number).exchange(0);
      CrashReport(tally_, run - 1)
          .found(CrashTrouble::crashed, fmt::format("ended with {} {}", WIFSIGNALED(status) ? "signal" : "exit",
                                                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)));
    }
    if (!arguments_.run && tally_.states < arguments_.states && tally_.of(CrashTrouble::crashed) < most_crashes) {
      start(number);
    }
    return true;
  }

  void end_those_that_hang() {
    for (auto& [child, worker] : workers_) {
      const std::uint64_t run = tally_.run_of.at(worker.number);
      if (run != worker.run) {
        worker.run = run;
        worker.since = Clock::now();
      } else if (run != 0 && Clock::now() - worker.since > longest_run) {
        fmt::print("run {} has not ended for {} s\n", run - 1, longest_run.count());
        ::kill(child, SIGKILL);
        worker.since = Clock::now();
      }
    }
  }

  static constexpr std::uint64_t most_crashes = 50;
  const Arguments& arguments_;
  CrashTally& tally_;
  std::map<pid_t, Worker> workers_;
};

/// What repeats each run that failed: for people, and for the file that was asked for.
void tell_failed_runs(const Arguments& arguments, const CrashTally& tally) {
  std::FILE* const file = arguments.failed_file.empty() ? nullptr : std::fopen(arguments.failed_file.c_str(), "a");
  for (const auto& place : tally.failed_runs) {
    if (place == 0) break;
    const std::string line = fmt::format("--seed {} --run {}", arguments.seed, place.load() - 1);
    fmt::print("to repeat it: tools/crash-sweep {}\n", line);
    if (file != nullptr) fmt::print(file, "{}\n", line);
  }
  if (!arguments.failed_file.empty() && file == nullptr) {
    fmt::print("{} cannot be written, so these lines are only here\n", arguments.failed_file);
  }
  if (file != nullptr) std::fclose(file);
}

int report(const Arguments& arguments, const CrashTally& tally) {
  if (tally.all_troubles() != 0) tell_failed_runs(arguments, tally);
  if (ended_by_signal != 0) {
    fmt::print("ended by signal {}; to repeat all of it: tools/crash-sweep --states {} --seed {}\n",
               static_cast<int>(ended_by_signal), arguments.states, arguments.seed);
  }
  fmt::print(
      R"({{"states":{},"seed":{},"lost":{},"resurrected":{},"undetected":{},"crashed":{},"false_alarms":{},"runs":{}}})"
      "\n",
      tally.states.load(), arguments.seed, tally.of(CrashTrouble::lost), tally.of(CrashTrouble::resurrected),
      tally.of(CrashTrouble::undetected), tally.of(CrashTrouble::crashed), tally.of(CrashTrouble::false_alarm),
      tally.runs.load());
  return tally.states > 0 && tally.all_troubles() == 0 && ended_by_signal == 0 ? 0 : 1;
}

int main_of(int argc, char** argv) {
  Arguments arguments;
  arguments.seed = std::random_device()();
  arguments.workers = std::max(1U, std::thread::hardware_concurrency());
  std::uint64_t run = 0;
  CLI::App app("Cuts the power at every call of the journal's device; what was acknowledged as durable must be there.");
  app.add_option("--states", arguments.states, "how many states to check, at least")->check(CLI::PositiveNumber);
  app.add_option("--seed", arguments.seed, "everything follows from it");
  const CLI::Option* only = app.add_option("--run", run, "only this run of the seed, as a line of trouble names it");
  app.add_option("--failed", arguments.failed_file, "a line is added here for each run that fails: what repeats it");
  app.add_option("--workers", arguments.workers, "processes at a time")
      ->check(CLI::Range(std::size_t{1}, CrashTally::most_workers));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (only->count() > 0) {
    arguments.run = run;
    arguments.workers = 1;
  }
  fmt::print("seed {}, {} workers\n", arguments.seed, arguments.workers);
  std::fflush(stdout);
  std::signal(SIGTERM, [](int signal) { ended_by_signal = signal; });
  std::signal(SIGINT, [](int signal) { ended_by_signal = signal; });
  CrashTally* const tally = shared_tally();
  Sweep(arguments, *tally).run();
  return report(arguments, *tally);
}

}  // namespace
}  // namespace ringmill::crash

int main(int argc, char** argv) { return ringmill::crash::main_of(argc, argv); }
