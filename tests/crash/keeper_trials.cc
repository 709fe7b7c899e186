// The keeper killed, or stopped, in the midst of its own repairs.
//
// A victim dies at a chosen point of an operation, or stands before it with a lease that is over; another process
// becomes the keeper and repairs; it is killed or stopped after its n-th instruction. Then a victim that lives does
// its whole operation: keeper and holder decide which of them has the job. At last the next keeper takes office, which
// must finish the work.
#include <unistd.h>

#include <array>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "tests/crash/trials.h"

namespace ringmill::crash {
namespace {

using State = SteppedProcess::State;

/// What a victim leaves behind.
struct Remains {
  std::string_view name;
  std::string_view operation;
  /// True at the instruction where the victim ends. Never true: it ends at the operation's end.
  bool (*is_there)(const World& world, const Operation& operation);
  /// It only stands, and its lease is over: the keeper revokes it instead of reaping.
  bool lives = false;
};

bool at_the_end(const World&, const Operation&) { return false; }
bool three_filling(const World& world, const Operation&) { return world.cells_in(CellState::filling) >= 3; }
bool one_more_queued(const World& world, const Operation& operation) {
  return world.cells_in(CellState::queued) > operation.standing.size();
}
bool one_completing(const World& world, const Operation&) { return world.cells_in(CellState::completing) > 0; }
bool one_running(const World& world, const Operation&) { return world.cells_in(CellState::running) > 0; }
bool all_queued_again(const World& world, const Operation& operation) {
  return world.cells_in(CellState::queued) == operation.standing.size();
}

constexpr std::array<Remains, 13> all_remains{{
    {"reap_filling", "enqueue_batch", three_filling},
    {"reap_placing", "enqueue", one_more_queued},
    {"reap_running", "claim_batch", at_the_end},
    {"reap_completing", "complete", one_completing},
    {"reap_requeueing", "fail", one_completing},
    {"reap_requeued", "fail", all_queued_again},
    {"reap_cancelling", "cancel", one_completing},
    {"reap_together", "enqueue_together", one_more_queued},
    {"reap_follow_up", "complete_and_follow", one_completing},
    {"release_child", "complete_parent", at_the_end},
    {"expire_complete", "complete", one_running, true},
    {"expire_fail", "fail", one_running, true},
    {"expire_extend", "extend", one_running, true},
}};

class KeeperSubject final : public Subject {
 public:
  explicit KeeperSubject(const Remains& remains)
      : remains_(&remains), operation_(&operation_named(remains.operation)) {}
  std::string_view name() const noexcept override { return remains_->name; }

  std::optional<StepPath> measure(Stage& stage) override {
    victim_path_ = worker_subject(*operation_)->measure(stage);
    if (!victim_path_) return std::nullopt;
    near_ = 0;
    std::vector<Problem> problems = stage.begin(operation_->standing, remains_->lives ? short_lease : long_lease);
    auto victim = std::make_unique<SteppedProcess>(stage.child_body(*operation_));
    victim->run_to_begin();
    std::uint64_t point = 0;
    while (!remains_->is_there(*stage.world, *operation_) && victim->step(1) == State::between) ++point;
    near_ = point > margin ? point - margin : 0;
    end_victim(*victim);
    stage.world->resign();
    SteppedProcess keeper(keeper_body(stage), patience_to_record);
    keeper.run_to_begin();
    auto path = keeper.record();
    let_finish(keeper, problems);
    finish(stage, *victim, problems);
    for (const Problem& problem : problems) fmt::print("  undisturbed: {}\n", problem.what);
    return problems.empty() ? std::move(path) : std::nullopt;
  }

  std::vector<Problem> try_at(Stage& stage, const StepPath& path, std::uint64_t n) override {
    std::vector<Problem> problems = stage.begin(operation_->standing, remains_->lives ? short_lease : long_lease);
    if (!problems.empty()) return problems;
    SteppedProcess victim(stage.child_body(*operation_));
    victim.run_to_begin();
    victim.follow(*victim_path_, near_);
    while (!remains_->is_there(*stage.world, *operation_) && victim.step(1) == State::between) {
    }
    end_victim(victim);

    stage.world->resign();
    SteppedProcess keeper(keeper_body(stage));
    keeper.run_to_begin();
    keeper.follow(path, n);
    if (never_came(keeper, "keeper", problems)) {
      // There is nothing to try.
    } else if (stage.mode == Mode::kill) {
      keeper.kill();
      if (n % 2 == 1) stage.world->drain(stage.trial, runs_);
    } else {
      // Without a keeper nothing is repaired, but the survivors' own work goes on.
      churn(*stage.world, stage.trial, runs_, false, problems);
      if (n % 2 == 1) stage.world->fill(stage.trial, runs_);
      if (remains_->lives) victim.run_to_end();
      let_finish(keeper, problems);
    }
    finish(stage, victim, problems);
    return problems;
  }

 private:
  static constexpr std::uint64_t margin = 40;

  void end_victim(SteppedProcess& victim) {
    runs_ = {};
    if (!remains_->lives) return victim.kill();
    std::this_thread::sleep_for(2 * short_lease);
  }

  std::function<void()> keeper_body(Stage& stage) const {
    return [this, &stage] {
      const auto core = open_core(stage.world->directory());
      if (!lock_byte(core->locks.file(), keeper_lock_byte)) ::_exit(Child::could_not_prepare);
      const auto number = core->registry.enter(Role::keeper);
      if (!number) ::_exit(Child::could_not_prepare);
      {
        KeeperWork work(*core, *number);
        ringmill_step_begin();
        if (remains_->lives)
          work.turn(true);
        else
          work.reap_all();
        ringmill_step_end();
      }
      core->registry.leave(*number);
    };
  }

  void finish(Stage& stage, SteppedProcess& victim, std::vector<Problem>& problems) {
    if (!stage.world->take_office())
      problems.push_back({Trouble::stuck, "the lock of the dead keeper does not come free"});
    if (remains_->lives) {
      victim.run_to_end();
      let_finish(victim, problems);
    }
    check_all(stage, runs_, operation_->standing.size(), remains_->lives ? Mode::stop : Mode::kill, problems);
  }

  const Remains* remains_;
  const Operation* operation_;
  std::optional<StepPath> victim_path_;
  std::uint64_t near_ = 0;  // some instructions before the victim's end
  Runs runs_;
};

}  // namespace

std::vector<std::unique_ptr<Subject>> keeper_subjects() {
  std::vector<std::unique_ptr<Subject>> subjects;
  for (const Remains& remains : all_remains) subjects.push_back(std::make_unique<KeeperSubject>(remains));
  return subjects;
}

}  // namespace ringmill::crash
