// An enqueue with a serial key, killed after each of its instructions: the key's other jobs go on, one at a time and in
// their order, and the killed one's job is among them at most once.
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/crash/single_step.h"
#include "tests/crash/stepped_test.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"

namespace ringmill::crash {
namespace {

using namespace std::chrono_literals;
using test::must;
using State = SteppedProcess::State;

CreateOptions with_room_for_a_key() {
  CreateOptions options = test::small_engine();
  options.cell_size = 256;
  return options;
}

class SerialEnqueueStepped : public SteppedTest {
 protected:
  JobId enqueue(Participant& producer) const {
    JobRequest request = world.request("payload");
    request.serial_key = "vehicle-17";
    return must(producer.enqueue(request, 1s));
  }
  /// What the key's jobs are in the order in which they run.
  std::vector<JobId> run_all() {
    std::vector<JobId> order;
    keeper.work().reap_all();
    for (int rest = 0; rest < 2; ++rest) {
      for (int turn = 0; turn < 3; ++turn) keeper.work().turn(true);
      while (auto job = other->claim()) {
        order.push_back(job->id());
        for (int turn = 0; turn < 3; ++turn) keeper.work().turn(true);
        EXPECT_FALSE(other->claim()) << "two jobs of one key at a time";
        must(job->complete());
        for (int turn = 0; turn < 3; ++turn) keeper.work().turn(true);
      }
    }
    return order;
  }

  test::World world{with_room_for_a_key()};
  std::unique_ptr<Participant> other = [this] {
    auto participant = world.attach();
    must(participant->subscribe({.prefetch = 1}));
    return participant;
  }();
  test::Inside keeper{world.scratch};
  const std::function<void()> enqueue_once = [this] {
    Engine engine = world.scratch.open(test::without_keeper);
    const auto producer = must(engine.attach(Role::producer));
    // What the first call binds and allocates is none of the steps.
    static_cast<void>(producer->enqueue({.kind = world.kind, .level = Level{99}, .serial_key = "refused"}));
    ringmill_step_begin();
    static_cast<void>(enqueue(*producer));
    ringmill_step_end();
  };
};

TEST_F(SerialEnqueueStepped, a_producer_killed_after_any_instruction_leaves_a_key_that_goes_on_in_its_order) {
  const auto path = path_of(enqueue_once);
  ASSERT_TRUE(path);
  ASSERT_EQ(run_all().size(), 1U);
  std::size_t tried = 0;
  std::size_t came = 0;
  for (const std::uint64_t n : path->first_visits()) {
    SCOPED_TRACE("killed after " + std::to_string(n));
    const JobId before = enqueue(*other);
    SteppedProcess process(enqueue_once);
    ASSERT_EQ(process.run_to_begin(), State::between);
    process.follow(*path, n);
    process.kill();
    const JobId after = enqueue(*other);
    const std::vector<JobId> order = run_all();
    ASSERT_GE(order.size(), 2U);
    ASSERT_LE(order.size(), 3U);
    EXPECT_EQ(order.front(), before);
    EXPECT_EQ(order.back(), after);
    came += order.size() - 2;
    ++tried;
  }
  EXPECT_GT(tried, 100U);
  EXPECT_GT(came, 0U);
  EXPECT_LT(came, tried);
}

}  // namespace
}  // namespace ringmill::crash
