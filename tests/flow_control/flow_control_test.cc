// What is paused does not begin. What is limited begins as its rule says, across all workers and their deaths.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/flow_control/flow_rules.h"
#include "core/inspect/invariants.h"
#include "core/inspect/status_view.h"
#include "ipc/sleepers.h"
#include "ipc/wait_mark.h"
#include "tests/flow_control/flow_world.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/levels.h"
#include "tests/support/shared_block.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

TEST(Pause, nothing_is_claimed_from_a_paused_level_and_the_others_go_on) {
  FlowWorld world;
  must(world.engine.pause(world.level));
  const JobId held = world.add();
  const JobId free = world.add_other("low");
  EXPECT_EQ(world.run(), free);
  EXPECT_TRUE(world.has_nothing());
  EXPECT_EQ(world.state_of(held), JobState::queued);
  EXPECT_TRUE(world.engine.status().levels.at(1).paused);
  must(world.engine.resume(world.level));
  EXPECT_EQ(world.run(), held);
  EXPECT_FALSE(world.engine.status().levels.at(1).paused);
  EXPECT_TRUE(world.broken().empty());
}

TEST(Pause, a_worker_that_sleeps_is_woken_when_its_level_goes_on) {
  FlowWorld world;
  longest_sleep_ns = ~std::uint64_t{0} >> 1;
  must(world.engine.pause(world.level));
  const JobId id = world.add();
  std::atomic<bool> resumed{false};
  std::thread sleeper([&] {
    const auto worker = world.attach();
    const Job job = must(worker->claim(generous));
    EXPECT_EQ(job.id(), id);
    EXPECT_TRUE(resumed.load());
  });
  EXPECT_TRUE(await([&] { return Sleepers(world.core->segment, world.core->segment.signals().sleepers).any(); }));
  resumed = true;
  must(world.engine.resume(world.level));
  sleeper.join();
  longest_sleep_ns = 1'000'000'000;
}

TEST(Pause, jobs_of_a_paused_kind_are_shown_as_queued_and_hold_no_other_jobs_up) {
  FlowWorld world;
  must(world.engine.pause(world.kind));
  const JobId held = world.add();
  const JobId free = world.add_other();
  EXPECT_EQ(world.run(), free);
  EXPECT_TRUE(world.has_nothing());
  EXPECT_EQ(world.parked(held), WaitMark::Reason::paused);
  EXPECT_EQ(world.state_of(held), JobState::queued);
  const EngineStatus status = world.engine.status();
  EXPECT_EQ(status.levels.at(1).queued, 1U);
  EXPECT_EQ(status.levels.at(1).held, 1U);
  EXPECT_EQ(status.levels.at(1).delayed, 0U);
  EXPECT_TRUE(world.rule().paused);
  EXPECT_EQ(world.rule().queued, 1U);
  EXPECT_TRUE(world.broken().empty());
}

TEST(Pause, a_kind_that_goes_on_comes_back_in_its_old_order) {
  FlowWorld world(with_capacity(1024));
  must(world.engine.pause(world.kind));
  std::vector<JobId> ids;
  for (int n = 0; n < 300; ++n) ids.push_back(world.add());
  EXPECT_TRUE(world.has_nothing());
  EXPECT_EQ(world.parked(ids.back()), WaitMark::Reason::paused);
  must(world.engine.resume(world.kind));
  // Enqueue times are told apart to some milliseconds; within one of those the order of the cells decides, which a
  // fresh engine gives in order.
  for (const JobId id : ids) {
    Job job = world.claim();
    EXPECT_EQ(job.id(), id);
    EXPECT_EQ(job.attempt(), 1U);
    must(job.complete());
  }
}

TEST(Pause, an_urgent_job_behind_many_of_a_paused_kind_starts_and_the_next_one_meets_none_of_them) {
  FlowWorld world(with_capacity(20'032));
  must(world.engine.pause(world.kind));
  for (int n = 0; n < 20'000; ++n) world.add();
  const JobId first = world.add_other();
  EXPECT_EQ(world.run(), first);
  const JobId second = world.add_other();
  const RingView ring = view_ring(world.core->segment, 1);
  EXPECT_EQ(ring.live_hints, 1U);
  EXPECT_LE(ring.dead_hints, 300U) << "the walk over the parked ones is made again and again";
  EXPECT_EQ(world.run(), second);
  EXPECT_EQ(world.engine.status().levels.at(1).held, 20'000U);
}

TEST(Pause, a_parked_job_can_be_cancelled_and_expires) {
  FlowWorld world(with_capacity(256));
  must(world.engine.pause(world.kind));
  const JobId cancelled = world.add();
  const JobOptions options{.expires = 50ms};
  const JobId expiring = world.add("", options);
  EXPECT_TRUE(world.has_nothing());
  EXPECT_EQ(must(world.participant->cancel(cancelled)), Cancelled::before_start);
  EXPECT_EQ(world.state_of(cancelled), JobState::ended);
  EXPECT_TRUE(await([&] { return world.state_of(expiring) == JobState::dead; }));
}

TEST(Limits, no_more_run_at_a_time_than_the_limit_says_over_several_processes) {
  FlowWorld world(with_capacity(1024));
  constexpr std::uint32_t jobs = 400;
  must(world.engine.limit(world.kind, at_a_time(2)));
  struct Ledger {
    std::atomic<std::uint32_t> running{0};
    std::atomic<std::uint32_t> most{0};
    std::atomic<std::uint32_t> done{0};
  };
  SharedBlock<Ledger> ledger;
  for (std::uint32_t n = 0; n < jobs; ++n) world.add();
  std::vector<std::unique_ptr<Child>> workers;
  for (int n = 0; n < 5; ++n) {
    workers.push_back(std::make_unique<Child>([&] {
      auto engine = world.scratch.open(without_keeper);
      const auto worker = must(engine.attach(Role::worker));
      while (ledger->done.load() < jobs) {
        auto job = worker->claim(20ms);
        if (!job) continue;
        const std::uint32_t running = ledger->running.fetch_add(1) + 1;
        for (std::uint32_t most = ledger->most; most < running && !ledger->most.compare_exchange_weak(most, running);) {
        }
        std::this_thread::sleep_for(std::chrono::microseconds(200));
        ledger->running.fetch_sub(1);
        must(job->complete());
        ++ledger->done;
      }
      return 0;
    }));
  }
  for (auto& worker : workers) EXPECT_EQ(worker->wait(), 0);
  EXPECT_EQ(ledger->done, jobs);
  EXPECT_LE(ledger->most, 2U);
  EXPECT_TRUE(world.broken().empty());
}

TEST(Limits, workers_killed_while_they_hold_every_permit_leave_the_limit_whole) {
  FlowWorld world;
  must(world.engine.limit(world.kind, at_a_time(3)));
  SharedBlock<std::atomic<std::uint32_t>> held;
  for (int n = 0; n < 6; ++n) world.add();
  std::vector<std::unique_ptr<Child>> workers;
  for (int n = 0; n < 3; ++n) {
    workers.push_back(std::make_unique<Child>([&] {
      auto engine = world.scratch.open(without_keeper);
      const auto worker = must(engine.attach(Role::worker));
      const Job job = must(worker->claim(generous));
      ++*held;
      while (true) ::pause();
      return 0;
    }));
  }
  ASSERT_TRUE(await([&] { return held->load() == 3; }));
  EXPECT_TRUE(world.has_nothing());
  for (auto& worker : workers) worker->kill();
  // Leases last five minutes here: only the deaths give the permits back.
  std::vector<Job> jobs;
  for (int n = 0; n < 3; ++n) jobs.push_back(world.claim());
  EXPECT_TRUE(world.has_nothing());
  EXPECT_EQ(world.rule().running, 3U);
  EXPECT_EQ(world.rule().waiting, 3U);
  for (Job& job : jobs) must(job.complete());
  for (int n = 0; n < 3; ++n) world.run();
  EXPECT_TRUE(world.has_nothing());
  EXPECT_TRUE(world.broken().empty());
}

TEST(Limits, a_lowered_limit_lets_no_job_begin_until_enough_have_ended) {
  FlowWorld world;
  must(world.engine.limit(world.kind, at_a_time(4)));
  for (int n = 0; n < 8; ++n) world.add();
  std::vector<Job> jobs;
  for (int n = 0; n < 4; ++n) jobs.push_back(world.claim());
  EXPECT_TRUE(world.has_nothing());
  must(world.engine.limit(world.kind, at_a_time(2)));
  for (int n = 0; n < 2; ++n) {  // the first permits: those within the new limit
    must(jobs[static_cast<std::size_t>(n)].complete());
    std::this_thread::sleep_for(100ms);
    EXPECT_TRUE(world.has_nothing()) << n;
  }
  must(jobs[2].complete());
  const Job next = world.claim();
  EXPECT_TRUE(world.has_nothing());
}

TEST(Limits, a_job_that_comes_new_counts_those_that_run_above_a_lowered_limit) {
  FlowWorld world;
  must(world.engine.limit(world.kind, at_a_time(4)));
  for (int n = 0; n < 4; ++n) world.add();
  std::vector<Job> jobs;
  for (int n = 0; n < 4; ++n) jobs.push_back(world.claim());
  must(world.engine.limit(world.kind, at_a_time(2)));
  for (std::size_t n = 0; n < 2; ++n) must(jobs[n].complete());  // the permits within the new limit are free
  // No job waits, so the claim alone decides, without the keeper.
  const JobId late = world.add();
  EXPECT_TRUE(world.has_nothing());
  EXPECT_EQ(world.parked(late), WaitMark::Reason::concurrency);
  EXPECT_EQ(world.rule().running, 2U);
  must(jobs[2].complete());
  EXPECT_EQ(world.run(), late);
}

TEST(Limits, jobs_that_run_when_their_kind_gets_its_limit_count) {
  FlowWorld world;
  for (int n = 0; n < 4; ++n) world.add();
  std::vector<Job> jobs;
  for (int n = 0; n < 2; ++n) jobs.push_back(world.claim());
  world.participant->release_prefetched();
  must(world.engine.limit(world.kind, at_a_time(2)));
  EXPECT_TRUE(world.has_nothing());
  must(jobs[0].complete());
  const Job next = world.claim();
  EXPECT_TRUE(world.has_nothing());
}

TEST(Limits, rate_and_concurrency_hold_together) {
  FlowWorld world;
  must(world.engine.limit(world.kind, {.rate = {.count = 2, .period = 1h}, .burst = 2, .concurrency = 1}));
  world.add();
  const JobId second = world.add();
  Job job = world.claim();
  EXPECT_TRUE(world.has_nothing());
  EXPECT_EQ(world.parked(second), WaitMark::Reason::concurrency);
  must(job.complete());
  Job next = world.claim();
  EXPECT_EQ(next.id(), second);
  const JobId third = world.add();
  must(next.complete());
  EXPECT_TRUE(await([&] { return world.has_nothing() && world.parked(third) == WaitMark::Reason::rate; }));
}

TEST(Limits, batches_take_one_job_of_a_kind_whose_number_is_limited) {
  FlowWorld world;
  must(world.engine.limit(world.kind, at_a_time(5)));
  for (int n = 0; n < 5; ++n) world.add();
  std::array<Job, 8> jobs;
  EXPECT_EQ(must(world.participant->claim_batch(jobs)), 1U);
  EXPECT_EQ(world.participant->complete_batch(std::span(jobs).first(1)), 1U);
  EXPECT_EQ(world.rule().running, 0U);
}

TEST(Limits, what_is_out_of_bounds_is_refused) {
  FlowWorld world;
  const std::array<KindLimits, 6> bad{{{.rate = {.count = 1, .period = 999ns}},
                                       {.rate = {.count = 1, .period = 24h * 8}},
                                       {.rate = {.count = 1'000'000'001, .period = 24h}},
                                       {.rate = {.count = 1001, .period = 1us}},
                                       {.burst = 0},
                                       {.concurrency = most_concurrency + 1}}};
  for (const KindLimits& limits : bad) {
    EXPECT_EQ(code_of(world.engine.limit(world.kind, limits)), ErrorCode::invalid_argument);
  }
  EXPECT_EQ(code_of(world.engine.pause(Kind{77})), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(world.engine.pause(Level{9})), ErrorCode::invalid_argument);
  EXPECT_TRUE(world.engine.status().kinds.empty());
}

TEST(Limits, sixty_four_kinds_have_a_concurrency_limit_and_one_that_gives_it_up_makes_room) {
  FlowWorld world;
  std::vector<Kind> kinds;
  for (int n = 0; n < 65; ++n) kinds.push_back(must(world.engine.kind("kind-" + std::to_string(n))));
  for (int n = 0; n < 64; ++n) must(world.engine.limit(kinds[static_cast<std::size_t>(n)], at_a_time(1)));
  EXPECT_EQ(code_of(world.engine.limit(kinds[64], at_a_time(1))), ErrorCode::no_space);
  must(world.engine.limit(kinds[3], {}));
  must(world.engine.limit(kinds[64], at_a_time(1)));
  EXPECT_EQ(world.engine.status().kinds.size(), 64U);
  EXPECT_TRUE(world.broken().empty());
}

TEST(Rules, an_engine_that_is_made_anew_has_its_rules_and_its_parked_jobs) {
  ScratchEngine scratch;
  JobId id;
  {
    Engine engine = scratch.open();
    const Kind kind = must(engine.kind("mail"));
    must(engine.limit(kind, one_an_hour));
    must(engine.pause(kind));
    must(engine.pause(must(engine.level("low"))));
    const auto participant = must(engine.attach(Role::worker));
    id = must(
        participant->enqueue({.kind = kind, .level = must(engine.level("high")), .durability = Durability::durable}));
    EXPECT_EQ(code_of(participant->claim()), ErrorCode::would_block);
    EXPECT_EQ(must(engine.job(id)).state, JobState::queued);
    // Another round of the journal looks at the parked cell.
    const JobId more = must(
        participant->enqueue({.kind = kind, .level = must(engine.level("high")), .durability = Durability::durable}));
    must(participant->cancel(more));
  }
  std::filesystem::remove(scratch.segment_file());
  Engine engine = scratch.open();
  const EngineStatus status = engine.status();
  ASSERT_EQ(status.kinds.size(), 1U);
  EXPECT_EQ(status.kinds[0].name, "mail");
  EXPECT_EQ(status.kinds[0].limits, one_an_hour);
  EXPECT_TRUE(status.kinds[0].paused);
  EXPECT_TRUE(status.levels.at(2).paused);
  const auto participant = must(engine.attach(Role::worker));
  EXPECT_EQ(must(engine.job(id)).state, JobState::queued);
  EXPECT_EQ(code_of(participant->claim(50ms)), ErrorCode::timed_out);
  must(engine.resume(must(engine.kind("mail"))));
  EXPECT_EQ(must(participant->claim(generous)).id(), id);
}

TEST(Rules, a_dynamic_level_is_paused_as_the_fixed_ones_also_in_an_engine_that_is_made_anew) {
  ScratchEngine scratch;
  JobId id;
  {
    Engine engine = scratch.open();
    const Level tube = must(engine.add_level("tube"));
    must(engine.pause(tube));
    const auto participant = must(engine.attach(Role::worker));
    id = must(
        participant->enqueue({.kind = must(engine.kind("mail")), .level = tube, .durability = Durability::durable}));
    EXPECT_EQ(code_of(participant->claim(20ms)), ErrorCode::timed_out);
    EXPECT_TRUE(engine.status().levels.back().paused);
  }
  std::filesystem::remove(scratch.segment_file());
  Engine engine = scratch.open();
  const auto participant = must(engine.attach(Role::worker));
  EXPECT_EQ(code_of(participant->claim(20ms)), ErrorCode::timed_out);
  must(engine.resume(must(engine.level("tube"))));
  EXPECT_EQ(must(participant->claim(generous)).id(), id);
}

TEST(Rules, the_pause_of_a_level_goes_with_it) {
  FlowWorld world;
  must(world.engine.pause(must(world.engine.add_level("tube"))));
  must(world.engine.remove_level("tube"));
  for (const char* name : {"other-tube", "tube"}) {
    must(world.engine.add_level(name));
    EXPECT_FALSE(world.engine.status().levels.back().paused) << name;
  }
}

TEST(Rules, a_parked_job_is_journaled_as_one_that_waits) {
  ScratchEngine scratch;
  JobId id;
  {
    Engine engine = scratch.open(without_keeper);  // so that nothing is written before the job is parked
    const Kind kind = must(engine.kind("mail"));
    must(engine.limit(kind, one_an_hour));
    const auto participant = must(engine.attach(Role::worker));
    const JobRequest request{.kind = kind, .level = must(engine.level("high"))};
    must(participant->enqueue(request));
    must(must(participant->claim()).complete());
    id = must(participant->enqueue(request));
    EXPECT_EQ(code_of(participant->claim()), ErrorCode::would_block);
    const DurabilityTicket ticket = participant->ticket();
    const Engine keeper = scratch.open();
    must(participant->wait_durable(ticket, generous));
  }
  std::filesystem::remove(scratch.segment_file());
  Engine engine = scratch.open();
  EXPECT_EQ(must(engine.job(id)).state, JobState::queued);
  const auto participant = must(engine.attach(Role::worker));
  EXPECT_EQ(must(participant->claim(generous)).id(), id) << "it waits for a token of before the restart";
}

TEST(Rules, the_keeper_applies_what_a_changer_that_died_has_written) {
  FlowWorld world;
  FlowRules rules;
  rules.paused_levels["low"] = 1;
  rules.kinds["mail"] = {.paused_since_ns = 0, .limits = at_a_time(7)};
  const auto file = world.scratch.directory() / flow_file;
  std::ofstream(file.string() + ".tmp") << to_json(rules);
  std::filesystem::rename(file.string() + ".tmp", file);
  EXPECT_TRUE(await([&] { return world.engine.status().levels.at(2).paused; }));
  EXPECT_TRUE(await([&] { return world.engine.status().kinds.size() == 1; }));
  EXPECT_EQ(world.engine.status().kinds[0].limits, at_a_time(7));
}

TEST(Rules, the_next_keeper_brings_back_what_the_one_before_had_in_its_hands) {
  ScratchEngine scratch;
  Engine engine = scratch.open(without_keeper);
  const Kind kind = must(engine.kind("mail"));
  const auto participant = must(engine.attach(Role::worker));
  JobId id;
  {
    const Engine keeper = scratch.open();
    must(engine.pause(kind));
    id = must(participant->enqueue({.kind = kind, .level = must(engine.level("high"))}));
    EXPECT_EQ(code_of(participant->claim()), ErrorCode::would_block);
    std::this_thread::sleep_for(100ms);  // the mark is taken: only the keeper's memory, and the table, know of it
  }
  must(engine.resume(kind));
  EXPECT_EQ(code_of(participant->claim()), ErrorCode::would_block);
  const Engine keeper = scratch.open();
  EXPECT_EQ(must(participant->claim(generous)).id(), id);
}

TEST(Rules, a_file_of_rules_that_is_broken_is_named_and_changes_nothing) {
  FlowWorld world;
  must(world.engine.pause(world.kind));
  std::ofstream(world.scratch.directory() / flow_file) << "{";
  EXPECT_EQ(code_of(world.engine.resume(world.kind)), ErrorCode::corrupt);
  std::this_thread::sleep_for(100ms);
  EXPECT_TRUE(world.rule().paused);
}

}  // namespace
}  // namespace ringmill::test
