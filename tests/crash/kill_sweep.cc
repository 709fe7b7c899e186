// kill-sweep: kills, or stops, a process after each instruction of each operation, and checks what the survivors are
// left with.
//
// Two processes: the sweeper makes the trials; the one that was started waits for it, so that a sweeper that hangs in
// the engine, or crashes there, is reported like any other trouble and nothing stays behind in /dev/shm.
#include <dlfcn.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <new>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <thread>

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <CLI/CLI.hpp>

#include "ipc/sleepers.h"
#include "tests/crash/trials.h"

namespace ringmill::crash {
namespace {

constexpr std::size_t most_subjects = 64;
constexpr std::size_t most_problems_shown = 10;
constexpr std::size_t most_engines_spoilt = 50;
constexpr auto most_silence = std::chrono::minutes(5);

struct Arguments {
  Mode mode = Mode::kill;
  std::string operation;
  std::uint64_t sample = 0;  // 0: every instruction
  std::uint64_t seed = 0;
  std::uint64_t from = 1;  // instructions outside of these two are not tried
  std::uint64_t to = std::numeric_limits<std::uint64_t>::max();

  bool is_a_piece() const noexcept { return from > 1 || to != std::numeric_limits<std::uint64_t>::max(); }
};

/// Shared by both processes: the sweeper counts, the other one reads.
struct Tally {
  struct Line {
    std::array<char, 32> name{};
    std::atomic<std::uint64_t> instructions{0};
    std::atomic<std::uint64_t> tried{0};
  };
  std::atomic<std::uint64_t> beat{0};
  std::atomic<std::uint64_t> troubles[4]{};  // by Trouble
  std::atomic<std::uint64_t> line_count{0};
  std::array<Line, most_subjects> lines{};

  void count(Trouble trouble) noexcept { ++troubles[static_cast<std::size_t>(trouble)]; }
  std::uint64_t of(Trouble trouble) const noexcept { return troubles[static_cast<std::size_t>(trouble)]; }
};

template <class T>
T* shared_page() {
  void* const memory = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("kill-sweep: mmap");
    std::exit(3);
  }
  return new (memory) T();
}

std::string_view name_of(Trouble trouble) {
  constexpr std::string_view names[] = {"lost", "doubled", "leaked", "stuck"};
  return names[static_cast<std::size_t>(trouble)];
}

/// Where an address stands in the sources: file and line, then those of the call that was inlined around it, and so on.
std::string place_of(std::uintptr_t address) {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(address), &info) == 0) return fmt::format("{:#x}", address);
  const std::uintptr_t offset = address - reinterpret_cast<std::uintptr_t>(info.dli_fbase);
  const std::string command = fmt::format("addr2line -sie '{}' {:#x} 2>/dev/null", info.dli_fname, offset);
  std::string text = fmt::format("{}+{:#x}", std::filesystem::path(info.dli_fname).filename().string(), offset);
  if (FILE* const output = ::popen(command.c_str(), "r"); output != nullptr) {
    std::array<char, 512> line;
    while (std::fgets(line.data(), static_cast<int>(line.size()), output) != nullptr) {
      const std::string_view place(line.data());
      text += fmt::format(" < {}", place.substr(0, place.find_first_of(" \n")));
    }
    ::pclose(output);
  }
  return text;
}

/// `count` of the candidates, evenly spread, the first by chance.
void choose(const std::vector<std::uint64_t>& candidates, std::uint64_t count, std::mt19937_64& random,
            std::set<std::uint64_t>& chosen) {
  const double stride = static_cast<double>(candidates.size()) / static_cast<double>(count);
  const double offset = std::uniform_real_distribution<double>(0, stride)(random);
  for (std::uint64_t n = 0; n < count; ++n) {
    const auto place = static_cast<std::size_t>(offset + static_cast<double>(n) * stride);
    chosen.insert(candidates[std::min(place, candidates.size() - 1)]);
  }
}

/// The instructions to be tried: all of the piece, or a sample of it, half of which is taken from code that was not met
/// before, so that long loops do not swallow it.
std::set<std::uint64_t> points(const StepPath& path, const Arguments& arguments, std::mt19937_64& random) {
  const std::uint64_t sample = arguments.sample;
  const auto is_outside = [&](std::uint64_t n) { return n < arguments.from || n > arguments.to; };
  std::vector<std::uint64_t> all(path.instructions());
  std::iota(all.begin(), all.end(), 1);
  std::erase_if(all, is_outside);
  if (sample == 0 || sample >= all.size()) return {all.begin(), all.end()};
  std::set<std::uint64_t> chosen;
  std::vector<std::uint64_t> first = path.first_visits();
  std::erase_if(first, is_outside);  // so is 0, after no instruction at all: nothing to see
  if (!first.empty()) choose(first, std::min<std::uint64_t>((sample + 1) / 2, first.size()), random, chosen);
  if (sample > chosen.size()) choose(all, sample - chosen.size(), random, chosen);
  return chosen;
}

/// Those in C as well, which only this program has.
std::vector<std::unique_ptr<Subject>> subjects() {
  std::vector<std::unique_ptr<Subject>> all = all_subjects();
  for (const Operation& operation : operations_in_c()) all.push_back(worker_subject(operation));
  return all;
}

class Sweeper {
 public:
  Sweeper(const Arguments& arguments, Tally& tally, const std::filesystem::path& folder,
          const std::filesystem::path& shm_folder)
      : arguments_(arguments),
        tally_(&tally),
        stage_{folder, shm_folder, arguments.mode, shared_page<Report>()},
        random_(arguments.seed) {}

  void run() {
    for (const auto& subject : subjects()) {
      const std::string_view name = subject->name();
      // "reap" means all that begin with it.
      if (arguments_.operation.empty() || name == arguments_.operation ||
          (arguments_.operation == "reap" && name.starts_with("reap"))) {
        sweep(*subject);
      }
    }
  }

 private:
  void sweep(Subject& subject) {
    const auto began = std::chrono::steady_clock::now();
    Tally::Line& line = tally_->lines[tally_->line_count];
    subject.name().copy(line.name.data(), line.name.size() - 1);
    ++tally_->line_count;
    stage_.renew(subject.shape());
    const std::uint32_t room = stage_.world->room_in_registry();
    // The first run meets symbols that are not bound yet and memory that was never touched.
    std::optional<StepPath> path = subject.measure(stage_);
    if (path) path = subject.measure(stage_);
    ++tally_->beat;
    if (!path) {
      tally_->count(Trouble::stuck);
      fmt::print("{}: does not even work undisturbed\n", subject.name());
      return;
    }
    line.instructions = path->instructions();
    shown_ = 0;
    spoilt_ = 0;
    for (const std::uint64_t n : points(*path, arguments_, random_)) {
      if (!try_at(subject, *path, n)) break;
      ++line.tried;
    }
    if (const std::uint32_t left = stage_.world->room_in_registry(); left != room) {
      tally_->count(Trouble::leaked);
      fmt::print("{}: {} participants can attach at the end, {} could at the start\n", subject.name(), left, room);
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    fmt::print("{:<16} {:>6} instructions, {:>6} tried, {:>3} with trouble, {:.1f} s\n", subject.name(),
               line.instructions.load(), line.tried.load(), spoilt_, took.count());
    std::fflush(stdout);
  }

  /// False: so much is broken that going on says nothing new.
  bool try_at(Subject& subject, const StepPath& path, std::uint64_t n) {
    const std::vector<Problem> problems = subject.try_at(stage_, path, n);
    ++tally_->beat;
    if (problems.empty()) return true;
    for (const Problem& problem : problems) tally_->count(problem.trouble);
    if (shown_++ < most_problems_shown) {
      fmt::print("{}: instruction {} of {}, before {}\n", subject.name(), n, path.instructions(),
                 place_of(path.address(n)));
      for (const Problem& problem : problems) fmt::print("  {}: {}\n", name_of(problem.trouble), problem.what);
      std::fflush(stdout);
    }
    stage_.renew();
    return ++spoilt_ < most_engines_spoilt;
  }

  Arguments arguments_;
  Tally* tally_;
  Stage stage_;
  std::mt19937_64 random_;
  std::size_t shown_ = 0;
  std::size_t spoilt_ = 0;
};

/// A new folder below `parent`, removed with everything in it.
class ScratchFolder {
 public:
  explicit ScratchFolder(const std::string& parent) : path_(parent + "/ringmill-sweep-XXXXXX") {
    if (::mkdtemp(path_.data()) == nullptr) {
      std::perror(("kill-sweep: " + parent).c_str());
      std::exit(3);
    }
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

int sweeper_main(const Arguments& arguments, Tally& tally, const std::string& folder, const std::string& shm_folder) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // Tracer and child take turns: on one processor the switch is cheaper than waking the other one.
  cpu_set_t processors;
  CPU_ZERO(&processors);
  CPU_SET(static_cast<std::size_t>(std::max(::sched_getcpu(), 0)), &processors);
  ::sched_setaffinity(0, sizeof processors, &processors);
  // A wake-up that is lost must not be made good by the engine's own second look.
  longest_sleep_ns = std::uint64_t{3600} * 1'000'000'000;
  spdlog::register_logger(
      std::make_shared<spdlog::logger>("ringmill", std::make_shared<spdlog::sinks::stderr_sink_mt>()));
  spdlog::get("ringmill")->set_level(spdlog::level::warn);
  Sweeper(arguments, tally, folder, shm_folder).run();
  return 0;
}

std::atomic<bool> is_interrupted{false};

/// Waits for the sweeper as long as it makes trials.
void watch(pid_t sweeper, Tally& tally) {
  for (const int signal : {SIGINT, SIGTERM}) std::signal(signal, [](int) { is_interrupted = true; });
  std::uint64_t beat = 0;
  auto heard = std::chrono::steady_clock::now();
  int status = 0;
  while (::waitpid(sweeper, &status, WNOHANG) == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const auto now = std::chrono::steady_clock::now();
    if (tally.beat != beat) {
      beat = tally.beat;
      heard = now;
    }
    if (is_interrupted) ::kill(sweeper, SIGKILL);
    if (now - heard < most_silence) continue;
    fmt::print("a survivor hangs in the engine: no trial has ended for five minutes\n");
    ::kill(sweeper, SIGKILL);
    heard = now;
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  fmt::print("the survivors ended with {} {}\n", WIFSIGNALED(status) ? "signal" : "exit",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
  tally.count(Trouble::stuck);
}

int report(const Arguments& arguments, const Tally& tally) {
  std::uint64_t tried = 0;
  std::string lines;
  for (std::size_t n = 0; n < tally.line_count; ++n) {
    const Tally::Line& line = tally.lines[n];
    tried += line.tried;
    lines += fmt::format(R"({}{{"name":"{}","instructions":{},"tried":{}}})", n == 0 ? "" : ",", line.name.data(),
                         line.instructions.load(), line.tried.load());
  }
  fmt::print(R"({{"mode":"{}","tried":{},"lost":{},"doubled":{},"leaked":{},"stuck":{},"operations":[{}]}})"
             "\n",
             arguments.mode == Mode::kill ? "kill" : "stop", tried, tally.of(Trouble::lost), tally.of(Trouble::doubled),
             tally.of(Trouble::leaked), tally.of(Trouble::stuck), lines);
  if (is_interrupted) return 3;
  const bool is_clean =
      tally.of(Trouble::lost) + tally.of(Trouble::doubled) + tally.of(Trouble::leaked) + tally.of(Trouble::stuck) == 0;
  return tried > 0 && is_clean ? 0 : 1;
}

std::vector<std::string> subject_names() {
  std::vector<std::string> names{"reap"};
  for (const auto& subject : subjects()) names.emplace_back(subject->name());
  return names;
}

int main_of(int argc, char** argv) {
  Arguments arguments;
  arguments.seed = std::random_device()();
  std::string mode = "kill";
  CLI::App app("Kills (or stops) a process after each instruction of each operation; the survivors must lose nothing.");
  app.add_option("--mode", mode, "kill, or stop: stand still while others go on, then go on")
      ->check(CLI::IsMember({"kill", "stop"}));
  app.add_option("--operation", arguments.operation, "only this one; reap: all of the keeper's repairs")
      ->check(CLI::IsMember(subject_names()));
  app.add_option("--sample", arguments.sample,
                 "at most so many instructions of each operation, evenly spread over it and over its code; 0: all");
  app.add_option("--seed", arguments.seed, "where a sample begins");
  app.add_option("--from", arguments.from, "the first instruction of a piece of a sweep")->check(CLI::PositiveNumber);
  app.add_option("--to", arguments.to, "the last one")->check(CLI::PositiveNumber);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  arguments.mode = mode == "kill" ? Mode::kill : Mode::stop;

  // Bound at the first call, a function would cost thousands of instructions of the loader in each child.
  if (std::getenv("LD_BIND_NOW") == nullptr) {
    ::setenv("LD_BIND_NOW", "1", 1);
    ::execv("/proc/self/exe", argv);
  }
  const std::string piece = arguments.is_a_piece() ? fmt::format(" from {} to {}", arguments.from, arguments.to) : "";
  fmt::print(
      "mode {}, {}{}, seed {}\n", mode,
      arguments.sample == 0 ? "every instruction" : fmt::format("{} instructions of each operation", arguments.sample),
      piece, arguments.seed);
  std::fflush(stdout);
  const ScratchFolder folder("/tmp");
  const ScratchFolder shm_folder("/dev/shm");
  Tally* const tally = shared_page<Tally>();
  const pid_t sweeper = ::fork();
  if (sweeper == 0) {
    const int status = sweeper_main(arguments, *tally, folder.path(), shm_folder.path());
    std::fflush(stdout);
    ::_exit(status);
  }
  watch(sweeper, *tally);
  return report(arguments, *tally);
}

}  // namespace
}  // namespace ringmill::crash

int main(int argc, char** argv) { return ringmill::crash::main_of(argc, argv); }
