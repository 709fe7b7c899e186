// Jobs with a serial key: one of a key at a time, in the order of their enqueue.
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "core/keeper/serial_keys.h"
#include "tests/support/await.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"
#include "tests/support/shared_block.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

CreateOptions engine_for_serial_jobs() {
  CreateOptions options = small_engine();
  options.cell_size = 256;
  options.capacity = 8192;
  return options;
}

/// Which job of which key: a payload.
struct Turn {
  std::uint32_t key = 0;
  std::uint32_t number = 0;
  bool operator==(const Turn&) const = default;
};

Turn turn_in(const Job& job) {
  Turn turn;
  std::memcpy(&turn, job.payload().data(), sizeof turn);
  return turn;
}

std::string name_of_key(std::uint32_t key) { return "vehicle-" + std::to_string(key); }

struct SerialWorld : World {
  explicit SerialWorld(const OpenOptions& opening = {}) : World(engine_for_serial_jobs(), opening) {}

  JobId enqueue(Participant& by, const Turn& turn, const JobOptions& options = {},
                SerialRetry retry = SerialRetry::wait, Durability durability = Durability::journaled) const {
    const std::string key = name_of_key(turn.key);
    return must(by.enqueue({.kind = kind,
                            .level = level,
                            .payload = std::as_bytes(std::span(&turn, 1)),
                            .durability = durability,
                            .options = options,
                            .serial_key = key,
                            .serial_retry = retry},
                           generous));
  }
  /// Claims the next job, which has to be this one.
  Job claim(Participant& worker, const Turn& turn) const {
    Job job = must(worker.claim(generous));
    EXPECT_EQ(turn_in(job).key, turn.key);
    EXPECT_EQ(turn_in(job).number, turn.number);
    return job;
  }
  void expect_nothing(Participant& worker) const {
    const auto job = worker.claim(100ms);
    EXPECT_FALSE(job) << "two jobs of one key at a time";
  }
  JobOptions quick_retry(std::chrono::milliseconds delay) {
    return {.retry_policy = must(engine.retry_policy("fixed:" + std::to_string(delay.count()) + "ms"))};
  }
};

/// Claims and completes jobs, and says what is out of turn.
class Judge {
 public:
  explicit Judge(std::uint32_t keys) : running_(keys), next_(keys) {}

  void run(Participant& worker, std::uint32_t jobs) {
    while (done_.load() < jobs) {
      auto job = worker.claim(100ms);
      if (!job) continue;
      const Turn turn = turn_in(*job);
      if (running_[turn.key].fetch_add(1) != 0) ++at_a_time_;
      if (next_[turn.key].exchange(turn.number + 1) != turn.number) ++out_of_order_;
      std::this_thread::sleep_for(10us);
      running_[turn.key].fetch_sub(1);
      must(job->complete());
      ++done_;
    }
  }
  std::uint32_t at_a_time() const { return at_a_time_.load(); }
  std::uint32_t out_of_order() const { return out_of_order_.load(); }

 private:
  std::vector<std::atomic<std::uint32_t>> running_;
  std::vector<std::atomic<std::uint32_t>> next_;
  std::atomic<std::uint32_t> done_{0};
  std::atomic<std::uint32_t> at_a_time_{0};
  std::atomic<std::uint32_t> out_of_order_{0};
};

TEST(SerialKey, jobs_of_a_key_run_one_at_a_time_and_in_the_order_of_two_producers_calls) {
  SerialWorld world;
  constexpr std::uint32_t keys = 50;
  constexpr std::uint32_t of_each = 40;
  Judge judge(keys);
  std::vector<std::thread> workers;
  for (int n = 0; n < 3; ++n) {
    workers.emplace_back([&] {
      const auto worker = world.attach();
      judge.run(*worker, keys * of_each);
    });
  }
  std::atomic<std::uint32_t> next{0};
  const auto produce = [&](std::uint32_t own) {  // by turns: one call returns before the other's begins
    const auto producer = world.attach(Role::producer);
    for (std::uint32_t n = own; n < keys * of_each; n += 2) {
      while (next.load() != n) std::this_thread::yield();
      static_cast<void>(world.enqueue(*producer, {.key = n % keys, .number = n / keys}));
      next.store(n + 1);
    }
  };
  std::thread one(produce, 0);
  std::thread other(produce, 1);
  one.join();
  other.join();
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(judge.at_a_time(), 0U);
  EXPECT_EQ(judge.out_of_order(), 0U);
}

TEST(SerialKey, a_job_waits_while_another_of_its_key_runs) {
  SerialWorld world;
  const auto worker = world.attach();
  for (std::uint32_t n = 0; n < 2; ++n) static_cast<void>(world.enqueue(*worker, {.number = n}));
  Job running = world.claim(*worker, {.number = 0});
  static_cast<void>(world.enqueue(*worker, {.number = 2}));
  world.expect_nothing(*worker);
  must(running.complete());
  for (std::uint32_t n = 1; n < 3; ++n) must(world.claim(*worker, {.number = n}).complete());
}

TEST(SerialKey, a_batch_keeps_its_order) {
  SerialWorld world;
  const auto worker = world.attach();
  std::array<Turn, 64> turns;
  std::array<JobRequest, 64> requests;
  std::array<JobId, 64> ids;
  const std::array<std::string, 2> keys{name_of_key(0), name_of_key(1)};
  for (std::uint32_t n = 0; n < 64; ++n) {
    turns[n] = {.key = n % 2, .number = n / 2};
    requests[n] = {.kind = world.kind,
                   .level = world.level,
                   .payload = std::as_bytes(std::span(&turns[n], 1)),
                   .serial_key = keys[n % 2]};
  }
  ASSERT_EQ(must(worker->enqueue_batch(requests, ids)), 64U);
  Judge judge(2);
  judge.run(*worker, 64);
  EXPECT_EQ(judge.out_of_order(), 0U);
}

TEST(SerialKey, the_key_waits_for_a_retry) {
  SerialWorld world;
  const auto worker = world.attach();
  static_cast<void>(world.enqueue(*worker, {.number = 0}, world.quick_retry(300ms)));
  static_cast<void>(world.enqueue(*worker, {.number = 1}));
  must(world.claim(*worker, {.number = 0}).fail("not yet"));
  world.expect_nothing(*worker);
  must(world.claim(*worker, {.number = 0}).complete());
  must(world.claim(*worker, {.number = 1}).complete());
}

TEST(SerialKey, a_job_that_is_skipped_while_it_waits_for_a_retry_is_the_next_one_afterwards) {
  SerialWorld world;
  const auto worker = world.attach();
  static_cast<void>(world.enqueue(*worker, {.number = 0}, world.quick_retry(200ms), SerialRetry::skip));
  for (std::uint32_t n = 1; n < 3; ++n) static_cast<void>(world.enqueue(*worker, {.number = n}));
  must(world.claim(*worker, {.number = 0}).fail("not yet"));
  {
    Job second = world.claim(*worker, {.number = 1});
    std::this_thread::sleep_for(300ms);  // the retry's time comes while another job of the key runs
    world.expect_nothing(*worker);
    must(second.complete());
  }
  must(world.claim(*worker, {.number = 0}).complete());
  must(world.claim(*worker, {.number = 2}).complete());
}

TEST(SerialKey, a_delayed_job_holds_its_key_unless_it_may_be_skipped) {
  for (const SerialRetry retry : {SerialRetry::wait, SerialRetry::skip}) {
    SerialWorld world;
    const auto worker = world.attach();
    static_cast<void>(world.enqueue(*worker, {.number = 0}, {.delay = 200ms}, retry));
    static_cast<void>(world.enqueue(*worker, {.number = 1}));
    const std::uint32_t first = retry == SerialRetry::wait ? 0 : 1;
    must(world.claim(*worker, {.number = first}).complete());
    must(world.claim(*worker, {.number = 1 - first}).complete());
  }
}

TEST(SerialKey, the_next_one_goes_on_when_one_is_dead_cancelled_or_expired) {
  SerialWorld world;
  const auto worker = world.attach();
  static_cast<void>(world.enqueue(*worker, {.number = 0}));
  const JobId cancelled = world.enqueue(*worker, {.number = 1});
  static_cast<void>(world.enqueue(*worker, {.number = 2}, {.expires = 1ms}));
  static_cast<void>(world.enqueue(*worker, {.number = 3}));
  EXPECT_EQ(must(worker->cancel(cancelled)), Cancelled::before_start);
  std::this_thread::sleep_for(10ms);  // number 2 expires before its turn comes
  must(world.claim(*worker, {.number = 0}).reject("never"));
  must(world.claim(*worker, {.number = 3}).complete());
}

TEST(SerialKey, a_job_whose_worker_died_runs_again_before_the_next_one) {
  SerialWorld world(without_keeper);
  const auto worker = world.attach();
  Child keeper([&world]() -> int {
    const Engine engine = world.scratch.open();
    for (;;) ::pause();
  });
  for (std::uint32_t n = 0; n < 3; ++n) static_cast<void>(world.enqueue(*worker, {.number = n}));
  Child dying([&world]() -> int {
    Engine engine = world.scratch.open(without_keeper);
    const auto own = must(engine.attach(Role::worker));
    const auto job = own->claim(generous);
    return job && turn_in(*job).number == 0 ? (::raise(SIGKILL), 1) : 2;
  });
  EXPECT_EQ(dying.wait(), -SIGKILL);
  for (std::uint32_t n = 0; n < 3; ++n) must(world.claim(*worker, {.number = n}).complete());
}

TEST(SerialKey, the_next_keeper_knows_the_job_that_runs_and_the_order) {
  SerialWorld world(without_keeper);
  const auto worker = world.attach();
  const auto keep = [&world]() -> int {
    const Engine engine = world.scratch.open();
    for (;;) ::pause();
  };
  Child first(keep);
  for (std::uint32_t n = 0; n < 3; ++n) static_cast<void>(world.enqueue(*worker, {.number = n}));
  Job running = world.claim(*worker, {.number = 0});
  first.kill();
  static_cast<void>(world.enqueue(*worker, {.number = 3}));
  const Child second(keep);
  world.expect_nothing(*worker);
  must(running.complete());
  for (std::uint32_t n = 1; n < 4; ++n) must(world.claim(*worker, {.number = n}).complete());
}

TEST(SerialKey, order_holds_while_one_keeper_after_another_is_killed) {
  SerialWorld world(without_keeper);
  const SharedBlock<std::atomic<bool>> is_over;
  Child killer([&]() -> int {
    for (int n = 0; !is_over->load(); ++n) {
      Child keeper([&world]() -> int {
        const Engine engine = world.scratch.open();
        for (;;) ::pause();
      });
      std::this_thread::sleep_for(20ms + n * 37 % 200 * 1ms);  // some end before their first scan
      keeper.kill();
    }
    return 0;
  });
  constexpr std::uint32_t keys = 20;
  constexpr std::uint32_t of_each = 50;
  Judge judge(keys);
  std::vector<std::thread> workers;
  for (int n = 0; n < 2; ++n) {
    workers.emplace_back([&] {
      const auto worker = world.attach();
      judge.run(*worker, keys * of_each);
    });
  }
  {
    const auto producer = world.attach(Role::producer);
    for (std::uint32_t n = 0; n < keys * of_each; ++n) {
      static_cast<void>(world.enqueue(*producer, {.key = n % keys, .number = n / keys}));
      if (n % 10 == 0) std::this_thread::sleep_for(5ms);
    }
  }
  for (std::thread& worker : workers) worker.join();
  is_over->store(true);
  EXPECT_EQ(killer.wait(), 0);
  EXPECT_EQ(judge.at_a_time(), 0U);
  EXPECT_EQ(judge.out_of_order(), 0U);
}

TEST(SerialKey, thousands_of_keys_come_back_in_order_from_the_journal) {
  constexpr std::uint32_t keys = 2000;
  SerialWorld world;
  {
    const auto producer = world.attach(Role::producer);
    for (std::uint32_t n = 0; n < 3; ++n) {
      for (std::uint32_t key = 0; key < keys; ++key)
        static_cast<void>(world.enqueue(*producer, {.key = key, .number = n}));
    }
    must(producer->wait_durable(producer->ticket(), generous));
  }
  { const Engine closed = std::move(world.engine); }
  std::filesystem::remove(world.scratch.segment_file());
  world.engine = world.scratch.open();
  world.kind = must(world.engine.kind(kind_name));
  world.level = must(world.engine.level("default"));
  const auto worker = world.attach();
  // Numbers go on behind those of before.
  for (std::uint32_t key = 0; key < keys; ++key) static_cast<void>(world.enqueue(*worker, {.key = key, .number = 3}));
  Judge judge(keys);
  judge.run(*worker, keys * 4);
  EXPECT_EQ(judge.out_of_order(), 0U);
}

TEST(SerialKey, a_follow_up_waits_for_its_turn) {
  SerialWorld world;
  const auto worker = world.attach();
  for (std::uint32_t n = 0; n < 2; ++n) static_cast<void>(world.enqueue(*worker, {.number = n}));
  {
    Job first = world.claim(*worker, {.number = 0});
    const Turn turn{.number = 2};
    const std::string key = name_of_key(0);
    static_cast<void>(must(first.follow_up(
        {.request = {.kind = world.kind, .payload = std::as_bytes(std::span(&turn, 1)), .serial_key = key}})));
    must(first.complete());
  }
  for (std::uint32_t n = 1; n < 3; ++n) must(world.claim(*worker, {.number = n}).complete());
}

TEST(SerialKey, a_unique_job_can_have_one) {
  SerialWorld world;
  const auto worker = world.attach();
  const std::string key = name_of_key(0);
  static_cast<void>(world.enqueue(*worker, {.number = 0}));
  const Turn turn{.number = 1};
  const JobRequest request{
      .kind = world.kind, .level = world.level, .payload = std::as_bytes(std::span(&turn, 1)), .serial_key = key};
  const UniqueJob made = must(worker->enqueue_unique(request, "once"));
  EXPECT_EQ(must(worker->enqueue_unique(request, "once")).id, made.id);
  for (std::uint32_t n = 0; n < 2; ++n) must(world.claim(*worker, {.number = n}).complete());
}

TEST(SerialKey, keys_do_not_wait_for_each_other) {
  SerialWorld world;
  const auto worker = world.attach();
  for (std::uint32_t key = 0; key < 20; ++key) static_cast<void>(world.enqueue(*worker, {.key = key}));
  std::array<Job, 20> jobs;
  std::size_t count = 0;
  while (count < jobs.size()) count += must(worker->claim_batch(std::span(jobs).subspan(count), generous));
}

TEST(SerialKey, a_job_with_a_key_that_waits_for_another_is_refused) {
  SerialWorld world;
  const auto worker = world.attach();
  const JobId parent = world.enqueue(*worker, {.number = 0});
  const std::array parents{parent};
  const LinkedRequest request{.request = {.kind = world.kind, .level = world.level, .serial_key = "k"},
                              .after = parents};
  std::array<JobId, 1> ids;
  EXPECT_EQ(worker->enqueue_together(std::span(&request, 1), ids).error().code(), ErrorCode::invalid_argument);
}

/// The rows of the keys, in the test's hands.
struct SerialRows {
  SerialRows() {
    for (std::uint32_t n = 0; n < 2; ++n) ids[n] = world.enqueue(*worker, {.number = n});
  }

  void find(JobId id) {
    const JobTable table = inside.table();
    const auto place = serial_place_of(table, index_of(id));
    ASSERT_TRUE(place);
    rows.look_at(index_of(id), table.word(index_of(id)), *place);
  }
  bool promote() {
    std::vector<JobId> timed;
    return rows.promote(100, timed);
  }

  SerialWorld world{without_keeper};
  std::unique_ptr<Participant> worker = world.attach();
  std::array<JobId, 2> ids;
  Inside inside{world.scratch};
  Settling settling{inside.segment(), inside.number()};
  SerialKeys rows{settling};
};

TEST(SerialKey, a_job_that_a_pass_missed_is_not_overtaken_by_one_that_it_saw) {
  SerialRows serial;
  serial.rows.begin_pass();
  serial.find(serial.ids[1]);
  EXPECT_TRUE(serial.promote()) << "the pass may have missed an earlier job";
  serial.rows.begin_pass();
  serial.find(serial.ids[0]);
  EXPECT_TRUE(serial.promote());
  serial.rows.begin_pass();
  EXPECT_FALSE(serial.promote());
  EXPECT_EQ(must(serial.worker->claim()).id(), serial.ids[0]);
}

TEST(SerialKey, a_job_that_is_found_twice_is_promoted_once) {
  SerialRows serial;
  for (int times = 0; times < 2; ++times) {
    for (const JobId id : serial.ids) serial.find(id);
  }
  serial.rows.begin_pass();
  EXPECT_FALSE(serial.promote());
  must(must(serial.worker->claim()).complete());
  serial.find(serial.ids[0]);
  EXPECT_FALSE(serial.promote());
  EXPECT_EQ(must(serial.worker->claim()).id(), serial.ids[1]);
}

}  // namespace
}  // namespace ringmill::test
