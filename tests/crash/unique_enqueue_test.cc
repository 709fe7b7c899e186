// A unique enqueue, stopped after each of its instructions: another producer enqueues the same key from beginning to
// end, and then it goes on. There is one job, and both are told of it.
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

class UniqueEnqueueStepped : public SteppedTest {
 protected:
  UniqueJob enqueue(Participant& producer) const {
    return must(producer.enqueue_unique(world.request("payload"), key_, {}, 1s));
  }
  std::optional<StepPath> path_of_one() {
    begin("the first one, undisturbed");
    SteppedProcess process(enqueue_once, 60s);
    process.run_to_begin();
    auto path = process.record();
    process.let_go();
    return process.ended_well() ? std::move(path) : std::nullopt;
  }
  void begin(const std::string& key) {
    key_ = key;
    *told_ = 0;
  }
  /// Jobs that can be claimed; they are completed.
  int jobs() {
    int count = 0;
    while (auto job = other->claim()) {
      must(job->complete());
      ++count;
    }
    return count;
  }

  test::World world;
  std::unique_ptr<Participant> other = world.attach();
  test::SharedBlock<std::atomic<std::uint64_t>> told_;  // the id that the stepped one got
  std::string key_;
  const std::function<void()> enqueue_once = [this] {
    Engine engine = world.scratch.open(test::without_keeper);
    const auto producer = must(engine.attach(Role::producer));
    // What the first call binds and allocates is none of the steps.
    static_cast<void>(producer->enqueue_unique({.kind = world.kind, .level = Level{99}}, "refused"));
    ringmill_step_begin();
    const UniqueJob job = enqueue(*producer);
    ringmill_step_end();
    *told_ = job.id.value();
  };
};

TEST_F(UniqueEnqueueStepped, another_one_of_the_key_comes_after_any_instruction_and_there_is_one_job) {
  const auto path = path_of_one();
  ASSERT_TRUE(path);
  ASSERT_EQ(jobs(), 1);
  std::size_t tried = 0;
  for (const std::uint64_t n : path->first_visits()) {
    begin("stopped after " + std::to_string(n));
    SCOPED_TRACE(key_);
    SteppedProcess process(enqueue_once);
    ASSERT_EQ(process.run_to_begin(), State::between);
    process.follow(*path, n);
    const UniqueJob job = enqueue(*other);
    ASSERT_EQ(process.run_to_end(), State::at_end) << process.ending();
    ASSERT_EQ(process.let_go(), State::ended);
    ASSERT_TRUE(process.ended_well()) << process.ending();
    EXPECT_EQ(*told_, job.id.value());
    EXPECT_EQ(jobs(), 1) << "two jobs of one key live";
    ++tried;
  }
  EXPECT_GT(tried, 100U);
}

/// The stepped process runs a job, which follows up with the key.
class UniqueFollowUpStepped : public SteppedTest {
 protected:
  struct Told {
    std::atomic<std::uint64_t> id;
    std::atomic<int> is_new;
  };

  void begin(const std::string& key) {
    key_ = key;
    told_->id = 0;
    told_->is_new = 0;
    must(other->enqueue(world.request("parent")));
  }

  test::World world{test::small_engine_with_room()};
  std::unique_ptr<Participant> other = world.attach();
  test::SharedBlock<Told> told_;
  std::string key_;
  const std::function<void()> follow_up_once = [this] {
    Engine engine = world.scratch.open(test::without_keeper);
    const auto worker = must(engine.attach(Role::worker));
    Job job = must(worker->claim());
    // What the first call binds and allocates is none of the steps.
    static_cast<void>(job.follow_up_unique({.kind = world.kind, .level = Level{99}}, "refused"));
    ringmill_step_begin();
    const UniqueJob made = must(job.follow_up_unique(world.request("payload"), key_));
    ringmill_step_end();
    told_->id = made.id.value();
    told_->is_new = made.is_new ? 1 : 0;
    must(job.complete());
  };
};

TEST_F(UniqueFollowUpStepped, another_one_of_the_key_comes_after_every_fifth_instruction_and_there_is_one_job) {
  begin("the first one, undisturbed");
  const auto path = path_of(follow_up_once);
  ASSERT_TRUE(path);
  must(other->cancel(JobId(told_->id)));
  std::size_t tried = 0;
  std::size_t visit = 0;
  for (const std::uint64_t n : path->first_visits()) {
    if (visit++ % 5 != 0) continue;  // the steps of the key are those of an enqueue, which the test above tries all
    begin("stopped after " + std::to_string(n));
    SCOPED_TRACE(key_);
    SteppedProcess process(follow_up_once);
    ASSERT_EQ(process.run_to_begin(), State::between);
    process.follow(*path, n);
    const UniqueJob job = must(other->enqueue_unique(world.request("payload"), key_, {}, 1s));
    ASSERT_EQ(process.run_to_end(), State::at_end) << process.ending();
    ASSERT_EQ(process.let_go(), State::ended);
    ASSERT_TRUE(process.ended_well()) << process.ending();
    EXPECT_EQ(told_->id, job.id.value());
    EXPECT_EQ(told_->is_new + (job.is_new ? 1 : 0), 1) << "of two jobs of a key one is new";
    EXPECT_EQ(must(other->cancel(job.id)), Cancelled::before_start);
    ++tried;
  }
  EXPECT_GT(tried, 100U);
}

}  // namespace
}  // namespace ringmill::crash
