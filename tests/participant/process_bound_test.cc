// Participants that are bound to their process: any thread may call, one at a time; they live as long as the process.
// And waits that are begun here and slept through elsewhere.
#include <unistd.h>

#include <atomic>
#include <optional>
#include <thread>

#include "core/instance/engine_core.h"
#include "ipc/sleepers.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/shared_block.h"
#include "tests/support/without_fallback.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

std::unique_ptr<Participant> attach_process(World& world, Role role = Role::worker) {
  return must(world.engine.attach(role, Binding::process));
}

void in_a_thread(const std::function<void()>& body) { std::thread(body).join(); }

TEST(ProcessBoundInProcess, a_job_is_claimed_by_one_thread_and_settled_by_another) {
  World world;
  const auto participant = attach_process(world);
  JobId id;
  in_a_thread([&] { id = world.enqueue(*participant, "x"); });
  Job job;
  in_a_thread([&] { job = must(participant->claim()); });
  EXPECT_EQ(job.id(), id);
  in_a_thread([&] { must(job.complete()); });
  EXPECT_EQ(world.state_of(id), JobState::ended);
}

TEST(ProcessBoundInProcess, the_end_of_the_thread_that_attached_it_is_not_its_death) {
  World world(small_engine(), {});
  ASSERT_TRUE(await([&] { return world.engine.keeps(); }));
  std::unique_ptr<Participant> participant;
  Job job;
  in_a_thread([&] {
    participant = attach_process(world);
    world.enqueue(*participant, "x");
    job = must(participant->claim());
  });
  std::this_thread::sleep_for(200ms);  // several of the keeper's thorough looks
  EXPECT_TRUE(job.complete().has_value());
}

TEST(ProcessBoundInProcess, another_thread_may_let_it_go) {
  World world;
  auto participant = attach_process(world);
  world.enqueue(*participant, "x");
  Job job = must(participant->claim());
  const JobId id = job.id();
  in_a_thread([&] {
    static_cast<void>(job.release());
    participant.reset();
  });
  const auto next = world.attach();
  EXPECT_EQ(must(next->claim()).id(), id);
}

TEST(ProcessBound, the_jobs_of_a_killed_process_come_back) {
  World world(small_engine(), {});
  ASSERT_TRUE(await([&] { return world.engine.keeps(); }));
  const auto producer = world.attach(Role::producer);
  const JobId id = world.enqueue(*producer, "x");
  SharedBlock<std::atomic<int>> claimed;
  Child child([&] {
    Engine engine = world.scratch.open(without_keeper);
    const auto participant = must(engine.attach(Role::worker, Binding::process));
    const Job job = must(participant->claim());
    *claimed = 1;
    ::pause();
    return 0;
  });
  ASSERT_TRUE(await([&] { return *claimed == 1; }));
  child.kill();
  const auto worker = world.attach();
  Job job = must(worker->claim(generous));
  EXPECT_EQ(job.id(), id);
  EXPECT_EQ(job.attempt(), 2U);
}

TEST(ProcessBoundAfterFork, the_child_is_told_and_the_parent_goes_on) {
  World world;
  const auto participant = attach_process(world);
  world.enqueue(*participant, "x");
  Job job = must(participant->claim());
  Child child([&] {
    const auto is_refused = [](const auto& result) {
      return !result && result.error().code() == ErrorCode::after_fork;
    };
    return is_refused(participant->enqueue(world.request("y"))) && is_refused(participant->claim()) &&
                   is_refused(job.complete()) && is_refused(participant->begin_wait())
               ? 0
               : 1;
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_TRUE(job.complete().has_value());
}

struct WaitWorld : World {
  explicit WaitWorld() : core(scratch.open_core()) {}
  bool sleeps(const Participant& participant) const {
    return Sleepers(core->segment, core->segment.signals().sleepers)
        .is_announced(static_cast<std::uint32_t>(participant.number()));
  }
  std::shared_ptr<EngineCore> core;
};

TEST(BegunWaitInProcess, a_job_that_is_there_lets_no_wait_begin) {
  WaitWorld world;
  const auto participant = attach_process(world);
  world.enqueue(*participant, "x");
  EXPECT_FALSE(must(participant->begin_wait()).has_value());
  EXPECT_FALSE(world.sleeps(*participant));
}

TEST(BegunWaitInProcess, a_job_ends_the_sleep_of_another_thread) {
  const WithoutFallback without_fallback;
  WaitWorld world;
  const auto participant = attach_process(world);
  const auto producer = world.attach(Role::producer);
  const std::optional<BegunWait> wait = must(participant->begin_wait());
  ASSERT_TRUE(wait.has_value());
  std::atomic<bool> woken{false};
  std::thread sleeper([&] { woken = participant->sleep(*wait, generous); });
  const JobId id = world.enqueue(*producer, "x");
  sleeper.join();
  EXPECT_TRUE(woken);
  participant->end_wait(true);
  EXPECT_EQ(must(participant->claim()).id(), id);
}

TEST(BegunWaitInProcess, it_does_not_end_while_nothing_comes) {
  WaitWorld world;
  const auto participant = attach_process(world);
  const std::optional<BegunWait> wait = must(participant->begin_wait());
  ASSERT_TRUE(wait.has_value());
  EXPECT_FALSE(participant->sleep(*wait, 20ms));
  participant->wake();
  EXPECT_TRUE(participant->sleep(*wait, generous));
}

/// One that sleeps in claim(), until it has a job.
class Rival {
 public:
  explicit Rival(WaitWorld& world)
      : thread_([this, &world] {
          const auto worker = world.attach();
          number_ = worker.get();
          Job job = must(worker->claim(generous));
          got_ = true;
          must(job.complete());
          stays_.wait(true);
        }) {
    is_asleep_ = await([&] { return number_.load() != nullptr && world.sleeps(*number_.load()); });
  }
  ~Rival() {
    stays_ = false;
    stays_.notify_all();
    thread_.join();
  }
  bool is_asleep() const { return is_asleep_; }
  bool has_got_it() const { return got_; }

 private:
  std::atomic<const Participant*> number_{nullptr};
  std::atomic<bool> got_{false};
  std::atomic<bool> stays_{true};
  std::thread thread_;
  bool is_asleep_ = false;
};

TEST(BegunWaitInProcess, a_wake_up_that_no_claim_follows_goes_to_another_sleeper) {
  const WithoutFallback without_fallback;
  WaitWorld world;
  const auto busy = attach_process(world);  // has the lower number, so it is woken first
  const auto producer = world.attach(Role::producer);
  ASSERT_TRUE(must(busy->begin_wait()).has_value());
  const Rival rival(world);
  ASSERT_TRUE(rival.is_asleep());
  world.enqueue(*producer, "x");
  ASSERT_FALSE(world.sleeps(*busy));
  std::this_thread::sleep_for(50ms);
  ASSERT_FALSE(rival.has_got_it());  // else the wake-up went elsewhere, and this tests nothing
  busy->end_wait(false);
  EXPECT_TRUE(await([&] { return rival.has_got_it(); }));
}

TEST(BegunWaitInProcess, the_sleeping_thread_passes_a_wake_up_on_for_a_busy_owner) {
  const WithoutFallback without_fallback;
  WaitWorld world;
  const auto busy = attach_process(world);
  const auto producer = world.attach(Role::producer);
  const std::optional<BegunWait> wait = must(busy->begin_wait());
  ASSERT_TRUE(wait.has_value());
  const Rival rival(world);
  ASSERT_TRUE(rival.is_asleep());
  world.enqueue(*producer, "x");
  in_a_thread([&] {
    if (busy->sleep(*wait, generous)) busy->pass_on_wake();
  });
  EXPECT_TRUE(await([&] { return rival.has_got_it(); }));
}

}  // namespace
}  // namespace ringmill::test
