// An increment of a value, killed or stopped after each of its instructions. A value counts each increment exactly
// once, whether its process was told of it or not, and no other process waits for one that is gone.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <ringmill/values.h>

#include "tests/crash/single_step.h"
#include "tests/crash/stepped_test.h"
#include "tests/support/core_test.h"
#include "tests/support/random.h"
#include "tests/support/shared_block.h"

namespace ringmill::crash {
namespace {

using namespace std::chrono_literals;
using test::must;
using State = SteppedProcess::State;

/// So many instructions are tried, evenly spread over the code; the first is another one each run.
constexpr std::size_t most_trials_of_value = 250;

class ValueStepped : public SteppedTest {
 protected:
  void SetUp() override {
    SteppedTest::SetUp();
    if (!IsSkipped()) must(values.increment("n"));
  }
  std::int64_t number() {
    std::int64_t found = -1;
    EXPECT_TRUE(test::await([&] {
      const auto value = values.get("n");
      if (value) found = std::stoll(value->bytes);
      return value.has_value();
    }));
    return found;
  }

  // With a keeper: it reaps what was killed.
  test::World world{test::small_engine_with_room(), OpenOptions{}};
  std::unique_ptr<Participant> participant = world.attach();
  Values values{*participant};
  test::SharedBlock<std::atomic<std::int64_t>> told_;  // what the stepped one got; 0: nothing
  const std::function<void()> increment_once = [this] {
    Engine engine = world.scratch.open(test::without_keeper);
    const auto own = must(engine.attach(Role::worker));
    Values own_values(*own);
    // What the first call binds and allocates is none of the steps.
    static_cast<void>(own_values.increment("n", 0));
    ringmill_step_begin();
    const auto sum = own_values.increment("n");
    ringmill_step_end();
    *told_ = sum ? *sum : -1;
  };
};

TEST_F(ValueStepped, an_increment_killed_after_any_instruction_counts_once_or_not_at_all) {
  const auto path = path_of(increment_once);
  ASSERT_TRUE(path);
  std::size_t tried = 0;
  std::size_t counted = 0;
  const auto visits = path->first_visits();
  for (std::size_t at = test::printed_seed() % (visits.size() / most_trials_of_value + 1); at < visits.size();
       at += visits.size() / most_trials_of_value + 1) {
    SCOPED_TRACE("killed after " + std::to_string(visits[at]));
    const std::int64_t before = number();
    SteppedProcess process(increment_once);
    ASSERT_EQ(process.run_to_begin(), State::between);
    process.follow(*path, visits[at]);
    process.kill();
    const std::int64_t after = number();
    EXPECT_TRUE(after == before || after == before + 1) << before << " became " << after;
    counted += after != before ? 1 : 0;
    EXPECT_EQ(must(values.increment("n")), after + 1);
    ++tried;
  }
  EXPECT_GT(tried, 50U);
  EXPECT_GT(counted, 0U);
  EXPECT_LT(counted, tried);
  EXPECT_TRUE(test::await([&] { return world.engine.status().cells_used == 1; })) << "room was lost";
}

TEST_F(ValueStepped, an_increment_stopped_after_any_instruction_and_others_meanwhile_add_up) {
  const auto path = path_of(increment_once);
  ASSERT_TRUE(path);
  std::size_t tried = 0;
  const auto visits = path->first_visits();
  for (std::size_t at = test::printed_seed() % (visits.size() / most_trials_of_value + 1); at < visits.size();
       at += visits.size() / most_trials_of_value + 1) {
    SCOPED_TRACE("stopped after " + std::to_string(visits[at]));
    const std::int64_t before = number();
    *told_ = 0;
    SteppedProcess process(increment_once);
    ASSERT_EQ(process.run_to_begin(), State::between);
    process.follow(*path, visits[at]);
    const auto other = values.increment("n", 1000);  // may be held up: the stopped one is in the middle of its change
    if (!other) {
      EXPECT_EQ(test::code_of(other), ErrorCode::busy);
    }
    ASSERT_EQ(process.run_to_end(), State::at_end) << process.ending();
    ASSERT_EQ(process.let_go(), State::ended);
    ASSERT_TRUE(process.ended_well()) << process.ending();
    EXPECT_EQ(number(), before + 1 + (other ? 1000 : 0));
    EXPECT_GT(*told_, 0);
    ++tried;
  }
  EXPECT_GT(tried, 50U);
}

}  // namespace
}  // namespace ringmill::crash
