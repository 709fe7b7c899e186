// A worker that comes back from a slow job, stopped after each instruction of its next claim while the keeper takes
// back what it has claimed in advance: each job runs once, whichever of the two is first.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/keeper/taking_back.h"
#include "core/table/lease_slots.h"
#include "tests/crash/single_step.h"
#include "tests/crash/stepped_test.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"
#include "tests/support/random.h"
#include "tests/support/shared_block.h"

namespace ringmill::crash {
namespace {

using test::must;
using State = SteppedProcess::State;

constexpr std::size_t jobs_of_a_trial = 200;
/// So many instructions are tried, evenly spread over the code; the first is another one each run.
constexpr std::size_t most_trials_of_taking_back = 60;

class TakingBackStepped : public SteppedTest {
 protected:
  using Runs = std::array<std::atomic<int>, jobs_of_a_trial>;

  static void run(Job& job, Runs& runs) {
    ++runs[std::stoul(std::string(as_text(job.payload())))];
    must(job.complete());
  }
  void enqueue_all() {
    for (auto& count : *runs_) count = 0;
    const auto producer = world.attach(Role::producer);
    for (std::size_t n = 0; n < jobs_of_a_trial; ++n) world.enqueue(*producer, std::to_string(n));
  }
  void run_what_is_left() {
    const auto other = world.attach();
    while (auto job = other->claim()) run(*job, *runs_);
  }
  std::optional<StepPath> path_with(const std::function<void(TakingBack&)>& before) {
    enqueue_all();
    test::Inside inside(world.scratch);
    Reaper reaper(inside.core(), inside.number());
    TakingBack taking_back(inside.segment(), reaper);
    SteppedProcess process(come_back, std::chrono::seconds{60});
    process.run_to_begin();
    before(taking_back);
    auto path = process.record();
    process.let_go();
    run_what_is_left();
    return process.ended_well() ? std::move(path) : std::nullopt;
  }
  /// How many jobs did not run exactly once.
  int wrong_runs() const {
    int wrong = 0;
    for (const auto& count : *runs_) wrong += count == 1 ? 0 : 1;
    return wrong;
  }
  /// Tries each instruction: `before` when the worker stands still outside of all calls, then it goes on to the
  /// instruction, then `there`.
  void try_each(const std::function<void(TakingBack&)>& before,
                const std::function<void(TakingBack&, Reaper&)>& there) {
    const auto path = path_with(before);
    ASSERT_TRUE(path);
    const auto visits = path->first_visits();
    const std::size_t stride = visits.size() / most_trials_of_taking_back + 1;
    std::size_t tried = 0;
    for (std::size_t at = test::printed_seed() % stride; at < visits.size(); at += stride) {
      SCOPED_TRACE("stopped after " + std::to_string(visits[at]));
      enqueue_all();
      test::Inside inside(world.scratch);
      Reaper reaper(inside.core(), inside.number());
      TakingBack taking_back(inside.segment(), reaper);
      const auto sleeper = world.attach();
      must(sleeper->subscribe({.prefetch = 1}));
      SteppedProcess process(come_back);
      ASSERT_EQ(process.run_to_begin(), State::between);
      while (auto job = sleeper->claim()) run(*job, *runs_);
      ASSERT_TRUE(must(sleeper->begin_wait()));
      taking_back.find();
      ASSERT_TRUE(taking_back.find());
      before(taking_back);
      process.follow(*path, visits[at]);
      there(taking_back, reaper);
      ASSERT_EQ(process.run_to_end(), State::at_end) << process.ending();
      ASSERT_EQ(process.let_go(), State::ended);
      ASSERT_TRUE(process.ended_well()) << process.ending();
      sleeper->end_wait(true);
      while (auto job = sleeper->claim()) run(*job, *runs_);
      EXPECT_EQ(wrong_runs(), 0);
      ++tried;
    }
    EXPECT_GT(tried, 30U);
    EXPECT_GT(taken_, 0U) << "at the first instructions the worker is still outside";
  }

  test::World world;
  test::SharedBlock<Runs> runs_;
  std::uint32_t taken_ = 0;
  const std::function<void()> come_back = [this] {
    Engine engine = world.scratch.open(test::without_keeper);
    const auto worker = must(engine.attach(Role::worker));
    Job slow = must(worker->claim());
    while (worker->held() < 3) {  // batches grow while jobs are short
      run(slow, *runs_);
      slow = must(worker->claim());
    }
    ringmill_step_begin();
    auto next = worker->claim();
    ringmill_step_end();
    run(slow, *runs_);
    if (next) run(*next, *runs_);
    while (auto job = worker->claim()) run(*job, *runs_);
  };
};

TEST_F(TakingBackStepped, each_job_runs_once_wherever_it_stands_when_the_keeper_announces_and_takes) {
  try_each([](TakingBack&) {},
           [this](TakingBack& taking_back, Reaper&) {
             ASSERT_TRUE(taking_back.announce());
             taken_ += taking_back.take();
           });
}

TEST_F(TakingBackStepped, each_job_runs_once_wherever_it_stands_when_the_keeper_takes_what_it_had_announced) {
  try_each([](TakingBack& taking_back) { ASSERT_TRUE(taking_back.announce()); },
           [this](TakingBack& taking_back, Reaper&) { taken_ += taking_back.take(); });
}

/// The keeper looked at the visit before, and swaps now.
TEST_F(TakingBackStepped, each_job_runs_once_wherever_it_stands_when_the_keeper_swaps) {
  std::vector<std::pair<CellIndex, StateWord>> noted;
  try_each(
      [this, &noted](TakingBack& taking_back) {
        noted.clear();
        const auto inside = world.scratch.open_core();
        const JobTable table(inside->segment);
        for (CellIndex index = 0; index < table.capacity(); ++index) {
          const StateWord word = table.word(index);
          if (word.state() != CellState::running) continue;
          const auto slot = lease_slot_of(inside->segment.participant(word.owner() - 1), job_id_of(word, index), word);
          if (slot && inside->segment.participant(word.owner() - 1).leases[*slot].started_at_ns.load() == 0) {
            noted.emplace_back(index, word);
          }
        }
        ASSERT_TRUE(taking_back.announce());
      },
      [this, &noted](TakingBack&, Reaper& reaper) {
        for (const auto& [index, word] : noted) taken_ += reaper.take_back(index, word) ? 1U : 0U;
      });
}

}  // namespace
}  // namespace ringmill::crash
