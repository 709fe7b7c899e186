// What calls report of a job and of a full engine: errors that say what to do, states, and wake-ups.
#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "core/table/free_cells.h"
#include "ipc/sleepers.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"
#include "tests/support/without_fallback.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

TEST(JobStatesInProcess, too_large_says_both_sizes) {
  World world;
  const auto producer = world.attach(Role::producer);
  const std::uint32_t most = world.engine.most_payload_bytes();
  const auto refused = producer->enqueue(world.request(std::string(most + 1, 'x')));
  ASSERT_EQ(code_of(refused), ErrorCode::too_large);
  const std::string message = refused.error().message();
  EXPECT_NE(message.find(std::to_string(most)), std::string::npos) << message;
  EXPECT_NE(message.find(std::to_string(most + 1)), std::string::npos) << message;
}

TEST(JobStatesInProcess, a_batch_with_one_payload_too_large_puts_in_nothing) {
  World world;
  const auto producer = world.attach(Role::producer);
  const std::string large(world.engine.most_payload_bytes() + 1, 'x');
  const std::array<JobRequest, 2> batch{world.request("x"), world.request(large)};
  std::array<JobId, 2> ids;
  EXPECT_EQ(code_of(producer->enqueue_batch(batch, ids)), ErrorCode::too_large);
  EXPECT_EQ(world.engine.status().cells_used, 0U);
}

TEST(JobStatesInProcess, a_job_is_queued_then_running_then_ended) {
  World world;
  const auto worker = world.attach();
  const JobId id = world.enqueue(*worker, "x");
  EXPECT_EQ(world.state_of(id), JobState::queued);
  Job job = must(worker->claim());
  EXPECT_EQ(world.state_of(id), JobState::running);
  must(job.complete());
  EXPECT_EQ(world.state_of(id), JobState::ended);
}

TEST(JobStatesInProcess, a_running_job_names_its_worker_and_its_attempt) {
  World world;
  const auto worker = world.attach();
  const JobId id = world.enqueue(*worker, "four");
  Job job = must(worker->claim());
  const JobInfo info = must(world.engine.job(id));
  EXPECT_EQ(info.worker, worker->number());
  EXPECT_EQ(info.attempts, 1U);
  EXPECT_EQ(info.payload_size, 4U);
  must(job.complete());
}

TEST(JobStatesInProcess, a_queued_job_has_no_worker) {
  World world;
  const auto producer = world.attach(Role::producer);
  EXPECT_EQ(must(world.engine.job(world.enqueue(*producer, "x"))).worker, -1);
}

TEST(JobStatesInProcess, a_settled_job_is_not_held_any_more) {
  World world;
  const auto worker = world.attach();
  world.enqueue(*worker, "x");
  Job job = must(worker->claim());
  ASSERT_TRUE(job.held());
  must(job.complete());
  EXPECT_FALSE(job.held());
}

TEST(JobStatesInProcess, a_cancelled_job_has_ended_or_is_shown_as_cancelled) {
  World world;
  const auto worker = world.attach();
  const JobId id = world.enqueue(*worker, "x");
  must(worker->cancel(id));
  const JobState state = world.state_of(id);
  EXPECT_TRUE(state == JobState::ended || state == JobState::cancelled) << name_of(state);
}

TEST(JobStatesInProcess, a_job_that_was_completed_is_already_over_for_cancel) {
  World world;
  const auto worker = world.attach();
  const JobId id = world.enqueue(*worker, "x");
  must(must(worker->claim()).complete());
  EXPECT_EQ(must(worker->cancel(id)), Cancelled::already_over);
}

TEST(JobStatesInProcess, a_job_that_waits_again_after_a_failure_can_be_cancelled) {
  World world;
  const auto worker = world.attach();
  const JobId id = world.enqueue(*worker, "x");
  must(must(worker->claim()).retry_in(std::chrono::milliseconds(0)));
  EXPECT_EQ(must(worker->cancel(id)), Cancelled::before_start);
  EXPECT_EQ(code_of(worker->claim()), ErrorCode::would_block);
}

TEST(FullEngineInProcess, a_producer_that_waits_for_room_is_woken_when_a_job_completes) {
  const WithoutFallback without_fallback;
  World world;
  const auto core = world.scratch.open_core();
  const auto worker = world.attach();
  while (worker->enqueue(world.request("x"))) {
  }
  std::atomic<int> number{-1};
  std::atomic<bool> went_in{false};
  std::thread waiter([&] {
    const auto producer = world.attach(Role::producer);
    number = producer->number();
    went_in = producer->enqueue(world.request("waited"), generous).has_value();
  });
  Sleepers waiters(core->segment, core->segment.signals().space_waiters);
  EXPECT_TRUE(await([&] { return number >= 0 && waiters.is_announced(static_cast<std::uint32_t>(number)); }));
  EXPECT_TRUE(must(worker->claim()).complete().has_value());
  waiter.join();
  EXPECT_TRUE(went_in);
}

TEST(FullEngineInProcess, a_wait_for_room_that_does_not_come_times_out) {
  World world;
  const auto producer = world.attach(Role::producer);
  while (producer->enqueue(world.request("x"))) {
  }
  EXPECT_EQ(code_of(producer->enqueue(world.request("y"), 1ms)), ErrorCode::timed_out);
}

TEST(FullEngineInProcess, a_batch_puts_in_what_has_room) {
  World world;
  const auto producer = world.attach(Role::producer);
  const std::uint32_t capacity = world.engine.status().capacity;
  for (std::uint32_t n = 0; n + 3 < capacity; ++n) world.enqueue(*producer, "x");
  const std::vector<JobRequest> batch(8, world.request("y"));
  std::array<JobId, 8> ids;
  EXPECT_EQ(must(producer->enqueue_batch(batch, ids)), 3U);
}

TEST(ReaperInProcess, a_worker_that_sleeps_in_claim_gets_the_job_of_the_dead) {
  const WithoutFallback without_fallback;
  World world;
  Inside inside(world.scratch);
  const auto dead = world.attach();
  const JobId id = world.enqueue(*dead, "x");
  Job held = must(dead->claim());
  std::atomic<int> number{-1};
  std::atomic<std::uint64_t> got{0};
  std::thread sleeper([&] {
    const auto worker = world.attach();
    number = worker->number();
    auto job = worker->claim(generous);
    if (job && job->complete()) got = id.value();
  });
  Sleepers sleepers(inside.segment(), inside.segment().signals().sleepers);
  EXPECT_TRUE(await([&] { return number >= 0 && sleepers.is_announced(static_cast<std::uint32_t>(number)); }));
  Reaper reaper(inside.core(), inside.number());
  EXPECT_TRUE(reaper.take_over(static_cast<std::uint32_t>(dead->number())));
  sleeper.join();
  EXPECT_EQ(got.load(), id.value());
  EXPECT_EQ(code_of(held.complete()), ErrorCode::lease_lost);
}

/// The wake for a job went to a sleeper that died before it woke. The other sleeper knows nothing of the job.
TEST(ReaperInProcess, a_sleeper_gets_the_job_whose_wake_had_gone_to_the_dead) {
  const WithoutFallback without_fallback;
  World world;
  Inside inside(world.scratch);
  const auto dead = world.attach();  // the lower number: it is woken first
  const auto dead_number = static_cast<std::uint32_t>(dead->number());
  ASSERT_EQ(code_of(dead->claim()), ErrorCode::would_block);  // from now on it stands for any kind of job
  std::atomic<int> number{-1};
  std::atomic<std::uint64_t> got{0};
  std::atomic<bool> may_leave{false};
  std::thread sleeper([&] {
    const auto worker = world.attach();
    number = worker->number();
    auto job = worker->claim(generous);
    if (job) got = job->id().value();
    if (job) static_cast<void>(job->complete());
    may_leave.wait(false);
  });
  Sleepers sleepers(inside.segment(), inside.segment().signals().sleepers);
  EXPECT_TRUE(await([&] { return number >= 0 && sleepers.is_announced(static_cast<std::uint32_t>(number)); }));
  sleepers.announce(dead_number);
  const auto producer = world.attach(Role::producer);
  const JobId id = world.enqueue(*producer, "x");
  EXPECT_FALSE(sleepers.is_announced(dead_number)) << "the wake went to another: this test shows nothing";
  EXPECT_EQ(world.state_of(id), JobState::queued);
  Reaper reaper(inside.core(), inside.number());
  EXPECT_TRUE(reaper.take_over(dead_number));
  EXPECT_TRUE(await([&] { return got.load() == id.value(); }, std::chrono::seconds(10)));
  sleepers.wake_all();
  may_leave = true;
  may_leave.notify_all();
  sleeper.join();
}

/// Producers in threads, each of which lists every cell again and again, as any number of scans might. All cells but
/// one are in use, so that they reach for the same one. A producer that takes it after another one has gets a new
/// generation, too.
TEST(FreeCellsInProcess, no_two_producers_get_one_cell_while_free_cells_are_listed_all_the_time) {
  CreateOptions options = small_engine();
  options.capacity = 64;
  World world(options);
  Inside inside(world.scratch);
  FreeCells others(inside.segment(), 1);
  FreeCells::Filling used;
  for (CellIndex n = 0; n < inside.table().capacity() - 1; ++n) ASSERT_TRUE(others.take(used, 0));
  others.give_back();
  std::atomic<std::uint64_t> last_generation{0};
  std::atomic<int> doubled{0};
  std::vector<std::thread> producers;
  for (std::uint32_t owner = 2; owner <= 4; ++owner) {
    producers.emplace_back([&, owner] {
      FreeCells cells(inside.segment(), owner);
      for (int n = 0; n < 200'000; ++n) {
        inside.segment().free_map().put(0, ~std::uint64_t{0});
        FreeCells::Filling filling;
        if (!cells.take(filling, 0)) continue;
        const std::uint64_t generation = filling.word.generation();
        if (last_generation.exchange(generation) >= generation) doubled.fetch_add(1);
        inside.table().state(filling.index).store(inside.table().freed(filling.word).bits());
      }
    });
  }
  for (std::thread& producer : producers) producer.join();
  EXPECT_EQ(doubled.load(), 0);
  EXPECT_GT(last_generation.load(), 0U);
}

/// A keeper that read the old deadline, and was held up until after the extension.
TEST(ExtendInProcess, a_keeper_that_read_the_word_before_the_extension_cannot_revoke_it) {
  World world;
  Inside inside(world.scratch);
  const auto worker = world.attach();
  const JobId id = world.enqueue(*worker, "x");
  Job job = must(worker->claim());
  const StateWord judged = inside.table().word(index_of(id));
  must(job.extend(std::chrono::hours(1)));
  Reaper reaper(inside.core(), inside.number());
  reaper.apply_rule(index_of(id), judged, static_cast<std::uint32_t>(worker->number()) + 1);
  EXPECT_EQ(world.state_of(id), JobState::running);
  EXPECT_TRUE(job.complete().has_value());
}

TEST(ExtendInProcess, a_lease_that_was_not_extended_is_revoked_at_its_end_and_not_before) {
  CreateOptions options = small_engine();
  options.lease = std::chrono::hours(1);
  World world(options);
  Inside inside(world.scratch);
  const auto worker = world.attach();
  const JobId id = world.enqueue(*worker, "x");
  Job job = must(worker->claim());
  const auto number = static_cast<std::uint32_t>(worker->number());
  Reaper reaper(inside.core(), inside.number());
  const std::uint64_t deadline = reaper.expire_leases(number, 1);
  ASSERT_NE(deadline, Reaper::no_deadline);
  reaper.expire_leases(number, deadline - 1);
  EXPECT_EQ(world.state_of(id), JobState::running);
  reaper.expire_leases(number, deadline);
  EXPECT_EQ(world.state_of(id), JobState::queued);
  EXPECT_EQ(code_of(job.complete()), ErrorCode::lease_lost);
}

}  // namespace
}  // namespace ringmill::test
