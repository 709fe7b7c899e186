#include "tests/crash/trials.h"

#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include <ringmill/participant.h>
#include <ringmill/statistics.h>

#include "core/inspect/statistics_view.h"

namespace ringmill::crash {
namespace {

using State = SteppedProcess::State;

/// Rings hold twice the table's cells; three levels share one refill.
constexpr int refills_per_lap = 2 * static_cast<int>(level_names.size()) + 1;
void check_marks(const World& world, std::uint32_t allowed, std::vector<Problem>& problems) {
  if (const std::uint32_t unmarked = world.unmarked_cells(); unmarked > allowed) {
    problems.push_back({Trouble::lost, fmt::format("the journal will never look at {} cells that changed", unmarked)});
  }
}

class WorkerSubject final : public Subject {
 public:
  explicit WorkerSubject(const Operation& operation) : operation_(&operation) {}
  std::string_view name() const noexcept override { return operation_->name; }
  Shape shape() const noexcept override { return operation_->shape; }

  std::optional<StepPath> measure(Stage& stage) override {
    Runs runs;
    if (!stage.begin(*operation_, lease_in(stage), runs).empty()) return std::nullopt;
    SteppedProcess process(stage.child_body(*operation_), patience_to_record);
    process.run_to_begin();
    auto path = process.record();
    std::vector<Problem> problems;
    let_finish(process, problems);
    check_all(stage, runs, operation_->standing.size(), Mode::stop, problems);
    for (const Problem& problem : problems) fmt::print("  undisturbed: {}\n", problem.what);
    return problems.empty() ? std::move(path) : std::nullopt;
  }

  std::vector<Problem> try_at(Stage& stage, const StepPath& path, std::uint64_t n) override {
    Runs runs;
    std::vector<Problem> problems = stage.begin(*operation_, lease_in(stage), runs);
    if (!problems.empty()) return problems;
    SteppedProcess process(stage.child_body(*operation_));
    process.run_to_begin();
    process.follow(path, n);
    if (never_came(process, "process", problems)) {
      // There is nothing to try.
    } else if (stage.mode == Mode::kill) {
      process.kill();
      work_after_kill(stage, runs, n, unmarked(), problems);
    } else {
      work_beside_stopped(stage, runs, n % 2 == 1, problems);
      let_finish(process, problems);
      stage.world->drain(stage.trial, runs);
      if (problems.empty() && stage.world->cells_in(CellState::queued) > 0) {
        problems.push_back({Trouble::stuck, "no process died, and yet a job waits for the keeper's scan"});
      }
    }
    check_all(stage, runs, operation_->standing.size(), stage.mode, problems, unmarked());
    return problems;
  }

 private:
  static std::chrono::milliseconds lease_in(const Stage& stage) noexcept {
    return stage.mode == Mode::stop ? short_lease : long_lease;
  }

  std::uint32_t unmarked() const noexcept { return operation_->kept != 0 ? 1 : 0; }

  static void work_after_kill(Stage& stage, Runs& runs, std::uint64_t n, std::uint32_t unmarked,
                              std::vector<Problem>& problems) {
    World& world = *stage.world;
    if (n % 2 == 1) world.drain(stage.trial, runs);
    if (n % 4 < 2) return;
    // A turn hands over at once what the dead one's lists say; a scan is not due so soon after the last one.
    world.turn();
    check_marks(world, unmarked, problems);
    world.drain(stage.trial, runs);
    if (world.cells_in(CellState::queued) + world.cells_in(CellState::running) + world.cells_in(CellState::completing) >
        0) {
      problems.push_back({Trouble::stuck, "a job of the dead waits for the scan instead of being handed over at once"});
    }
  }

  static void work_beside_stopped(Stage& stage, Runs& runs, bool leave_full, std::vector<Problem>& problems) {
    World& world = *stage.world;
    if (world.cells_in(CellState::running) > 0) std::this_thread::sleep_for(2 * short_lease);
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    do {
      world.turn();
      world.drain(stage.trial, runs);
      if (world.cells_without_lease() == 0) break;
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    } while (std::chrono::steady_clock::now() < end);
    if (world.cells_without_lease() > 0) {
      problems.push_back({Trouble::stuck, "its lease is over, and is not revoked while it stands"});
    }
    if (world.jobs_out_of_reach() > 0) {
      problems.push_back(
          {Trouble::stuck, "no process died, and yet a job waits for the scan while the process stands"});
    }
    churn(world, stage.trial, runs, true, problems);
    if (leave_full) world.fill(stage.trial, runs);
  }

  const Operation* operation_;
};

/// Statistics never fall, and what was killed or stopped between an event and its count lost the count of one call.
/// Nothing stands in the engine: all that was counted as enqueued has been counted as over.
void check_statistics(Stage& stage, std::vector<Problem>& problems) {
  constexpr std::uint64_t most_in_a_call = Participant::most_in_batch;
  const EngineStatistics statistics = view_statistics(stage.world->segment(), [](std::uint32_t) { return false; });
  JobTotals now;
  for (const LevelStatistics& level : statistics.levels) now += level.totals;
  const JobTotals& before = stage.counted;
  constexpr std::uint64_t JobTotals::*all[] = {&JobTotals::enqueued, &JobTotals::attempts,  &JobTotals::failed,
                                               &JobTotals::retried,  &JobTotals::completed, &JobTotals::dead,
                                               &JobTotals::cancelled};
  for (const auto total : all) {
    if (now.*total < before.*total) problems.push_back({Trouble::leaked, "a total of the statistics fell"});
  }
  const std::uint64_t begun = now.enqueued - before.enqueued;
  const std::uint64_t over = now.ended() - before.ended();
  if (std::max(begun, over) - std::min(begun, over) > most_in_a_call) {
    problems.push_back({Trouble::leaked, fmt::format("{} jobs counted as enqueued, {} as over", begun, over)});
  }
  stage.counted = now;
}

}  // namespace

void Stage::renew() { renew(world ? world->shape() : Shape::plain); }

void Stage::renew(Shape shape) {
  world.reset();
  world = std::make_unique<World>(folder, shm_folder, shape);
  counted = {};
}

std::vector<Problem> Stage::begin(const Operation& operation, std::chrono::milliseconds job_lease, Runs& runs) {
  if (!world->keep_results(operation.kept)) return {{Trouble::stuck, "the engine keeps no results"}};
  std::vector<Problem> problems = begin(operation.standing, job_lease, operation.options);
  if (problems.empty() && world->fill(trial, runs, operation.fillers) != operation.fillers) {
    problems.push_back({Trouble::stuck, "the engine refuses the fillers of a trial"});
  }
  if (operation.kept + operation.fillers != 0) world->empty_hands();
  world->let_journal_see();
  return problems;
}

std::vector<Problem> Stage::begin(const std::vector<std::size_t>& standing, std::chrono::milliseconds job_lease,
                                  const JobOptions& options) {
  lease = job_lease;
  // What we freed would be tidied up by the child's first large allocation, in thousands of instructions.
  ::malloc_trim(0);
  report->clear(++trial);
  const bool placed = world->place_standing(standing, *report, lease, options);
  world->let_journal_see();
  if (placed) return {};
  return {{Trouble::stuck, "the engine refuses the first jobs of a trial"}};
}

std::function<void()> Stage::child_body(const Operation& operation) const {
  return [this, &operation] {
    Child child(world->directory(), *report, lease);
    operation.prepare(child);
    ringmill_step_begin();
    operation.act(child);
    ringmill_step_end();
    if (operation.leave != nullptr) operation.leave(child);
    child.finish();
  };
}

void churn(World& world, std::uint64_t trial, Runs& runs, bool is_keeping, std::vector<Problem>& problems,
           std::uint32_t in_hand) {
  if (is_keeping) world.reap();
  world.drain(trial, runs);
  if (is_keeping && world.cells_in(CellState::queued) > 0) {
    problems.push_back({Trouble::stuck, "a job waits, and no survivor can claim it while the process stands"});
  }
  if (world.unfinished_cells() > in_hand) {
    problems.push_back({Trouble::stuck, fmt::format("{} cells are held by a process that has {} in its hands",
                                                    world.unfinished_cells(), in_hand)});
  }
  for (int refill = 0; refill < refills_per_lap; ++refill) {
    if (is_keeping) world.settle_memory();
    const std::uint32_t room = World::plain_capacity - std::min(world.used_cells(), World::plain_capacity);
    const std::uint32_t filled = world.fill(trial, runs);
    if (is_keeping && filled != room) {
      problems.push_back({Trouble::stuck, fmt::format("full after {} jobs while {} cells were free", filled, room)});
      is_keeping = false;  // told once
    }
    world.drain(trial, runs);
  }
}

void check_all(Stage& stage, Runs& runs, std::size_t standing, Mode ledger_mode, std::vector<Problem>& problems,
               std::uint32_t unmarked) {
  World& world = *stage.world;
  const auto add = [&](Trouble trouble, std::string what) { problems.push_back({trouble, std::move(what)}); };
  world.reap();
  check_marks(world, unmarked, problems);
  world.drain(stage.trial, runs);
  if (const std::uint32_t queued = world.cells_in(CellState::queued); queued > 0) {
    add(Trouble::stuck, fmt::format("{} jobs wait, and no worker can claim them", queued));
  } else if (const std::uint32_t used = world.used_cells(); used > 0) {
    add(Trouble::leaked, fmt::format("{} cells are not free when all is done", used));
  }
  if (const std::uint32_t strangers = world.strangers(); strangers > 0) {
    add(Trouble::leaked, fmt::format("{} registry entries are left behind", strangers));
  }
  if (const std::uint32_t filled = world.fill(stage.trial, runs); filled != World::plain_capacity) {
    add(Trouble::leaked, fmt::format("{} cells can be filled, and not {}", filled, World::plain_capacity));
  }
  world.drain(stage.trial, runs);
  if (world.used_cells() > 0) add(Trouble::stuck, "a full engine cannot be emptied");
  if (!world.arena_is_free()) add(Trouble::leaked, "extents of the arena are not free when all is done");
  for (const std::string& sentence : world.broken_invariants()) add(Trouble::leaked, "invariant broken: " + sentence);
  check_statistics(stage, problems);
  world.tell(runs);
  for (Problem& problem : judge(*stage.report, runs, standing, ledger_mode)) problems.push_back(std::move(problem));
}

bool never_came(const SteppedProcess& process, std::string_view name, std::vector<Problem>& problems) {
  if (process.state() != State::ended && process.state() != State::silent) return false;
  problems.push_back({Trouble::stuck, fmt::format("the {} never came there: {}", name, process.ending())});
  return true;
}

void let_finish(SteppedProcess& process, std::vector<Problem>& problems) {
  if (process.run_to_end() == State::at_end) process.let_go();
  if (process.ended_well()) return;
  const bool is_silent = process.state() == State::silent;
  problems.push_back({Trouble::stuck, is_silent ? "the process does not come to its end"
                                                : "the process ended with " + process.ending()});
  process.kill();
}

std::unique_ptr<Subject> worker_subject(const Operation& operation) {
  return std::make_unique<WorkerSubject>(operation);
}

std::vector<std::unique_ptr<Subject>> all_subjects() {
  std::vector<std::unique_ptr<Subject>> subjects;
  for (const Operation& operation : operations()) subjects.push_back(worker_subject(operation));
  subjects.push_back(waking_subject());
  subjects.push_back(journal_subject());
  for (auto& subject : room_subjects()) subjects.push_back(std::move(subject));
  subjects.push_back(resize_subject());
  for (auto& subject : keeper_subjects()) subjects.push_back(std::move(subject));
  return subjects;
}

}  // namespace ringmill::crash
