// A producer that is killed, or stopped, while it wakes a worker: the worker must not sleep on beside a job that waits.
//
// The engine bounds each sleep, so that a lost wake-up costs time and not the job; the sweep sets that bound to an
// hour (kill_sweep.cc).
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "tests/crash/trials.h"

namespace ringmill::crash {
namespace {

using State = SteppedProcess::State;
using std::chrono::steady_clock;

constexpr std::uint32_t last_serial = most_serials - 1;  // the job that ends the sleeper, if no other did
constexpr std::size_t level = 1;

/// A worker that sleeps until there is a job, completes it, and ends.
class Sleeper {
 public:
  explicit Sleeper(const Stage& stage) : process_id_(::fork()) {
    if (process_id_ != 0) return;
    {
      auto engine = Engine::open(stage.world->directory(), OpenOptions{.embedded_keeper = false});
      auto participant = engine->attach(Role::worker);
      if (!participant) ::_exit(Child::could_not_prepare);
      Result<Job> job = (*participant)->claim(std::chrono::hours(1));
      if (!job) ::_exit(Child::could_not_prepare);
      const auto serial = serial_in(job->payload(), stage.report->trial);
      if (serial && *serial < most_serials && job->complete()) ++stage.report->woken_ends[*serial];
    }
    ::_exit(0);
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  ~Sleeper() {
    if (is_gone_) return;
    ::kill(process_id_, SIGKILL);
    ::waitpid(process_id_, nullptr, 0);
  }
  /// True once it has ended.
  bool has_ended() noexcept {
    if (!is_gone_) is_gone_ = ::waitpid(process_id_, nullptr, WNOHANG) == process_id_;
    return is_gone_;
  }

 private:
  pid_t process_id_;
  bool is_gone_ = false;
};

bool comes_true_within(std::chrono::milliseconds limit, const std::function<bool()>& condition) {
  const auto end = steady_clock::now() + limit;
  while (!condition()) {
    if (steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
  return true;
}

class WakingSubject final : public Subject {
 public:
  std::string_view name() const noexcept override { return "enqueue_wakes"; }

  std::optional<StepPath> measure(Stage& stage) override {
    if (!stage.begin({}, long_lease).empty()) return std::nullopt;
    Runs runs;
    std::vector<Problem> problems;
    Sleeper sleeper(stage);
    await_sleep(stage, problems);
    SteppedProcess process(stage.child_body(operation_), patience_to_record);
    process.run_to_begin();
    auto path = process.record();
    let_finish(process, problems);
    finish(stage, sleeper, runs, problems);
    for (const Problem& problem : problems) fmt::print("  undisturbed: {}\n", problem.what);
    return problems.empty() ? std::move(path) : std::nullopt;
  }

  std::vector<Problem> try_at(Stage& stage, const StepPath& path, std::uint64_t n) override {
    std::vector<Problem> problems = stage.begin({}, long_lease);
    Runs runs;
    Sleeper sleeper(stage);
    await_sleep(stage, problems);
    SteppedProcess process(stage.child_body(operation_));
    process.run_to_begin();
    process.follow(path, n);
    if (never_came(process, "process", problems)) {
      // There is nothing to try.
    } else if (stage.mode == Mode::kill) {
      process.kill();
    } else {
      if (n % 2 == 1) stage.world->drain(stage.trial, runs);
      let_finish(process, problems);
    }
    // What the dead owed to sleepers, the keeper pays in its next turn.
    stage.world->turn();
    finish(stage, sleeper, runs, problems);
    return problems;
  }

 private:
  static void await_sleep(const Stage& stage, std::vector<Problem>& problems) {
    if (!comes_true_within(std::chrono::seconds(10), [&] { return stage.world->someone_sleeps(); })) {
      problems.push_back({Trouble::stuck, "the worker does not fall asleep"});
    }
  }

  /// Only the sleeper claims now.
  static void finish(Stage& stage, Sleeper& sleeper, Runs& runs, std::vector<Problem>& problems) {
    World& world = *stage.world;
    const auto nothing_waits = [&] { return world.cells_in(CellState::queued) == 0; };
    if (!comes_true_within(std::chrono::seconds(5), nothing_waits)) {
      problems.push_back({Trouble::stuck, "a job waits beside a worker that sleeps"});
    }
    // A worker that had nothing to do must still hear of the next job.
    if (stage.report->woken_ends[first_own_serial] == 0) {
      stage.report->jobs[last_serial].is_enqueuing = 1;
      if (world.enqueue(last_serial, level, *stage.report, long_lease)) {
        stage.report->jobs[last_serial].enqueued = Answer::yes;
      }
    }
    if (!comes_true_within(std::chrono::seconds(5), [&] { return sleeper.has_ended(); })) {
      problems.push_back({Trouble::stuck, "the worker sleeps on: the wake-up was lost"});
    }
    check_all(stage, runs, 0, stage.mode, problems);
  }

  Operation operation_{"enqueue_wakes", {}, operation_named("enqueue").prepare, operation_named("enqueue").act};
};

}  // namespace

std::unique_ptr<Subject> waking_subject() { return std::make_unique<WakingSubject>(); }

}  // namespace ringmill::crash
