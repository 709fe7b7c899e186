// An enqueue into a table that is full of kept results, killed or stopped after each of its instructions. A result is
// there or gone, none of the room is lost, and no job that waits goes for it.
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
#include "tests/support/inside.h"
#include "tests/support/random.h"
#include "tests/support/shared_block.h"

namespace ringmill::crash {
namespace {

using namespace std::chrono_literals;
using test::code_of;
using test::must;
using State = SteppedProcess::State;

constexpr std::uint32_t cells = 128;
/// So many instructions are tried, evenly spread over the code; the first is another one each run.
constexpr std::size_t most_trials_of_eviction = 150;

CreateOptions engine_full_of_results() {
  CreateOptions options = test::small_engine_with_room();
  options.capacity = cells;
  options.results = 0;  // only the room bounds them
  return options;
}

class EvictionStepped : public SteppedTest {
 protected:
  /// Results in all cells that are free.
  void fill_with_results() {
    const auto worker = world.attach();
    const JobOptions kept{.keep_result = 1h};
    JobRequest asked = world.request("payload");
    asked.options = kept;
    while (table().used < cells && worker->enqueue(asked)) {
      must(must(worker->claim()).complete(as_payload("result")));
    }
  }
  /// What waits and what is kept, after the dead were reaped.
  struct Table {
    std::uint64_t waiting = 0;
    std::uint64_t kept = 0;
    std::uint64_t used = 0;
  };
  Table table() const {
    const EngineStatus status = world.engine.status();
    Table found{.waiting = 0, .kept = status.results.count, .used = status.cells_used};
    for (const LevelStatus& level : status.levels) found.waiting += level.queued;
    return found;
  }
  void complete_what_waits() {
    const auto worker = world.attach();
    while (auto job = worker->claim()) must(job->complete());
  }

  test::World world{engine_full_of_results()};
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

TEST_F(EvictionStepped, a_producer_killed_while_it_evicts_loses_no_room_and_no_job) {
  fill_with_results();
  ASSERT_EQ(table().kept, cells);
  const auto path = path_of(enqueue_once);
  ASSERT_TRUE(path);
  EXPECT_EQ(table().waiting, 1U) << "it got in";
  const auto visits = path->first_visits();
  std::size_t tried = 0;
  for (std::size_t at = test::printed_seed() % (visits.size() / most_trials_of_eviction + 1); at < visits.size();
       at += visits.size() / most_trials_of_eviction + 1) {
    SCOPED_TRACE("killed after " + std::to_string(visits[at]));
    complete_what_waits();
    fill_with_results();
    ASSERT_EQ(table().kept, cells);
    SteppedProcess process(enqueue_once);
    ASSERT_EQ(process.run_to_begin(), State::between);
    process.follow(*path, visits[at]);
    process.kill();
    {
      test::Inside inside(world.scratch);
      inside.work().reap_all();
    }
    const Table after = table();
    EXPECT_LE(after.waiting, 1U);
    EXPECT_EQ(after.used, after.waiting + after.kept) << "a cell is neither free nor of a job";
    const auto other = world.attach();
    EXPECT_TRUE(other->enqueue(world.request("payload"))) << "others get in, whatever the dead one left";
    ++tried;
  }
  EXPECT_GT(tried, 50U);
}

TEST_F(EvictionStepped, a_producer_stopped_while_it_evicts_holds_no_other_up) {
  fill_with_results();
  const auto path = path_of(enqueue_once);
  ASSERT_TRUE(path);
  const auto visits = path->first_visits();
  std::size_t tried = 0;
  for (std::size_t at = test::printed_seed() % (visits.size() / most_trials_of_eviction + 1); at < visits.size();
       at += visits.size() / most_trials_of_eviction + 1) {
    SCOPED_TRACE("stopped after " + std::to_string(visits[at]));
    complete_what_waits();
    fill_with_results();
    *told_ = 0;
    SteppedProcess process(enqueue_once);
    ASSERT_EQ(process.run_to_begin(), State::between);
    process.follow(*path, visits[at]);
    {
      const auto other = world.attach();
      EXPECT_TRUE(other->enqueue(world.request("payload")));
    }
    ASSERT_EQ(process.run_to_end(), State::at_end) << process.ending();
    ASSERT_EQ(process.let_go(), State::ended);
    ASSERT_TRUE(process.ended_well()) << process.ending();
    EXPECT_NE(*told_, 0U) << "there were results that could go";
    EXPECT_EQ(table().waiting, 2U);
    ++tried;
  }
  EXPECT_GT(tried, 50U);
}

}  // namespace
}  // namespace ringmill::crash
