// Participants that hold many jobs: what is said of one lease slot holds for each of the 64, and for two slots that
// name the same job.
#include <unistd.h>

#include <array>
#include <set>

#include "core/inspect/invariants.h"
#include "core/keeper/reaper.h"
#include "core/table/arena.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"
#include "tests/support/shared_block.h"
#include "tests/support/undestroyed.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

/// A participant that holds as many jobs as it may.
struct Laden {
  World world;
  Inside inside{world.scratch};
  std::unique_ptr<Participant> worker = world.attach();
  std::unique_ptr<Participant> other = world.attach();
  std::array<Job, lease_slots> jobs;

  Laden() {
    for (std::uint32_t n = 0; n < lease_slots; ++n) world.enqueue(*other, "job");
    EXPECT_EQ(must(worker->claim_batch(jobs)), std::size_t{lease_slots});
  }
  void revoke_all() {
    Reaper(inside.core(), inside.number()).expire_leases(static_cast<std::uint32_t>(worker->number()), far_future_ns);
  }
  std::set<JobId> ids() const {
    std::set<JobId> ids;
    for (const Job& job : jobs) ids.insert(job.id());
    return ids;
  }
};

TEST(ManyLeasesInProcess, each_of_64_running_jobs_is_asked_to_stop_by_itself) {
  Laden laden;
  for (std::uint32_t n = 0; n < lease_slots; ++n) {
    EXPECT_EQ(must(laden.other->cancel(laden.jobs[n].id())), Cancelled::asked_to_stop);
    for (std::uint32_t m = 0; m < lease_slots; ++m) EXPECT_EQ(laden.jobs[m].should_stop(), m <= n) << n << ", " << m;
  }
}

TEST(ManyLeasesInProcess, the_leases_of_64_jobs_are_revoked_each_at_its_own_deadline) {
  Laden laden;
  for (std::uint32_t n = 0; n < lease_slots; ++n) must(laden.jobs[n].extend(1min + n * 1s));
  ParticipantEntry& entry = laden.inside.segment().participant(static_cast<std::uint32_t>(laden.worker->number()));
  Reaper reaper(laden.inside.core(), laden.inside.number());
  const auto number = static_cast<std::uint32_t>(laden.worker->number());
  for (std::uint32_t n = 0; n < lease_slots; ++n) {
    const std::uint64_t next = reaper.expire_leases(number, entry.leases[n].deadline_ns.load());
    EXPECT_EQ(laden.world.state_of(laden.jobs[n].id()), JobState::queued) << n;
    const bool is_last = n + 1 == lease_slots;
    EXPECT_EQ(next, is_last ? Reaper::no_deadline : entry.leases[n + 1].deadline_ns.load()) << n;
  }
}

TEST(ManyLeasesInProcess, each_of_64_late_runs_is_told_and_ends_nothing_of_the_second_runs) {
  Laden laden;
  laden.revoke_all();
  std::array<Job, lease_slots> again;
  ASSERT_EQ(must(laden.other->claim_batch(again)), std::size_t{lease_slots});
  for (Job& job : laden.jobs) EXPECT_EQ(code_of(job.complete()), ErrorCode::lease_lost);
  for (Job& job : again) EXPECT_TRUE(job.complete().has_value());
  EXPECT_EQ(laden.world.engine.status().cells_used, 0U);
}

TEST(ManyLeasesInProcess, all_of_64_jobs_wait_again_when_their_holder_leaves) {
  Laden laden;
  const std::set<JobId> ids = laden.ids();
  const Undestroyed<std::array<Job, lease_slots>> held(std::move(laden.jobs));
  laden.worker.reset();
  for (const JobId id : ids) EXPECT_EQ(laden.world.state_of(id), JobState::queued) << id.to_string();
  EXPECT_EQ(check_invariants(laden.inside.segment(), false), std::vector<std::string>());
}

TEST(ManyLeases, all_of_64_jobs_of_a_killed_worker_wait_again_without_a_scan) {
  World world;
  Inside inside(world.scratch);
  const auto producer = world.attach(Role::producer);
  std::vector<JobId> ids;
  for (std::uint32_t n = 0; n < lease_slots; ++n) ids.push_back(world.enqueue(*producer, "job"));
  SharedBlock<std::atomic<int>> number;
  Child child([&] {
    Engine engine = world.scratch.open(without_keeper);
    const auto worker = must(engine.attach(Role::worker));
    std::array<Job, lease_slots> jobs;
    if (must(worker->claim_batch(jobs)) == lease_slots) number->store(worker->number() + 1);
    ::pause();
    return 0;
  });
  ASSERT_TRUE(await([&] { return number->load() != 0; }));
  child.kill();
  Reaper(inside.core(), inside.number()).take_over(static_cast<std::uint32_t>(number->load() - 1));
  for (const JobId id : ids) {
    const JobInfo info = must(world.engine.job(id));
    EXPECT_EQ(info.state, JobState::queued) << id.to_string();
    EXPECT_EQ(info.attempts, 1U) << id.to_string();
  }
}

TEST(ManyLeasesInProcess, a_large_job_in_the_last_lease_slot_keeps_its_extent) {
  CreateOptions options = small_engine();
  options.max_payload = 64 * 1024;
  options.arena = 4 * 64 * 1024;
  World world(options);
  Inside inside(world.scratch);
  const auto late = world.attach();
  const auto other = world.attach();
  const std::string payload(64 * 1024, 'x');
  for (std::uint32_t n = 0; n + 1 < lease_slots; ++n) world.enqueue(*other, "job");
  world.enqueue(*other, payload);
  std::array<Job, lease_slots> jobs;
  ASSERT_EQ(must(late->claim_batch(jobs)), std::size_t{lease_slots});
  Reaper(inside.core(), inside.number()).expire_leases(static_cast<std::uint32_t>(late->number()), far_future_ns);
  while (auto job = other->claim()) must(job->complete());
  for (int n = 0; n < 3; ++n) world.enqueue(*other, payload);
  EXPECT_EQ(code_of(other->enqueue(world.request(payload))), ErrorCode::would_block) << "the late one reads it still";
  EXPECT_EQ(code_of(jobs.back().complete()), ErrorCode::lease_lost);
  EXPECT_TRUE(other->enqueue(world.request(payload)).has_value());
}

/// Two slots of one participant name the job then; the first is of the run that was lost.
TEST(ManyLeasesInProcess, a_participant_that_claims_a_job_again_whose_lease_it_lost_is_asked_to_stop) {
  World world;
  Inside inside(world.scratch);
  const auto worker = world.attach();
  const auto other = world.attach();
  const JobId id = world.enqueue(*worker, "job");
  Job late = must(worker->claim());
  Reaper(inside.core(), inside.number()).expire_leases(static_cast<std::uint32_t>(worker->number()), far_future_ns);
  Job again = must(worker->claim());
  ASSERT_EQ(again.id(), id);
  EXPECT_EQ(must(other->cancel(id)), Cancelled::asked_to_stop);
  EXPECT_TRUE(again.should_stop()) << "cancel() said that it was asked to";
  EXPECT_FALSE(late.should_stop()) << "that run is over";
}

TEST(ManyLeasesInProcess, a_job_whose_lease_was_extended_is_asked_to_stop_as_any_other) {
  World world;
  const auto worker = world.attach();
  const auto other = world.attach();
  const JobId id = world.enqueue(*worker, "job");
  Job job = must(worker->claim());
  for (int n = 0; n < 3; ++n) must(job.extend(1min));
  EXPECT_EQ(must(other->cancel(id)), Cancelled::asked_to_stop);
  EXPECT_TRUE(job.should_stop());
}

TEST(ManyLeasesInProcess, cancelling_a_running_job_that_no_lease_speaks_of_is_answered) {
  World world;
  const auto core = world.scratch.open_core();
  const auto worker = world.attach();
  const auto other = world.attach();
  const JobId id = world.enqueue(*worker, "job");
  Job job = must(worker->claim());
  LeaseSlot& slot = core->segment.participant(static_cast<std::uint32_t>(worker->number())).leases[0];
  const std::uint64_t named = slot.job_id.exchange(0);  // a peer has written over it
  EXPECT_EQ(code_of(other->cancel(id)), ErrorCode::corrupt);
  slot.job_id.store(named);
  must(job.complete());
}

/// What a dead participant's entry says of bundles, stops and progress is not the next one's.
TEST(ReaperInProcess, nothing_of_a_dead_participants_bundle_is_left_to_its_follower) {
  World world;
  Inside inside(world.scratch);
  Reaper reaper(inside.core(), inside.number());
  const auto producer = world.attach(Role::producer);
  const JobId running = world.enqueue(*producer, "job");
  int number = -1;
  {
    const auto dead = world.attach();
    number = dead->number();
  }
  ParticipantEntry& entry = inside.segment().participant(static_cast<std::uint32_t>(number));
  // As one that died between lead.L2 and settle.E2 of a completion with follow-ups.
  entry.state.store(EntryState::bits(ParticipantState::alive, EntryState::of(entry).epoch));
  entry.bundle.store(running.value());
  entry.bundle_after.store(running.value());
  reaper.take_over(static_cast<std::uint32_t>(number));
  EXPECT_EQ(entry.bundle.load(), 0U);
  EXPECT_EQ(entry.bundle_after.load(), 0U);
  reaper.release_entry(static_cast<std::uint32_t>(number));
  entry.bundle.store(running.value());  // as a participant of an earlier version has left it
  entry.stop_asked[0].store(stop_tag(running));
  const auto follower = world.attach();
  ASSERT_EQ(follower->number(), number);
  EXPECT_EQ(entry.bundle.load(), 0U);
  Job job = must(follower->claim());
  EXPECT_FALSE(job.should_stop());
}

}  // namespace
}  // namespace ringmill::test
