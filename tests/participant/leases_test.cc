// Leases: which participant has a job, which receives lease_lost, and what a death or a late end leaves.
#include <unistd.h>

#include <array>
#include <csignal>
#include <thread>

#include "core/keeper/reap_rules.h"
#include "ipc/clock.h"
#include "ipc/invariant.h"
#include "tests/support/await.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"
#include "tests/support/levels.h"
#include "tests/support/shared_block.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

/// A worker whose lease the keeper has revoked.
struct LateHolder {
  World world;
  Inside inside{world.scratch};
  std::unique_ptr<Participant> worker = world.attach();
  JobId id = world.enqueue(*worker, "late");
  Job job = must(worker->claim());

  LateHolder() {
    Reaper reaper(inside.core(), inside.number());
    reaper.expire_leases(static_cast<std::uint32_t>(worker->number()), far_future_ns);
  }
};

TEST(LateHolderInProcess, the_job_waits_again_and_the_attempt_counts) {
  LateHolder late;
  const JobInfo info = must(late.world.engine.job(late.id));
  EXPECT_EQ(info.state, JobState::queued);
  EXPECT_EQ(info.attempts, 1U);
}

TEST(LateHolderInProcess, a_late_holder_is_told_at_complete) {
  LateHolder late;
  EXPECT_EQ(code_of(late.job.complete()), ErrorCode::lease_lost);
  EXPECT_EQ(late.world.state_of(late.id), JobState::queued);
}

TEST(LateHolderInProcess, a_late_holder_is_told_at_fail) {
  LateHolder late;
  EXPECT_EQ(code_of(late.job.fail()), ErrorCode::lease_lost);
}

TEST(LateHolderInProcess, a_late_holder_is_told_at_release) {
  LateHolder late;
  EXPECT_EQ(code_of(late.job.release()), ErrorCode::lease_lost);
}

TEST(LateHolderInProcess, a_late_holder_is_told_at_extend) {
  LateHolder late;
  EXPECT_EQ(code_of(late.job.extend(1s)), ErrorCode::lease_lost);
}

TEST(LateHolderInProcess, a_late_holder_does_not_end_the_run_of_another) {
  LateHolder late;
  const auto other = late.world.attach();
  Job second = must(other->claim());
  ASSERT_EQ(second.id(), late.id);
  EXPECT_FALSE(late.job.complete().has_value());
  EXPECT_TRUE(second.complete().has_value());
}

TEST(LateHolderInProcess, the_old_lease_of_a_job_that_its_holder_claimed_again_is_still_lost) {
  LateHolder late;
  Job again = must(late.worker->claim());
  ASSERT_EQ(again.id(), late.id);
  EXPECT_EQ(code_of(late.job.complete()), ErrorCode::lease_lost);
  EXPECT_TRUE(again.complete().has_value());
}

TEST(ExtendInProcess, an_extended_lease_is_not_revoked_before_its_new_end) {
  World world;
  Inside inside(world.scratch);
  const auto worker = world.attach();
  world.enqueue(*worker, "x");
  Job job = must(worker->claim());
  must(job.extend(std::chrono::hours(1)));
  Reaper reaper(inside.core(), inside.number());
  reaper.expire_leases(static_cast<std::uint32_t>(worker->number()), lease_clock_ns() + 3'000'000'000'000U);
  EXPECT_TRUE(job.complete().has_value());
}

TEST(ExtendInProcess, extending_changes_the_state_word_so_that_a_keeper_with_the_old_deadline_fails) {
  World world;
  Inside inside(world.scratch);
  const auto worker = world.attach();
  const JobId id = world.enqueue(*worker, "x");
  Job job = must(worker->claim());
  const StateWord before = inside.table().word(index_of(id));
  must(job.extend(1s));
  EXPECT_NE(inside.table().word(index_of(id)), before);
  must(job.complete());
}

TEST(StoppedWorker, is_told_after_it_goes_on_that_another_has_completed_its_job) {
  CreateOptions options = small_engine();
  options.lease = 50ms;
  World world(options, {});
  enum : int { nothing, claimed, told_lost, told_done };
  SharedBlock<std::atomic<int>> state;
  const auto producer = world.attach(Role::producer);
  const JobId id = world.enqueue(*producer, "x");
  Child stopped([&] {
    Engine engine = world.scratch.open(without_keeper);
    auto worker = must(engine.attach(Role::worker));
    Job job = must(worker->claim());
    *state = claimed;
    ::raise(SIGSTOP);
    *state = job.complete() ? told_done : told_lost;
    return 0;
  });
  ASSERT_TRUE(await([&] { return *state == claimed; }));
  ASSERT_TRUE(await([&] { return world.state_of(id) == JobState::queued; }));
  Job job = must(producer->claim(generous));  // queued a moment before it has its hint
  must(job.complete());
  stopped.go_on();
  EXPECT_EQ(stopped.wait(), 0);
  EXPECT_EQ(state->load(), told_lost);
  EXPECT_EQ(world.engine.status().totals.completed, 1U);
}

TEST(KilledWorker, an_attempt_counts_only_if_a_handler_saw_the_job) {
  World world(small_engine(), {});
  const auto producer = world.attach(Role::producer);
  std::array<JobId, 50> ids;
  for (JobId& id : ids) id = world.enqueue(*producer, "x");
  SharedBlock<std::atomic<std::size_t>> place;  // in `ids`, of the job that had begun
  Child killed([&] {
    Engine engine = world.scratch.open(without_keeper);
    auto worker = must(engine.attach(Role::worker));
    must(worker->subscribe({.prefetch = 2}));
    // A fast worker claims in advance. Under load, or a sanitizer, that takes more than one try.
    for (std::size_t n = 0; n < ids.size(); ++n) {
      Job job = must(worker->claim());
      if (worker->held() == 2) {
        *place = n;
        ::pause();
      }
      must(job.complete());
    }
    return 1;
  });
  ASSERT_TRUE(await([&] { return *place != 0; })) << "the worker did not claim in advance";
  killed.kill();
  const JobId begun = ids.at(*place);
  const JobId ahead = ids.at(*place + 1);
  ASSERT_TRUE(
      await([&] { return world.state_of(begun) == JobState::queued && world.state_of(ahead) == JobState::queued; }));
  EXPECT_EQ(must(world.engine.job(begun)).attempts, 1U);
  EXPECT_EQ(must(world.engine.job(ahead)).attempts, 0U);
  EXPECT_EQ(world.state_of(ids.at(*place - 1)), JobState::ended);
}

/// The reaper alone, without a scan, on a participant of this process that we say is dead.
TEST(ReaperInProcess, a_placing_list_is_pushed_again_without_a_scan) {
  World world;
  Inside inside(world.scratch);
  const auto dead = world.attach(Role::producer);
  const auto worker = world.attach();
  const JobId id = world.enqueue(*dead, "x");
  // As if it had died before it pushed: the head passes its hint, and its placing list still names the job.
  inside.segment().ring(number_of(inside.segment(), world.level)).raise_head(inside.segment().ring(1).tail());
  ParticipantEntry& entry = inside.segment().participant(static_cast<std::uint32_t>(dead->number()));
  entry.placing[0].store(id.value());
  entry.placing_count.store(1);
  ASSERT_EQ(code_of(worker->claim()), ErrorCode::would_block);
  Reaper reaper(inside.core(), inside.number());
  ASSERT_TRUE(reaper.take_over(static_cast<std::uint32_t>(dead->number())));
  Job job = must(worker->claim());
  EXPECT_EQ(job.id(), id);
  must(job.complete());
}

/// A sleeper whose wake-up the dead participant has eaten, or was about to give.
struct ReapedBesideASleeper {
  explicit ReapedBesideASleeper(Role role = Role::worker) : dead(world.attach(role)), sleeper(world.attach()) {
    must(sleeper->subscribe({}));
  }
  std::uint32_t number() const { return static_cast<std::uint32_t>(sleeper->number()); }
  Sleepers sleepers() const { return {inside.segment(), inside.segment().signals().sleepers}; }
  /// True: the sleeper was woken.
  bool reap() {
    const std::uint32_t sequence = sleepers().sequence_of(number());
    Reaper reaper(inside.core(), inside.number());
    static_cast<void>(reaper.take_over(static_cast<std::uint32_t>(dead->number())));
    return sleepers().sequence_of(number()) != sequence;
  }

  World world;
  Inside inside{world.scratch};
  std::unique_ptr<Participant> dead;
  std::unique_ptr<Participant> sleeper;
};

TEST(ReaperInProcess, a_sleeper_is_woken_for_a_job_that_waits_after_a_reap) {
  ReapedBesideASleeper reaped;
  reaped.world.enqueue(*reaped.dead, "x");
  reaped.sleepers().announce(reaped.number());
  EXPECT_TRUE(reaped.reap());
  EXPECT_FALSE(reaped.sleepers().is_announced(reaped.number()));
}

TEST(ReaperInProcess, a_sleeper_whose_sign_the_dead_had_cleared_is_woken) {
  ReapedBesideASleeper reaped;
  EXPECT_TRUE(reaped.reap());
}

TEST(ReaperInProcess, a_sleeper_is_left_asleep_if_no_job_waits) {
  ReapedBesideASleeper reaped;
  reaped.sleepers().announce(reaped.number());
  EXPECT_FALSE(reaped.reap());
  EXPECT_TRUE(reaped.sleepers().is_announced(reaped.number()));
  reaped.sleepers().withdraw(reaped.number());
}

TEST(ReaperInProcess, all_sleepers_are_woken_after_a_tool_has_died) {
  ReapedBesideASleeper reaped(Role::tool);
  reaped.sleepers().announce(reaped.number());
  EXPECT_TRUE(reaped.reap());
}

TEST(ReaperInProcess, many_reapers_at_once_give_a_job_back_once) {
  for (int round = 0; round < 50; ++round) {
    World world;
    const auto dead = world.attach();
    for (int n = 0; n < 8; ++n) world.enqueue(*dead, "x");
    std::array<Job, 8> held;
    ASSERT_EQ(must(dead->claim_batch(held)), 8U);
    const auto number = static_cast<std::uint32_t>(dead->number());
    std::vector<std::thread> reapers;
    for (int n = 0; n < 4; ++n) {
      reapers.emplace_back([&world, number] {
        Inside inside(world.scratch);
        Reaper reaper(inside.core(), inside.number());
        static_cast<void>(reaper.take_over(number));
        inside.scan(TableScan::Owners{}.set(number));
      });
    }
    for (std::thread& reaper : reapers) reaper.join();
    const auto worker = world.attach();
    int claims = 0;
    while (auto job = worker->claim()) {
      must(job->complete());
      ++claims;
    }
    EXPECT_EQ(claims, 8);
    for (Job& job : held) EXPECT_EQ(code_of(job.complete()), ErrorCode::lease_lost);
  }
}

/// What the rule makes of each state, with a cell that was put into it by hand.
TEST(ReapRulesInProcess, each_state_is_left_as_its_row_says) {
  const SharedMemoryDistrust distrust;  // a completing cell whose end was never staged, which no participant leaves
  for (const ReapRule& rule : reap_rules) {
    World world;
    Inside inside(world.scratch);
    const std::uint32_t owner = 7;
    constexpr CellIndex cell = 5;
    const StateWord word = StateWord::make(9, owner, rule.state, 3);
    inside.table().state(cell).store(word.bits());
    Reaper reaper(inside.core(), inside.number());
    reaper.apply_rule(cell, word, owner);
    const StateWord after = inside.table().word(cell);
    switch (rule.action) {
      case ReapAction::free:
      case ReapAction::finish:
        EXPECT_EQ(after.state(), CellState::free) << static_cast<int>(rule.state);
        EXPECT_EQ(after.generation(), 10U);
        break;
      case ReapAction::retry:
        EXPECT_EQ(after.state(), CellState::queued);
        EXPECT_EQ(inside.table().header(cell).attempts.load(), 1U);
        break;
      case ReapAction::place:
      case ReapAction::nothing:
        EXPECT_EQ(after, word) << static_cast<int>(rule.state);
    }
  }
}

}  // namespace
}  // namespace ringmill::test
