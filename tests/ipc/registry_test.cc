// The registry: its participants, and their deaths by the kernel's two signs.
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "ipc/robust_word.h"
#include "tests/support/await.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/shared_block.h"

namespace ringmill::test {
namespace {

struct RegistryRig {
  ScratchEngine scratch;
  std::shared_ptr<EngineCore> core = scratch.open_core();

  ParticipantEntry& entry(std::uint32_t number) const { return core->segment.participant(number); }
  ParticipantState state(std::uint32_t number) const { return EntryState::of(entry(number)).state; }
};

TEST(RegistryInProcess, a_participant_that_has_entered_is_alive) {
  RegistryRig rig;
  const std::uint32_t number = must(rig.core->registry.enter(Role::worker));
  EXPECT_EQ(rig.state(number), ParticipantState::alive);
  EXPECT_FALSE(rig.core->death_probe.is_dead(number));
  rig.core->registry.leave(number);
}

TEST(RegistryInProcess, an_entry_whose_participant_has_left_is_free_and_not_dead) {
  RegistryRig rig;
  const std::uint32_t number = must(rig.core->registry.enter(Role::worker));
  rig.core->registry.leave(number);
  EXPECT_EQ(rig.state(number), ParticipantState::free);
  EXPECT_FALSE(rig.core->death_probe.is_dead(number));
}

TEST(RegistryInProcess, an_entry_has_another_epoch_for_each_owner) {
  RegistryRig rig;
  const std::uint32_t first = must(rig.core->registry.enter(Role::worker));
  const std::uint64_t epoch = EntryState::of(rig.entry(first)).epoch;
  rig.core->registry.leave(first);
  const std::uint32_t second = must(rig.core->registry.enter(Role::worker));
  ASSERT_EQ(second, first);
  EXPECT_GT(EntryState::of(rig.entry(second)).epoch, epoch);
  rig.core->registry.leave(second);
}

TEST(RegistryInProcess, a_keeper_comes_in_when_all_common_entries_are_taken) {
  RegistryRig rig;
  std::vector<std::uint32_t> numbers;
  Result<std::uint32_t> number = rig.core->registry.enter(Role::worker);
  for (; number; number = rig.core->registry.enter(Role::worker)) numbers.push_back(*number);
  EXPECT_EQ(code_of(number), ErrorCode::too_many_participants);
  const auto keeper = rig.core->registry.enter(Role::keeper);
  EXPECT_TRUE(keeper.has_value());
  if (keeper) numbers.push_back(*keeper);
  for (const std::uint32_t taken : numbers) rig.core->registry.leave(taken);
}

std::vector<std::uint32_t> enter_all(Registry& registry, Role role) {
  std::vector<std::uint32_t> numbers;
  Result<std::uint32_t> number = registry.enter(role);
  for (; number; number = registry.enter(role)) numbers.push_back(*number);
  EXPECT_EQ(code_of(number), ErrorCode::too_many_participants);
  EXPECT_NE(number.error().message().find("process " + std::to_string(::getpid()) + " has "), std::string::npos)
      << number.error().message();
  return numbers;
}

TEST(RegistryInProcess, producers_that_take_all_they_get_leave_entries_for_workers_and_tools) {
  RegistryRig rig;
  Registry& registry = rig.core->registry;
  std::vector<std::uint32_t> taken = enter_all(registry, Role::producer);
  EXPECT_EQ(taken.size(), entries_for(Role::producer));
  for (const Role role : {Role::worker, Role::tool}) {
    const auto number = registry.enter(role);
    ASSERT_TRUE(number.has_value()) << name_of(role);
    taken.push_back(*number);
  }
  for (const std::uint32_t number : taken) registry.leave(number);
}

TEST(RegistryInProcess, one_process_gets_half_of_what_is_kept_for_a_role) {
  RegistryRig rig;
  Registry& registry = rig.core->registry;
  std::vector<std::uint32_t> taken = enter_all(registry, Role::tool);
  EXPECT_EQ(taken.size(), entries_for(Role::producer) + worker_entries / 2 + tool_entries / 2);
  Child other([&] { return rig.scratch.open_core()->registry.enter(Role::tool) ? 0 : 1; });
  EXPECT_EQ(other.wait(), 0);
  for (const std::uint32_t number : taken) registry.leave(number);
}

TEST(RegistryInProcess, an_unknown_entry_state_counts_as_in_use) {
  RegistryRig rig;
  rig.entry(9).state.store(0x77);
  EXPECT_EQ(rig.state(9), ParticipantState::starting);
}

TEST(RegistryInProcess, threads_that_enter_at_once_get_an_entry_each) {
  RegistryRig rig;
  constexpr std::size_t count = 16;
  std::array<std::uint32_t, count> numbers{};
  std::atomic<std::size_t> entered{0};
  std::vector<std::thread> threads;
  for (std::size_t n = 0; n < count; ++n) {
    threads.emplace_back([&, n] {
      numbers[n] = must(rig.core->registry.enter(Role::worker));
      entered.fetch_add(1);
      await([&] { return entered.load() == count; });
      rig.core->registry.leave(numbers[n]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(std::set<std::uint32_t>(numbers.begin(), numbers.end()).size(), count);
}

TEST(RegistryInProcess, a_thread_that_ends_without_leaving_is_marked_while_its_process_lives) {
  RegistryRig rig;
  std::uint32_t number = 0;
  std::thread([&] { number = must(rig.core->registry.enter(Role::worker)); }).join();
  if (rig.entry(number).robust_linked.load() == 0) GTEST_SKIP() << "no robust list to link to here";
  // The kernel marks a thread's words a moment after join() can return.
  EXPECT_TRUE(await([&] { return rig.core->death_probe.is_marked(number); }));
  EXPECT_TRUE(rig.core->death_probe.is_dead(number));
}

/// A process that is in the registry until it is killed.
struct Lodger {
  explicit Lodger(const RegistryRig& rig)
      : child([&rig, this] {
          const auto core = rig.scratch.open_core();
          *number = static_cast<int>(must(core->registry.enter(Role::worker))) + 1;
          ::pause();
          return 0;
        }) {}
  std::uint32_t wait_until_in() {
    if (!await([&] { return *number > 0; })) throw std::runtime_error("the child did not enter");
    return static_cast<std::uint32_t>(number->load() - 1);
  }

  SharedBlock<std::atomic<int>> number;
  Child child;
};

TEST(Registry, a_stopped_process_is_not_called_dead) {
  RegistryRig rig;
  Lodger lodger(rig);
  const std::uint32_t number = lodger.wait_until_in();
  lodger.child.stop();
  EXPECT_FALSE(rig.core->death_probe.is_dead(number));
}

TEST(Registry, a_killed_process_is_marked_by_the_kernel) {
  RegistryRig rig;
  Lodger lodger(rig);
  const std::uint32_t number = lodger.wait_until_in();
  if (rig.entry(number).robust_linked.load() == 0) GTEST_SKIP() << "no robust list to link to here";
  EXPECT_FALSE(rig.core->death_probe.is_marked(number));
  lodger.child.kill();
  EXPECT_TRUE(rig.core->death_probe.is_marked(number));
}

TEST(Registry, a_killed_process_without_a_robust_word_is_dead_by_its_lock) {
  RegistryRig rig;
  Lodger lodger(rig);
  const std::uint32_t number = lodger.wait_until_in();
  rig.entry(number).robust_linked.store(0);
  EXPECT_FALSE(rig.core->death_probe.is_dead(number));
  lodger.child.kill();
  EXPECT_TRUE(rig.core->death_probe.is_dead(number));
}

TEST(Registry, the_entry_of_the_dead_is_not_given_to_another) {
  RegistryRig rig;
  Lodger lodger(rig);
  const std::uint32_t dead = lodger.wait_until_in();
  lodger.child.kill();
  const std::uint32_t number = must(rig.core->registry.enter(Role::worker));
  EXPECT_NE(number, dead);
  rig.core->registry.leave(number);
}

/// Robust mutexes of glibc in memory that processes share.
struct Mutexes {
  pthread_mutex_t before;
  pthread_mutex_t after;

  void make() {
    pthread_mutexattr_t attributes;
    ::pthread_mutexattr_init(&attributes);
    ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    for (pthread_mutex_t* mutex : {&before, &after}) ::pthread_mutex_init(mutex, &attributes);
    ::pthread_mutexattr_destroy(&attributes);
  }
};

/// Whether glibc says that the owner died. Given back at once: memory with a mutex of ours in it must not be unmapped.
bool tells_of_a_death(pthread_mutex_t& mutex) {
  const int told = ::pthread_mutex_trylock(&mutex);
  if (told == EOWNERDEAD) ::pthread_mutex_consistent(&mutex);
  if (told == EOWNERDEAD || told == 0) ::pthread_mutex_unlock(&mutex);
  return told == EOWNERDEAD;
}

TEST(RobustWord, a_kill_is_told_by_the_word_and_by_glibcs_mutexes_on_both_sides_of_it) {
  RegistryRig rig;
  SharedBlock<Mutexes> mutexes;
  mutexes->make();
  SharedBlock<std::atomic<int>> number;
  Child child([&] {
    const auto core = rig.scratch.open_core();
    ::pthread_mutex_lock(&mutexes->before);
    const std::uint32_t entered = must(core->registry.enter(Role::worker));
    ::pthread_mutex_lock(&mutexes->after);
    *number = static_cast<int>(entered) + 1;
    ::pause();
    return 0;
  });
  ASSERT_TRUE(await([&] { return *number > 0; }));
  const auto entered = static_cast<std::uint32_t>(number->load() - 1);
  if (rig.entry(entered).robust_linked.load() == 0) GTEST_SKIP() << "no robust list to link to here";
  child.kill();
  EXPECT_TRUE(rig.core->death_probe.is_marked(entered));
  EXPECT_TRUE(tells_of_a_death(mutexes->before));
  EXPECT_TRUE(tells_of_a_death(mutexes->after));
}

TEST(RobustWord, unlinking_between_glibcs_mutexes_leaves_their_list_whole) {
  RegistryRig rig;
  SharedBlock<Mutexes> mutexes;
  mutexes->make();
  SharedBlock<std::atomic<int>> ready;
  Child child([&] {
    const auto core = rig.scratch.open_core();
    ::pthread_mutex_lock(&mutexes->before);
    const std::uint32_t entered = must(core->registry.enter(Role::worker));
    ::pthread_mutex_lock(&mutexes->after);
    core->registry.leave(entered);
    *ready = 1;
    ::pause();
    return 0;
  });
  ASSERT_TRUE(await([&] { return *ready == 1; }));
  child.kill();
  EXPECT_TRUE(tells_of_a_death(mutexes->before));
  EXPECT_TRUE(tells_of_a_death(mutexes->after));
}

TEST(RobustWord, a_word_that_was_unlinked_is_not_marked_by_a_later_death) {
  RegistryRig rig;
  SharedBlock<std::atomic<int>> number;
  Child child([&] {
    const auto core = rig.scratch.open_core();
    const std::uint32_t entered = must(core->registry.enter(Role::worker));
    core->registry.leave(entered);
    *number = static_cast<int>(entered) + 1;
    ::pause();
    return 0;
  });
  ASSERT_TRUE(await([&] { return *number > 0; }));
  child.kill();
  EXPECT_FALSE(is_marked_dead(rig.entry(static_cast<std::uint32_t>(number->load() - 1)).robust_word.load()));
}

}  // namespace
}  // namespace ringmill::test
