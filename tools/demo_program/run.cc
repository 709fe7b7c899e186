#include "tools/demo_program/run.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <csignal>
#include <optional>
#include <stdexcept>
#include <thread>

#include <ringmill/engine.h>

#include "core/base/logger.h"
#include "core/inspect/job_view.h"
#include "core/instance/engine_files.h"
#include "tools/demo_program/children.h"

namespace ringmill::demo {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// More files than this wait their turn with the producers, as they would in earnest.
constexpr std::uint32_t most_capacity = 8192;
/// No job may end for this long before the run is called stuck; a single huge file takes its time.
constexpr std::chrono::minutes stuck_after{5};

std::atomic<bool> interrupted{false};

template <class T>
T value_of(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

Engine make_engine(const RunFolder& folder, const Listing& listing) {
  std::size_t longest = 0;
  for (const ListedFile& file : listing.files) longest = std::max(longest, file.path.size());
  CreateOptions options;
  options.levels.assign(level_names.begin(), level_names.end());
  options.capacity = static_cast<std::uint32_t>(std::clamp<std::size_t>(listing.files.size(), 64, most_capacity));
  options.cell_size = static_cast<std::uint32_t>(std::max<std::size_t>(256, std::bit_ceil(longest + 64)));
  options.lease = std::chrono::hours(24);  // nothing here hangs; a file may be huge
  value_of(Engine::create(folder.engine(), options));
  fmt::print(
      "engine: {} jobs at a time, cells of {} bytes, levels high (to 4 KiB), default (to 64 KiB), low (larger)\n",
      options.capacity, options.cell_size);
  return value_of(Engine::open(folder.engine()));
}

struct Counts {
  std::uint64_t done = 0;
  std::vector<std::uint64_t> waiting;
  std::uint64_t running = 0;
};

Counts counts_of(const Engine& engine) {
  const EngineStatus status = engine.status();
  Counts counts;
  std::uint64_t in_table = 0;
  for (const LevelStatus& level : status.levels) {
    counts.waiting.push_back(level.queued);
    counts.running += level.running;
    in_table += level.queued + level.running;
  }
  // The totals are statistics: they may lag behind the table by some jobs.
  counts.done = status.totals.enqueued > in_table ? status.totals.enqueued - in_table : 0;
  return counts;
}

/// On a terminal one line, written over again; elsewhere a line each second.
class Progress {
 public:
  explicit Progress(std::size_t jobs) : jobs_(jobs) {}

  void show(const Counts& counts) {
    const auto now = Clock::now();
    if (now < next_) return;
    next_ = now + (terminal_ ? milliseconds(100) : milliseconds(1000));
    const double seconds = std::chrono::duration<double>(now - began_).count();
    fmt::print("{}  {:>5.1f} s  {} of {} files hashed; waiting: high {}, default {}, low {}; running {}{}",
               terminal_ ? "\r" : "", seconds, std::min<std::uint64_t>(counts.done, jobs_), jobs_, counts.waiting[0],
               counts.waiting[1], counts.waiting[2], counts.running, terminal_ ? "\x1b[K" : "\n");
    std::fflush(stdout);
    open_ = terminal_;
  }
  /// A line that stays.
  void say(const std::string& text) {
    fmt::print("{}{}\n", open_ ? "\r\x1b[K" : "", text);
    std::fflush(stdout);
    open_ = false;
  }

 private:
  std::size_t jobs_;
  bool terminal_ = ::isatty(STDOUT_FILENO) == 1;
  bool open_ = false;
  Clock::time_point began_ = Clock::now();
  Clock::time_point next_ = began_;
};

/// Reads which participant holds which job, without taking part.
class Holders {
 public:
  explicit Holders(const RunFolder& folder)
      : segment_(value_of(value_of(EngineFiles::open(folder.engine())).open_segment_to_read())) {}

  std::vector<JobId> held_by(int participant) const {
    std::vector<JobId> held;
    const CellChunks chunks = segment_.chunks();
    for (CellIndex index = chunks.next_there(0); index < segment_.geometry().capacity;
         index = chunks.next_there(index + 1)) {
      const auto view = view_job(segment_, index);
      if (view && view->info.worker == participant) held.push_back(view->info.id);
    }
    return held;
  }
  bool holds_any(int participant, const std::vector<JobId>& jobs) const {
    return std::ranges::any_of(jobs, [&](JobId id) {
      const auto view = view_job(segment_, index_of(id));
      return view && view->info.id == id && view->info.worker == participant;
    });
  }

 private:
  Segment segment_;
};

std::optional<int> participant_of(const Engine& engine, pid_t pid) {
  for (const ParticipantStatus& participant : engine.status().participants) {
    if (participant.pid == pid && participant.role == "worker") return participant.number;
  }
  return std::nullopt;
}

/// Stops the victim to look at what it holds: nothing, and it goes on; something, and it is killed.
bool try_kill(const Engine& engine, const Holders& holders, Child& child, RunResult& result) {
  if (!child.stop()) throw std::runtime_error("a worker ended by itself");
  const auto participant = participant_of(engine, child.pid());
  const std::vector<JobId> held = participant ? holders.held_by(*participant) : std::vector<JobId>();
  if (held.empty()) {
    child.signal(SIGCONT);
    return false;
  }
  const auto killed_at = Clock::now();
  child.signal(SIGKILL);
  while (holders.holds_any(*participant, held)) {
    if (Clock::now() - killed_at > std::chrono::seconds(30)) {
      throw std::runtime_error("the jobs of the killed worker were not taken back within 30 s");
    }
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  result.taken_back_after = Clock::now() - killed_at;
  child.wait();
  for (const JobId id : held) result.held_by_victim.push_back(id.to_string());
  result.killed = true;
  return true;
}

/// All producers have returned, and successfully.
bool have_ended(std::vector<Child>& children) {
  bool all = true;
  for (Child& child : children) {
    all = child.has_ended() && all;
    if (child.has_ended() && !child.succeeded()) throw std::runtime_error("a producer failed");
  }
  return all;
}

/// Waits until every child is in the registry: only then it is ready for signals, and the start is fair.
void await_attached(const Engine& engine, std::vector<Child>& children) {
  for (Child& child : children) {
    while (!participant_of(engine, child.pid())) {
      if (child.has_ended() || interrupted.load()) throw std::runtime_error("a worker did not start");
      std::this_thread::sleep_for(milliseconds(1));
    }
  }
}

void must_run(std::vector<Child>& children, bool victim_was_killed) {
  for (int n = 0; n < workers; ++n) {
    if (n == victim && victim_was_killed) continue;
    if (children[static_cast<std::size_t>(n)].has_ended()) throw std::runtime_error("a worker ended by itself");
  }
}

std::vector<Child> start(const std::string& program, const RunFolder& folder, const char* role, int count) {
  std::vector<Child> children;
  for (int n = 0; n < count; ++n) {
    children.push_back(Child::start({program, role, folder.path.string(), std::to_string(n), std::to_string(count)}));
  }
  return children;
}

void end_workers(std::vector<Child>& children) {
  for (Child& child : children) child.signal(SIGTERM);
  for (int n = 0; n < workers; ++n) {
    Child& child = children[static_cast<std::size_t>(n)];
    const bool was_killed = child.has_ended();
    child.wait();
    if (!was_killed && !child.succeeded()) throw std::runtime_error("a worker failed");
  }
}

}  // namespace

RunResult run_jobs(const std::string& program, const RunFolder& folder, const Listing& listing) {
  for (const int number : {SIGINT, SIGTERM}) std::signal(number, [](int) { interrupted.store(true); });
  logger().set_level(spdlog::level::warn);  // what the keeper does is told by us, between two lines of progress
  const Engine engine = make_engine(folder, listing);
  const Holders holders(folder);
  const std::size_t jobs = listing.files.size();
  RunResult result;
  Progress progress(jobs);
  progress.say(fmt::format("{} producers and {} workers start, each a process of its own", producers, workers));
  std::vector<Child> working = start(program, folder, "worker", workers);
  await_attached(engine, working);
  const auto began = Clock::now();
  std::vector<Child> producing = start(program, folder, "producer", producers);
  std::uint64_t last_done = 0;
  auto last_progress = began;
  while (true) {
    if (interrupted.load()) throw std::runtime_error("ended by a signal");
    const bool produced = have_ended(producing);
    must_run(working, result.killed);
    const Counts counts = counts_of(engine);
    progress.show(counts);
    const std::uint64_t in_table = counts.running + counts.waiting[0] + counts.waiting[1] + counts.waiting[2];
    if (produced && in_table == 0) break;
    if (!result.killed && counts.done >= jobs / 4 &&
        try_kill(engine, holders, working[static_cast<std::size_t>(victim)], result)) {
      progress.say(fmt::format("  worker {} killed (SIGKILL) holding {} of the jobs; waiting again after {:.1f} ms",
                               working[static_cast<std::size_t>(victim)].pid(), result.held_by_victim.size(),
                               result.taken_back_after.count()));
    }
    const auto now = Clock::now();
    if (counts.done != last_done) last_progress = now;
    last_done = counts.done;
    if (now - last_progress > stuck_after) throw std::runtime_error("stuck: no job ended for 5 minutes");
    std::this_thread::sleep_for(result.killed ? milliseconds(20) : milliseconds(1));
  }
  result.seconds = Clock::now() - began;
  end_workers(working);
  progress.say(fmt::format("  all jobs done after {:.2f} s", result.seconds.count()));
  return result;
}

}  // namespace ringmill::demo
