// A keeper that makes room, killed or stopped after each of its instructions: it frees the oldest results, or gives the
// memory of cells back. Then the next keeper goes on.
#include <unistd.h>

#include <array>
#include <functional>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "core/keeper/trimming.h"
#include "ipc/clock.h"
#include "tests/crash/trials.h"

namespace ringmill::crash {
namespace {

using State = SteppedProcess::State;

constexpr std::uint32_t results = 8;
constexpr std::uint32_t results_that_stay = 4;

struct Chore {
  std::string_view name;
  Shape shape;
  /// In the sweep, with a keeper of ours. Nothing: the engine is as the chore needs it.
  std::optional<Problem> (*prepare)(Stage& stage, Runs& runs);
  /// In the child, which is the keeper.
  void (*act)(EngineCore& core, std::uint32_t number);
  /// After an undisturbed one.
  bool (*is_done)(const World& world);
  std::uint32_t unmarked = 0;
  std::uint32_t in_hand = 0;  // cells that it may hold while it is stopped
};

std::optional<Problem> keep_too_many(Stage& stage, Runs&) {
  stage.world->bound_results(0);
  if (!stage.world->keep_results(results)) return Problem{Trouble::stuck, "the engine keeps no results"};
  stage.world->let_journal_see();
  stage.world->bound_results(results_that_stay);
  return std::nullopt;
}

/// Its own scan finds what is kept, and the end of that frees what is too much.
void free_the_oldest(EngineCore& core, std::uint32_t number) {
  KeeperWork work(core, number);
  work.reap_all();
  ringmill_step_begin();
  for (int n = 0; n < 2; ++n) work.turn(false);
  ringmill_step_end();
}

std::optional<Problem> fill_and_empty(Stage& stage, Runs& runs) {
  World& world = *stage.world;
  static_cast<void>(world.fill(stage.trial, runs));
  const bool is_whole = world.is_whole();
  world.drain(stage.trial, runs);
  world.empty_hands();
  world.let_journal_see();
  return is_whole ? std::nullopt : std::optional(Problem{Trouble::stuck, "the engine does not grow"});
}

void give_back(EngineCore& core, std::uint32_t number) {
  Trimming trimming(core.segment, number);
  constexpr int turns = 6;
  constexpr std::uint64_t between_turns_ns = 2'000'000'000;
  std::uint64_t now_ns = steady_clock_ns();
  ringmill_step_begin();
  for (int n = 0; n < turns; ++n) trimming.turn(now_ns += between_turns_ns);
  ringmill_step_end();
}

constexpr std::array<Chore, 2> all_chores{{
    {"evict_by_keeper", Shape::plain, keep_too_many, free_the_oldest,
     [](const World& world) { return world.kept_results() == results_that_stay; }, 1, 0},
    {"give_back", Shape::growing, fill_and_empty, give_back, [](const World& world) { return !world.is_whole(); }, 0,
     CellChunks::least_chunk_cells},
}};

class ChoreSubject final : public Subject {
 public:
  explicit ChoreSubject(const Chore& chore) : chore_(&chore) {}
  std::string_view name() const noexcept override { return chore_->name; }
  Shape shape() const noexcept override { return chore_->shape; }

  std::optional<StepPath> measure(Stage& stage) override {
    Runs runs;
    std::vector<Problem> problems = begin(stage, runs);
    SteppedProcess keeper(body(stage), patience_to_record);
    keeper.run_to_begin();
    auto path = keeper.record();
    let_finish(keeper, problems);
    if (!chore_->is_done(*stage.world)) problems.push_back({Trouble::stuck, "the keeper did not do it"});
    finish(stage, runs, problems);
    for (const Problem& problem : problems) fmt::print("  undisturbed: {}\n", problem.what);
    return problems.empty() ? std::move(path) : std::nullopt;
  }

  std::vector<Problem> try_at(Stage& stage, const StepPath& path, std::uint64_t n) override {
    Runs runs;
    std::vector<Problem> problems = begin(stage, runs);
    SteppedProcess keeper(body(stage));
    keeper.run_to_begin();
    keeper.follow(path, n);
    if (never_came(keeper, "keeper", problems)) {
      // There is nothing to try.
    } else if (stage.mode == Mode::kill) {
      keeper.kill();
      if (n % 2 == 1) stage.world->drain(stage.trial, runs);
    } else {
      churn(*stage.world, stage.trial, runs, false, problems, chore_->in_hand);
      let_finish(keeper, problems);
    }
    finish(stage, runs, problems);
    return problems;
  }

 private:
  std::vector<Problem> begin(Stage& stage, Runs& runs) const {
    std::vector<Problem> problems = stage.begin({}, long_lease);
    if (auto problem = chore_->prepare(stage, runs)) problems.push_back(*std::move(problem));
    stage.world->resign();
    return problems;
  }
  std::function<void()> body(const Stage& stage) const {
    return [this, &stage] {
      const auto core = open_core(stage.world->directory());
      if (!lock_byte(core->locks.file(), keeper_lock_byte)) ::_exit(Child::could_not_prepare);
      const auto number = core->registry.enter(Role::keeper);
      if (!number) ::_exit(Child::could_not_prepare);
      chore_->act(*core, *number);
      core->registry.leave(*number);
    };
  }
  void finish(Stage& stage, Runs& runs, std::vector<Problem>& problems) const {
    if (!stage.world->take_office()) {
      problems.push_back({Trouble::stuck, "the lock of the dead keeper does not come free"});
    }
    check_all(stage, runs, 0, Mode::kill, problems, chore_->unmarked);
  }

  const Chore* chore_;
};

}  // namespace

std::vector<std::unique_ptr<Subject>> room_subjects() {
  std::vector<std::unique_ptr<Subject>> subjects;
  for (const Chore& chore : all_chores) subjects.push_back(std::make_unique<ChoreSubject>(chore));
  return subjects;
}

}  // namespace ringmill::crash
