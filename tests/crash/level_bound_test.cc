// A bounded level: an enqueue, or a completion, that is killed or stopped after each of its instructions. The level
// never holds more than it may, and when the keeper has scanned, what is counted is what is there.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "core/table/level_bound.h"
#include "tests/crash/single_step.h"
#include "tests/crash/stepped_test.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"
#include "tests/support/levels.h"

namespace ringmill::crash {
namespace {

using namespace std::chrono_literals;
using test::must;
using State = SteppedProcess::State;

constexpr std::uint32_t most_held = 3;

CreateOptions engine_with_a_bounded_level() {
  CreateOptions options = test::small_engine_with_room();
  options.capacity = 64;
  options.level_limits = {{.level = "default", .limits = {.most = most_held}}};
  return options;
}

class BoundedLevelStepped : public SteppedTest {
 protected:
  std::uint64_t jobs() const { return world.engine.status().cells_used; }
  std::uint64_t counted() const {
    return LevelCount(inside.segment(), test::number_of(inside.segment(), world.level)).held();
  }
  std::uint32_t fill() {
    const auto producer = world.attach(Role::producer);
    std::uint32_t count = 0;
    while (producer->enqueue(world.request("payload"))) ++count;
    return count;
  }
  void complete_all() {
    const auto worker = world.attach();
    while (auto job = worker->claim()) must(job->complete());
  }
  /// Steps `run`; calls `then(process)` after each first visit of an instruction.
  std::size_t at_each_instruction(const std::function<void()>& run, const std::function<void()>& prepare,
                                  const std::function<void(SteppedProcess&)>& then) {
    prepare();
    const auto path = path_of(run);
    if (!path) return 0;
    std::size_t tried = 0;
    for (const std::uint64_t n : path->first_visits()) {
      SCOPED_TRACE("after " + std::to_string(n));
      inside.work().reap_all();
      complete_all();
      prepare();
      SteppedProcess process(run);
      if (process.run_to_begin() != State::between) return 0;
      process.follow(*path, n);
      then(process);
      ++tried;
      if (testing::Test::HasFailure()) break;
    }
    return tried;
  }

  void expect_no_place_taken_after_death_of(SteppedProcess& process) {
    process.kill();
    fill();
    EXPECT_LE(jobs(), most_held);
    inside.work().reap_all();
    inside.scan();
    fill();
    EXPECT_EQ(jobs(), most_held) << "counted: " << counted();
    EXPECT_EQ(counted(), most_held);
  }

  test::World world{engine_with_a_bounded_level()};
  test::Inside inside{world.scratch};
  const std::function<void()> enqueue_one = [this] {
    Engine engine = world.scratch.open(test::without_keeper);
    const auto producer = must(engine.attach(Role::producer));
    static_cast<void>(producer->enqueue({.kind = world.kind, .level = Level{99}}));
    ringmill_step_begin();
    static_cast<void>(producer->enqueue(world.request("payload")));
    ringmill_step_end();
  };
  const std::function<void()> complete_one = [this] {
    Engine engine = world.scratch.open(test::without_keeper);
    const auto worker = must(engine.attach(Role::worker));
    auto job = must(worker->claim());
    ringmill_step_begin();
    static_cast<void>(job.complete());
    ringmill_step_end();
  };
};

TEST_F(BoundedLevelStepped, a_producer_killed_after_any_instruction_leaves_no_place_taken) {
  const std::size_t tried = at_each_instruction(
      enqueue_one, [] {}, [this](SteppedProcess& process) { expect_no_place_taken_after_death_of(process); });
  EXPECT_GT(tried, 100U);
}

TEST_F(BoundedLevelStepped, a_worker_killed_after_any_instruction_of_a_completion_leaves_no_place_taken) {
  const std::size_t tried = at_each_instruction(
      complete_one, [this] { fill(); },
      [this](SteppedProcess& process) { expect_no_place_taken_after_death_of(process); });
  EXPECT_GT(tried, 50U);
}

TEST_F(BoundedLevelStepped, a_producer_stopped_after_any_instruction_goes_on_within_the_bound) {
  const std::size_t tried = at_each_instruction(
      enqueue_one, [] {},
      [this](SteppedProcess& process) {
        inside.scan();
        fill();
        inside.scan();
        fill();
        ASSERT_EQ(process.run_to_end(), State::at_end) << process.ending();
        ASSERT_EQ(process.let_go(), State::ended);
        EXPECT_LE(jobs(), most_held);
        fill();
        EXPECT_EQ(jobs(), most_held) << "counted: " << counted();
        EXPECT_EQ(counted(), most_held);
      });
  EXPECT_GT(tried, 100U);
}

TEST_F(BoundedLevelStepped, a_worker_stopped_after_any_instruction_of_a_completion_goes_on_within_the_bound) {
  const std::size_t tried = at_each_instruction(
      complete_one, [this] { fill(); },
      [this](SteppedProcess& process) {
        inside.scan();
        fill();
        ASSERT_EQ(process.run_to_end(), State::at_end) << process.ending();
        ASSERT_EQ(process.let_go(), State::ended);
        EXPECT_LE(jobs(), most_held);
        inside.scan();
        fill();
        EXPECT_EQ(jobs(), most_held) << "counted: " << counted();
        EXPECT_EQ(counted(), most_held);
      });
  EXPECT_GT(tried, 50U);
}

}  // namespace
}  // namespace ringmill::crash
