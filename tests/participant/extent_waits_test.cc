// A producer that waits for an extent of the arena is woken by whatever lets go of one. The fall-back that looks again
// after a second is switched off here.
#include <atomic>
#include <functional>
#include <thread>

#include "core/keeper/reaper.h"
#include "core/participant/claiming.h"
#include "core/table/arena.h"
#include "core/table/free_cells.h"
#include "core/table/unique_jobs.h"
#include "ipc/clock.h"
#include "ipc/pause.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"
#include "tests/support/random.h"
#include "tests/support/undestroyed.h"
#include "tests/support/without_fallback.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t whole_chunk = 64 * 1024;

/// Four chunks of 64 KiB; 64 bytes fit a cell.
CreateOptions engine_with_arena() {
  CreateOptions options = small_engine();
  options.max_payload = whole_chunk;
  options.arena = 4 * whole_chunk;
  return options;
}

struct Arenas {
  const WithoutFallback without_fallback;
  World world{engine_with_arena()};
  std::shared_ptr<EngineCore> core = world.scratch.open_core();
  std::unique_ptr<Participant> late = world.attach();
  std::unique_ptr<Participant> other = world.attach();
  const std::string large = std::string(whole_chunk, 'x');

  void revoke_leases_of(const Participant& holder) {
    Inside inside(world.scratch);
    Reaper(inside.core(), inside.number()).expire_leases(static_cast<std::uint32_t>(holder.number()), far_future_ns);
  }
  /// The late one's lease on its large job is revoked, the other ends the job, and the rest of the arena is filled: the
  /// one extent that could be had is in the late one's quarantine.
  void quarantine_one_extent() {
    revoke_leases_of(*late);
    complete_all();
    fill(3);
  }
  void complete_all() {
    while (auto job = other->claim()) must(job->complete());
  }
  void fill(int chunks) {
    for (int n = 0; n < chunks; ++n) world.enqueue(*other, large);
  }
  /// `late` holds a large job that it has claimed in advance, and not handed out.
  bool holds_a_large_job_in_advance() {
    must(late->subscribe({.prefetch = 64}));
    for (int attempt = 0; attempt < 1000; ++attempt) {
      for (int n = 0; n < 3; ++n) world.enqueue(*late, "small");
      const JobId id = world.enqueue(*late, large);
      for (int n = 0; n < 3; ++n) {
        must(must(late->claim()).complete());
        if (world.state_of(id) == JobState::running) {
          while (n++ < 2) must(must(late->claim()).complete());
          return true;
        }
      }
      must(must(late->claim()).complete());
    }
    return false;
  }
  bool waits_for_room(int participant) const {
    return Sleepers(core->segment, core->segment.signals().space_waiters)
        .is_announced(static_cast<std::uint32_t>(participant));
  }
};

/// Sleeps for an extent, and has its large job in when it was woken.
class WaitingProducer {
 public:
  explicit WaitingProducer(Arenas& arenas, std::size_t bytes = whole_chunk)
      : arenas_(&arenas), thread_([this, &arenas, bytes] {
          const auto producer = arenas.world.attach(Role::producer);
          number_.store(producer->number());
          is_in_.store(
              producer->enqueue(arenas.world.request(std::string_view(arenas.large).substr(0, bytes)), generous)
                  .has_value());
          is_over_.store(true);
        }) {
    sleeps_ = await([&] { return number_.load() >= 0 && arenas.waits_for_room(number_.load()); });
    std::this_thread::sleep_for(20ms);  // between its sign and its sleep
  }
  WaitingProducer(const WaitingProducer&) = delete;
  WaitingProducer& operator=(const WaitingProducer&) = delete;
  ~WaitingProducer() {
    Sleepers(arenas_->core->segment, arenas_->core->segment.signals().space_waiters).wake_all();
    thread_.join();
  }
  bool sleeps() const { return sleeps_ && !is_over_.load(); }
  bool is_woken_and_in() const {
    return await([this] { return is_over_.load(); }, 5s) && is_in_.load();
  }

 private:
  Arenas* arenas_;
  std::atomic<int> number_{-1};
  std::atomic<bool> is_in_{false};
  std::atomic<bool> is_over_{false};
  bool sleeps_ = false;
  std::thread thread_;
};

/// What a late holder of a large job may do with it.
void expect_a_wake_when_it_lets_go(const std::function<void(Job&)>& let_go) {
  Arenas arenas;
  arenas.world.enqueue(*arenas.late, arenas.large);
  Job held = must(arenas.late->claim());
  arenas.quarantine_one_extent();
  const WaitingProducer producer(arenas);
  ASSERT_TRUE(producer.sleeps());
  let_go(held);
  EXPECT_TRUE(producer.is_woken_and_in()) << "the extent is free, and its waiter was not woken";
}

TEST(ExtentWaitsInProcess, complete_of_a_late_holder_wakes) {
  expect_a_wake_when_it_lets_go([](Job& job) { EXPECT_EQ(code_of(job.complete()), ErrorCode::lease_lost); });
}
TEST(ExtentWaitsInProcess, extend_of_a_late_holder_wakes) {
  expect_a_wake_when_it_lets_go([](Job& job) { EXPECT_EQ(code_of(job.extend(1s)), ErrorCode::lease_lost); });
}
TEST(ExtentWaitsInProcess, release_of_a_late_holder_wakes) {
  expect_a_wake_when_it_lets_go([](Job& job) { EXPECT_EQ(code_of(job.release()), ErrorCode::lease_lost); });
}

TEST(ExtentWaitsInProcess, a_late_holder_that_leaves_with_its_job_wakes) {
  Arenas arenas;
  arenas.world.enqueue(*arenas.late, arenas.large);
  const Undestroyed<Job> held(must(arenas.late->claim()));
  arenas.quarantine_one_extent();
  const WaitingProducer producer(arenas);
  ASSERT_TRUE(producer.sleeps());
  arenas.late.reset();
  EXPECT_TRUE(producer.is_woken_and_in());
}

TEST(ExtentWaitsInProcess, a_claim_that_was_lost_before_it_was_handed_out_wakes) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "a participant claims in advance only while jobs are quick, which they are not here";
#endif
  Arenas arenas;
  ASSERT_TRUE(arenas.holds_a_large_job_in_advance());
  arenas.quarantine_one_extent();
  const WaitingProducer producer(arenas);
  ASSERT_TRUE(producer.sleeps());
  Job next = must(arenas.late->claim());  // claim.K6 fails for the first, and the next one is another's large job
  EXPECT_TRUE(producer.is_woken_and_in());
  must(next.complete());
}

TEST(ExtentWaitsInProcess, claims_in_advance_that_are_given_back_wake) {
  Arenas arenas;
  ASSERT_TRUE(arenas.holds_a_large_job_in_advance());
  arenas.quarantine_one_extent();
  const WaitingProducer producer(arenas);
  ASSERT_TRUE(producer.sleeps());
  must(arenas.late->subscribe({}));
  EXPECT_TRUE(producer.is_woken_and_in());
}

TEST(ExtentWaitsInProcess, a_large_job_that_is_cancelled_wakes) {
  for (const Durability durability : {Durability::memory, Durability::journaled}) {
    Arenas arenas;
    JobRequest request = arenas.world.request(arenas.large);
    request.durability = durability;
    const JobId id = must(arenas.other->enqueue(request));
    arenas.fill(3);
    const WaitingProducer producer(arenas);
    ASSERT_TRUE(producer.sleeps());
    EXPECT_EQ(must(arenas.other->cancel(id)), Cancelled::before_start);
    EXPECT_TRUE(producer.is_woken_and_in());
  }
}

/// The reservation of a claim that lost its job to another named the job until the slot was used again: no other
/// producer got the extent meanwhile, for as long as the loser had nothing to claim.
TEST(ExtentWaitsInProcess, a_claimer_that_loses_a_large_job_to_another_does_not_keep_its_extent) {
  Arenas arenas;
  const Segment& segment = arenas.core->segment;
  const auto number = static_cast<std::uint32_t>(arenas.late->number());
  LeaseBook book(segment, segment.participant(number), JobTable(segment).inline_bytes());
  const JobId id = arenas.world.enqueue(*arenas.other, arenas.large);
  const StateWord seen = JobTable(segment).word(index_of(id));
  book.reserve(id, seen.next(CellState::running, number + 1),
               far_future_ns);  // claim.K3, and another's claim.K4 comes first
  must(must(arenas.other->claim()).complete());
  arenas.fill(3);
  const WaitingProducer producer(arenas);
  ASSERT_TRUE(producer.sleeps()) << "the reservation keeps the extent until it is dropped";
  book.drop_reservation(true);
  EXPECT_TRUE(producer.is_woken_and_in());
}

/// Claimers that lose races for large jobs, and then find nothing more to claim.
TEST(ExtentWaitsInProcess, many_claimers_of_large_jobs_leave_no_extent_behind) {
  Arenas arenas;
  constexpr int jobs = 2000;
  std::atomic<int> completed{0};
  std::atomic<bool> may_leave{false};
  std::vector<std::thread> claimers;
  for (int n = 0; n < 4; ++n) {
    claimers.emplace_back([&] {
      const auto worker = arenas.world.attach();
      while (completed.load() < jobs) {
        if (auto job = worker->claim(); job && job->complete()) completed.fetch_add(1);
      }
      may_leave.wait(false);
    });
  }
  for (int n = 0; n < jobs; ++n) must(arenas.other->enqueue(arenas.world.request(arenas.large), generous));
  await([&] { return completed.load() == jobs; });
  for (int n = 0; n < 4; ++n) EXPECT_TRUE(arenas.other->enqueue(arenas.world.request(arenas.large)).has_value()) << n;
  may_leave.store(true);
  may_leave.notify_all();
  for (std::thread& claimer : claimers) claimer.join();
}

TEST(ExtentWaitsInProcess, a_chunk_that_is_cut_anew_wakes_for_what_is_left_of_it) {
  Arenas arenas;
  const Segment& segment = arenas.core->segment;
  arenas.fill(4);
  const WaitingProducer producer(arenas, 100);
  ASSERT_TRUE(producer.sleeps());
  // One chunk becomes free, and is taken for a small payload before its waiter looks.
  FreeCells cells(segment, static_cast<std::uint32_t>(arenas.late->number()) + 1);
  FreeCells::Filling filling;
  ASSERT_TRUE(cells.take(filling, 0));
  Job held = must(arenas.late->claim());
  // As complete(), without its wake.
  const CellIndex index = index_of(held.id());
  const StateWord running = JobTable(segment).word(index);
  JobTable(segment).state(index).store(JobTable(segment).freed(running).bits());
  segment.participant(static_cast<std::uint32_t>(arenas.late->number())).leases[0].job_id.store(0);
  Arena arena(segment);
  ASSERT_TRUE(arena.take(job_id_of(filling.word, filling.index), 100).has_value());
  EXPECT_TRUE(producer.is_woken_and_in());
  EXPECT_EQ(code_of(held.complete()), ErrorCode::lease_lost);
}

TEST(ExtentWaitsInProcess, an_enqueue_that_does_away_with_the_cell_of_another_one_wakes) {
  Arenas arenas;
  const Segment& segment = arenas.core->segment;
  const UniqueKey key = UniqueKey::of("key");
  FreeCells cells(segment, static_cast<std::uint32_t>(arenas.late->number()) + 1);
  FreeCells::Filling filling;
  ASSERT_TRUE(cells.take(filling, 0));
  const JobId id = job_id_of(filling.word, filling.index);
  ASSERT_TRUE(Arena(segment).take(id, whole_chunk).has_value());
  const JobTable table(segment);
  table.header(filling.index).flags.store(cell_flag::has_options);
  table.options_place(filling.index).unique_low.store(key.low);
  table.options_place(filling.index).unique_high.store(key.high);
  ASSERT_EQ(UniqueJobs(segment).take(key, id), UniqueJobs::Taken::yes);
  arenas.fill(3);
  const WaitingProducer producer(arenas);
  ASSERT_TRUE(producer.sleeps());
  EXPECT_FALSE(UniqueJobs(segment).find(key, JobId()).has_value());
  EXPECT_TRUE(producer.is_woken_and_in());
}

/// The end of a large job against a producer that begins to wait: settle.E7, then wake.W2 on one side, wake.S2, then
/// wake.S3 on the other. On machines that let a load pass an earlier store this is what the fence of wake_for_extent()
/// is for.
TEST(ExtentWaitsInProcess, no_wake_is_lost_between_the_end_of_a_large_job_and_a_producer_that_begins_to_wait) {
  Arenas arenas;
  const auto waiting = arenas.world.attach(Role::producer);
  const auto number = static_cast<std::uint32_t>(waiting->number());
  std::atomic<std::uint64_t> begun{0};
  std::atomic<std::uint64_t> ended{0};
  std::atomic<bool> is_over{false};
  const std::uint64_t seed = printed_seed();
  const auto pause = [](std::mt19937_64& random) {
    for (std::uint64_t n = random() % 128; n != 0; --n) pause_while_spinning();
  };
  std::thread ender([&] {
    std::mt19937_64 random(seed);
    const auto worker = arenas.world.attach();
    JobRequest request = arenas.world.request(arenas.large);
    request.durability = Durability::memory;
    for (int n = 0; n < 3; ++n) must(worker->enqueue(request));
    std::vector<Job> held;
    for (int n = 0; n < 3; ++n) held.push_back(must(worker->claim()));
    for (std::uint64_t round = 1; !is_over.load(); ++round) {
      must(worker->enqueue(request));
      Job job = must(worker->claim());
      begun.store(round);
      pause(random);
      must(job.complete());
      ended.store(round);
      while (begun.load() == round && !is_over.load()) std::this_thread::yield();
    }
  });
  Sleepers waiters(arenas.core->segment, arenas.core->segment.signals().space_waiters);
  Arena arena(arenas.core->segment);
  std::mt19937_64 random(seed + 1);
  std::uint64_t lost = 0;
  const std::uint64_t end_ns = steady_clock_ns() + 1'000'000'000;
  for (std::uint64_t round = 1; steady_clock_ns() < end_ns; ++round) {
    while (begun.load() != round) std::this_thread::yield();
    pause(random);
    waiters.announce(number);                           // wake.S2
    const bool has_room = arena.has_room(whole_chunk);  // wake.S3
    while (ended.load() != round) std::this_thread::yield();
    if (!has_room && waiters.is_announced(number)) ++lost;
    waiters.withdraw(number);
    begun.store(0);
  }
  is_over.store(true);
  begun.store(0);
  ender.join();
  EXPECT_EQ(lost, 0U);
}

}  // namespace
}  // namespace ringmill::test
