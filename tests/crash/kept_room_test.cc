// An enqueue into a nearly full engine, stopped after each of its instructions: another producer takes all the room
// that it can get, and then the first one goes on. What is kept for running handlers is never taken, and none of the
// room is lost.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "tests/crash/single_step.h"
#include "tests/crash/stepped_test.h"
#include "tests/support/core_test.h"
#include "tests/support/shared_block.h"

namespace ringmill::crash {
namespace {

using namespace std::chrono_literals;
using test::must;
using State = SteppedProcess::State;

constexpr std::uint32_t plain_capacity = 64;
constexpr std::uint32_t free_places = 3;

CreateOptions engine_that_keeps_room() {
  CreateOptions options = test::small_engine_with_room();
  options.capacity = plain_capacity;
  options.reserve = std::vector<LevelReserve>{{.level = "high", .jobs = 0}};  // beside what is kept for handlers
  return options;
}

class KeptRoomStepped : public SteppedTest {
 protected:
  std::uint64_t jobs() const { return world.engine.status().cells_used; }
  /// Enqueues until there is no room, and leaves: nothing stays in its hands.
  std::uint32_t fill() {
    const auto producer = world.attach(Role::producer);
    std::uint32_t count = 0;
    while (producer->enqueue(world.request("payload"))) ++count;
    return count;
  }
  void complete(std::uint32_t count) {
    const auto worker = world.attach();
    for (std::uint32_t n = 0; n < count; ++n) must(must(worker->claim()).complete());
  }

  test::World world{engine_that_keeps_room()};
  test::SharedBlock<std::atomic<std::uint64_t>> told_;  // the id that the stepped one got; 0: refused
  const std::function<void()> enqueue_once = [this] {
    Engine engine = world.scratch.open(test::without_keeper);
    const auto producer = must(engine.attach(Role::producer));
    // What the first call binds and allocates is none of the steps.
    static_cast<void>(producer->enqueue({.kind = world.kind, .level = Level{99}}));
    ringmill_step_begin();
    const auto id = producer->enqueue(world.request("payload"));
    ringmill_step_end();
    *told_ = id ? id->value() : 0;
  };
};

TEST_F(KeptRoomStepped, another_producer_comes_after_any_instruction_and_the_kept_cells_stay_free) {
  ASSERT_EQ(fill(), plain_capacity);
  complete(free_places);
  const auto path = path_of(enqueue_once);
  ASSERT_TRUE(path);
  ASSERT_EQ(jobs(), plain_capacity - free_places + 1);
  complete(1);
  std::size_t tried = 0;
  for (const std::uint64_t n : path->first_visits()) {
    SCOPED_TRACE("stopped after " + std::to_string(n));
    *told_ = 0;
    SteppedProcess process(enqueue_once);
    ASSERT_EQ(process.run_to_begin(), State::between);
    process.follow(*path, n);
    const std::uint32_t taken = fill();
    EXPECT_LE(taken, free_places);
    ASSERT_EQ(process.run_to_end(), State::at_end) << process.ending();
    ASSERT_EQ(process.let_go(), State::ended);
    ASSERT_TRUE(process.ended_well()) << process.ending();
    EXPECT_LE(jobs(), plain_capacity) << "a kept cell was taken";
    const bool was_refused = *told_ == 0;
    EXPECT_EQ(taken + fill() + (was_refused ? 0 : 1), free_places) << "room was lost";
    EXPECT_EQ(jobs(), plain_capacity);
    complete(free_places);
    ++tried;
  }
  EXPECT_GT(tried, 100U);
}

}  // namespace
}  // namespace ringmill::crash
