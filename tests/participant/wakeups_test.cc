// A sleeper is woken, and by the right event: the fall-back that checks again after a second is switched off here.
#include <unistd.h>

#include <array>
#include <atomic>
#include <random>
#include <thread>

#include "core/durability/journal_thread.h"
#include "core/instance/engine_core.h"
#include "core/keeper/keeper.h"
#include "core/participant/context.h"
#include "ipc/clock.h"
#include "ipc/pause.h"
#include "ipc/sleepers.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/random.h"
#include "tests/support/shared_block.h"
#include "tests/support/without_fallback.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

struct SleepingWorld : World {
  explicit SleepingWorld(const CreateOptions& options = small_engine()) : World(options), core(scratch.open_core()) {}

  bool sleeps(int participant) const {
    Sleepers sleepers(core->segment, core->segment.signals().sleepers);
    return sleepers.is_announced(static_cast<std::uint32_t>(participant));
  }
  bool waits_for_space(int participant) const {
    Sleepers waiters(core->segment, core->segment.signals().space_waiters);
    return waiters.is_announced(static_cast<std::uint32_t>(participant));
  }

  std::shared_ptr<EngineCore> core;
};

/// A thread that claims one job of one level, with a long wait, and completes it. It stays until told to leave, because
/// a participant that leaves wakes all sleepers.
class SleepingWorker {
 public:
  SleepingWorker(SleepingWorld& world, Level level)
      : thread_([this, &world, level] {
          const auto worker = world.attach();
          must(worker->subscribe({.levels = {level}}));
          number_.store(worker->number());
          auto job = worker->claim(generous);
          got_.store(job && job->complete() ? 1 : -1);
          may_leave_.wait(false);
        }) {}
  SleepingWorker(const SleepingWorker&) = delete;
  SleepingWorker& operator=(const SleepingWorker&) = delete;
  ~SleepingWorker() {
    may_leave_.store(true);
    may_leave_.notify_all();
    thread_.join();
  }

  int number() const { return number_.load(); }
  bool got_its_job() const {
    await([this] { return got_.load() != 0; });
    return got_.load() == 1;
  }

 private:
  std::atomic<int> number_{-1};
  std::atomic<int> got_{0};
  std::atomic<bool> may_leave_{false};
  std::thread thread_;
};

TEST(WakeupsInProcess, a_batch_over_two_levels_wakes_a_worker_of_each) {
  const WithoutFallback without_fallback;
  SleepingWorld world;
  const Level high = must(world.engine.level("high"));
  const Level low = must(world.engine.level("low"));
  SleepingWorker first_high(world, high);
  ASSERT_TRUE(await([&] { return first_high.number() >= 0 && world.sleeps(first_high.number()); }));
  SleepingWorker second_high(world, high);
  ASSERT_TRUE(await([&] { return second_high.number() >= 0 && world.sleeps(second_high.number()); }));
  SleepingWorker only_low(world, low);
  ASSERT_TRUE(await([&] { return only_low.number() >= 0 && world.sleeps(only_low.number()); }));

  const auto producer = world.attach(Role::producer);
  const std::array<JobRequest, 2> batch{JobRequest{.kind = world.kind, .level = high},
                                        JobRequest{.kind = world.kind, .level = low}};
  std::array<JobId, 2> ids;
  must(producer->enqueue_batch(batch, ids));
  EXPECT_TRUE(await([&] { return world.state_of(ids[1]) == JobState::ended; }, 5s))
      << "the job of level low was left to sleepers";
  // A worker that still sleeps gets a job of its own.
  must(producer->enqueue({.kind = world.kind, .level = high}));
  must(producer->enqueue({.kind = world.kind, .level = low}));
  EXPECT_TRUE(first_high.got_its_job());
  EXPECT_TRUE(second_high.got_its_job());
  EXPECT_TRUE(only_low.got_its_job());
}

TEST(WakeupsInProcess, wake_is_kept_for_the_next_wait) {
  const WithoutFallback without_fallback;
  World world;
  const auto worker = world.attach();
  worker->wake();
  EXPECT_EQ(code_of(worker->claim()), ErrorCode::would_block);
  EXPECT_EQ(code_of(worker->claim(5s)), ErrorCode::would_block) << "a claim that did not wait took the wake for itself";
}

/// A worker that falls asleep sets its sign first, then checks once more. Each job comes about when the worker stops
/// spinning, so that in time every moment of falling asleep is met.
TEST(WakeupsInProcess, a_job_that_comes_while_a_worker_falls_asleep_is_not_left_waiting) {
  const WithoutFallback without_fallback;
  World world;
  const auto producer = world.attach(Role::producer);
  std::atomic<int> completed{0};
  std::atomic<bool> is_over{false};
  std::atomic<Participant*> sleeper{nullptr};
  std::atomic<bool> may_leave{false};
  std::thread working([&] {
    const auto worker = world.attach();
    sleeper = worker.get();
    while (!is_over) {
      if (auto job = worker->claim(generous); job && job->complete()) completed.fetch_add(1);
    }
    // wake() may be called for as long as the participant is there.
    while (!may_leave) std::this_thread::yield();
  });
  std::mt19937_64 random(printed_seed());
  std::uniform_int_distribution<std::uint64_t> pause_ns(0, 2 * spin_ns);
  int round = 0;
  bool was_left = false;
  for (; round < 10'000 && !was_left; ++round) {
    const std::uint64_t end_ns = steady_clock_ns() + pause_ns(random);
    while (steady_clock_ns() < end_ns) pause_while_spinning();
    world.enqueue(*producer, "x");
    const std::uint64_t bound_ns = steady_clock_ns() + 10'000'000'000;
    while (completed.load() <= round && !was_left) {
      std::this_thread::yield();
      was_left = steady_clock_ns() > bound_ns;
    }
  }
  EXPECT_FALSE(was_left) << "in round " << round;
  is_over = true;
  sleeper.load()->wake();
  may_leave = true;
  working.join();
}

/// With a keeper that takes a turn, and a journal thread that looks, only when they are called.
struct CalledKeeper {
  const WithoutFallback participants;
  const WithoutFallback keeper{longest_keeper_rest_ns};
  const WithoutFallback journal{longest_journal_rest_ns};
  World world{small_engine_with_room(), OpenOptions{}};
  std::unique_ptr<Participant> worker = world.attach();

  CalledKeeper() {
    await([this] { return world.engine.keeps(); });
    std::this_thread::sleep_for(100ms);  // its first look at all cells is over
  }
  JobId add(const JobOptions& options, Durability durability = Durability::journaled) {
    JobRequest request = world.request("x");
    request.options = options;
    request.durability = durability;
    return must(worker->enqueue(request));
  }
};

TEST(WakeupsInProcess, a_delayed_job_comes_at_its_time_to_a_keeper_that_only_marks_call) {
  CalledKeeper called;
  const JobId id = called.add({.delay = 50ms});
  EXPECT_EQ(must(called.worker->claim(10s)).id(), id);
}

TEST(WakeupsInProcess, a_retry_comes_at_its_time_to_a_keeper_that_only_marks_call) {
  CalledKeeper called;
  const JobId id = called.add({});
  must(must(called.worker->claim(10s)).retry_in(50ms, "once"));
  EXPECT_EQ(must(called.worker->claim(10s)).id(), id);
}

TEST(WakeupsInProcess, a_dead_job_is_buried_by_a_keeper_that_only_marks_call) {
  CalledKeeper called;
  called.add({});
  must(must(called.worker->claim(10s)).reject("no"));
  EXPECT_TRUE(await([&] { return called.world.engine.status().cells_used == 0; }, 10s));
}

TEST(WakeupsInProcess, a_job_expires_at_its_time_with_a_keeper_that_only_marks_call) {
  CalledKeeper called;
  called.add({.expires = 50ms});
  EXPECT_TRUE(await([&] { return called.world.engine.status().cells_used == 0; }, 10s));
}

TEST(WakeupsInProcess, a_kept_job_goes_at_its_time_with_a_keeper_that_only_marks_call) {
  CalledKeeper called;
  called.add({.keep_result = 50ms});
  must(must(called.worker->claim(10s)).complete());
  EXPECT_TRUE(await([&] { return called.world.engine.status().cells_used == 0; }, 10s));
}

TEST(WakeupsInProcess, a_sleeping_journal_thread_is_woken_by_marks_and_by_waiting_callers) {
  CalledKeeper called;
  for (int n = 0; n < 20; ++n) {
    called.add({}, Durability::durable);
    std::this_thread::sleep_for(10ms);  // longer than it stays awake by itself
    must(must(called.worker->claim(10s)).complete());
    std::this_thread::sleep_for(10ms);
    must(called.worker->wait_durable(called.worker->ticket(), 10s));
  }
}

/// Its thread may be anywhere between its last look whether it is to end and its sleep.
TEST(WakeupsInProcess, a_keeper_that_nothing_calls_ends_when_it_is_told_to) {
  const WithoutFallback keeper(longest_keeper_rest_ns);
  const WithoutFallback journal(longest_journal_rest_ns);
  const ScratchEngine scratch(small_engine());
  for (int n = 0; n < 50; ++n) {
    const Engine engine = scratch.open();
    if (n % 2 == 0) await([&] { return engine.keeps(); });
  }
}

/// A process that sleeps in claim() for one job, and completes it.
struct SleepingProcess {
  struct Words {
    std::atomic<int> number;  // plus 1; 0: not attached yet
    std::atomic<std::uint64_t> completed;
  };
  SharedBlock<Words> words;
  Child child;

  explicit SleepingProcess(const SleepingWorld& world)
      : child([this, &world] {
          Engine engine = world.scratch.open(without_keeper);
          const auto worker = must(engine.attach(Role::worker));
          words->number = worker->number() + 1;
          Job job = must(worker->claim(generous));
          words->completed = job.id().value();
          must(job.complete());
          ::pause();
          return 0;
        }) {}

  bool is_asleep(const SleepingWorld& world) const {
    return await([&] { return words->number > 0 && world.sleeps(words->number - 1); });
  }
};

/// The wake of a job goes to one that stands still, and is killed before it could look (hazard 23 in docs/hazards.md).
TEST(KilledSleeper, that_was_woken_and_has_not_claimed_leaves_its_job_to_another_that_sleeps) {
  const WithoutFallback without_fallback;
  SleepingWorld world;
  SleepingProcess woken(world);  // the lower number: it is woken first
  ASSERT_TRUE(woken.is_asleep(world));
  const SleepingProcess other(world);
  ASSERT_TRUE(other.is_asleep(world));
  const Engine keeping = world.scratch.open();
  ASSERT_TRUE(await([&] { return keeping.keeps(); }));
  woken.child.stop();
  const auto producer = world.attach(Role::producer);
  const JobId id = world.enqueue(*producer, "x");
  ASSERT_FALSE(world.sleeps(woken.words->number - 1)) << "the wake went to another: this test shows nothing";
  ASSERT_TRUE(world.sleeps(other.words->number - 1));
  ASSERT_EQ(world.state_of(id), JobState::queued);
  woken.child.kill();
  EXPECT_TRUE(await([&] { return other.words->completed == id.value(); }, 10s));
  EXPECT_TRUE(await([&] { return world.state_of(id) == JobState::ended; }));
}

}  // namespace
}  // namespace ringmill::test
