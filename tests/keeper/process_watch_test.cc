// The ends of processes without a robust word: how soon the keeper knows of them, and what that costs while
// nothing ends.
#include <unistd.h>

#include <atomic>
#include <memory>
#include <thread>

#include "core/instance/engine_core.h"
#include "core/keeper/keeper.h"
#include "core/keeper/process_watch.h"
#include "ipc/waking.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/shared_block.h"
#include "tests/support/without_fallback.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

/// A keeper, and a process whose participant is bound to it.
struct WatchedWorld : World {
  WatchedWorld() : World(small_engine(), {}), core(scratch.open_core()), producer(attach(Role::producer)) {
    EXPECT_TRUE(await([&] { return engine.keeps(); }));
  }

  /// Attaches, claims a job if there is one, and waits for its end.
  Child start_victim(Role role = Role::worker) {
    *number = -1;
    Child victim([this, role] {
      Engine own = scratch.open(without_keeper);
      const auto participant = must(own.attach(role, Binding::process));
      const auto job = participant->claim(0ns);
      *number = participant->number();
      while (true) ::pause();
      return job ? 0 : 1;
    });
    EXPECT_TRUE(await([&] { return *number >= 0; }));
    return victim;
  }
  ParticipantEntry& victims_entry() { return core->segment.participant(static_cast<std::uint32_t>(*number)); }
  /// The keeper has looked at the registry, and rests.
  void let_keeper_look() {
    std::this_thread::sleep_for(120ms);
    ring_keeper(core->segment);
    std::this_thread::sleep_for(20ms);
  }
  std::uint64_t turns() { return core->segment.signals().keeper_turns.load(); }
  std::uint64_t turns_in(std::chrono::milliseconds time) {
    const std::uint64_t before = turns();
    std::this_thread::sleep_for(time);
    return turns() - before;
  }

  SharedBlock<std::atomic<int>> number;
  std::shared_ptr<EngineCore> core;
  std::unique_ptr<Participant> producer;
};

/// The keeper sleeps until it is called: only the sign of death lets it reap.
TEST(ProcessWatches, the_end_of_a_process_rings_the_keeper) {
  WatchedWorld world;
  const auto worker = world.attach();
  for (int round = 0; round < 5; ++round) {
    const JobId id = world.enqueue(*world.producer, "x");
    Child victim = world.start_victim();
    world.let_keeper_look();
    const WithoutFallback without_looks{longest_keeper_rest_ns};
    ring_keeper(world.core->segment);
    std::this_thread::sleep_for(10ms);
    victim.kill();
    auto job = worker->claim(5s);
    ASSERT_TRUE(job.has_value()) << "round " << round << ": " << job.error().message();
    EXPECT_EQ(job->id(), id);
    EXPECT_EQ(job->attempt(), 2U);
    must(job->complete());
  }
}

TEST(ProcessWatches, a_keeper_with_nothing_to_do_is_not_woken_by_a_process_that_holds_a_job) {
  WatchedWorld world;
  world.enqueue(*world.producer, "x");
  const Child victim = world.start_victim();
  world.let_keeper_look();
  const WithoutFallback without_looks{longest_keeper_rest_ns};
  ring_keeper(world.core->segment);
  std::this_thread::sleep_for(30ms);
  EXPECT_LE(world.turns_in(300ms), 1U);
}

/// As in a container of its own: its process id says nothing here.
TEST(ProcessWatches, the_end_of_a_process_of_another_pid_namespace_is_asked_for_while_it_holds_a_job) {
  WatchedWorld world;
  const auto worker = world.attach();
  const JobId id = world.enqueue(*world.producer, "x");
  Child victim = world.start_victim();
  world.let_keeper_look();
  // The keeper takes the entry for a new one, and looks at its namespace again.
  world.victims_entry().pid_namespace.store(1);
  world.victims_entry().state.fetch_add(std::uint64_t{1} << 8);
  world.let_keeper_look();
  const WithoutFallback without_looks{longest_keeper_rest_ns};
  ring_keeper(world.core->segment);
  EXPECT_GE(world.turns_in(200ms), 5U);
  victim.kill();
  auto job = worker->claim(5s);
  ASSERT_TRUE(job.has_value()) << job.error().message();
  EXPECT_EQ(job->id(), id);
  must(job->complete());
}

TEST(ProcessWatches, an_idle_process_of_another_pid_namespace_lets_the_keeper_sleep) {
  WatchedWorld world;
  const Child victim = world.start_victim();
  world.victims_entry().pid_namespace.store(1);
  world.victims_entry().state.fetch_add(std::uint64_t{1} << 8);
  world.let_keeper_look();
  const WithoutFallback without_looks{longest_keeper_rest_ns};
  ring_keeper(world.core->segment);
  std::this_thread::sleep_for(30ms);
  EXPECT_LE(world.turns_in(300ms), 1U);
}

TEST(ProcessWatches, a_thread_that_ends_is_no_end_of_its_process) {
  WatchedWorld world;
  world.enqueue(*world.producer, "x");
  SharedBlock<std::atomic<int>> is_held;
  SharedBlock<std::atomic<bool>> may_settle;
  Child other([&] {
    Engine own = world.scratch.open(without_keeper);
    std::unique_ptr<Participant> participant;
    Job job;
    std::thread([&] {
      participant = must(own.attach(Role::worker, Binding::process));
      job = must(participant->claim(generous));
    }).join();
    *is_held = 1;
    while (!*may_settle) std::this_thread::sleep_for(5ms);
    return job.complete() ? 0 : 1;
  });
  ASSERT_TRUE(await([&] { return *is_held == 1; }));
  world.let_keeper_look();
  *may_settle = true;
  EXPECT_EQ(other.wait(), 0);
}

TEST(ProcessWatches, no_descriptor_is_kept_for_what_has_left) {
  WatchedWorld world;
  const auto open_descriptors = [] {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
    return count;
  };
  {
    Child first = world.start_victim();
    world.let_keeper_look();
    first.kill();
  }
  ASSERT_TRUE(await([&] { return EntryState::of(world.victims_entry()).state == ParticipantState::free; }));
  world.let_keeper_look();
  const std::size_t before = open_descriptors();
  for (int round = 0; round < 3; ++round) {
    Child next = world.start_victim();
    world.let_keeper_look();
    next.kill();
    ASSERT_TRUE(await([&] { return EntryState::of(world.victims_entry()).state == ParticipantState::free; }));
  }
  world.let_keeper_look();
  EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
}  // namespace ringmill::test
