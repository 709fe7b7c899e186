// Workers of an engine that producers keep full: what they do must go on.
#include <array>
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <ringmill/worker.h>

#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

CreateOptions small_full_engine() {
  CreateOptions options = small_engine_with_room();
  options.capacity = 2048;
  options.reserve.reset();  // as users make one
  return options;
}

/// Producers that wait for room with batches, until the end of the scope.
class Producers {
 public:
  Producers(World& world, const JobRequest& request) {
    for (int n = 0; n < 2; ++n) {
      threads_.emplace_back([this, &world, request] {
        const auto producer = world.attach(Role::producer);
        std::array<JobRequest, 64> requests;
        requests.fill(request);
        std::array<JobId, 64> ids;
        while (!stop_) {
          const auto in = producer->enqueue_batch(requests, ids, 20ms);
          if (in) put_ += *in;
        }
      });
    }
  }
  ~Producers() { stop(); }
  void stop() {
    stop_ = true;
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }
  std::uint64_t put() const noexcept { return put_; }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> put_{0};
  std::vector<std::thread> threads_;
};

TEST(FullEngineWorkersInProcess, a_pipeline_goes_on_however_full_producers_keep_it) {
  World world(small_full_engine(), OpenOptions{});
  const Kind first = must(world.engine.kind("first"));
  const Kind second = must(world.engine.kind("second"));
  const Level low = must(world.engine.level("low"));
  std::atomic<std::uint64_t> done{0};
  std::atomic<std::uint64_t> refused{0};
  constexpr std::uint64_t wanted = 5000;
  Producers producers(world, {.kind = first, .level = low, .payload = as_payload("0123456789")});
  await([&] { return producers.put() >= 2048; });
  Worker worker(world.engine, {.threads = 4});
  worker.on("first", [&](JobContext& job) {
    const auto next = job.follow_up({.kind = second, .level = low});
    if (!next) {
      if (done < wanted) ++refused;  // afterwards stop() ends the waits of handlers, too
      return JobOutcome::fail(next.error().message());
    }
    return JobOutcome::complete();
  });
  worker.on("second", [&](JobContext&) {
    if (++done == wanted) worker.stop();
    return JobOutcome::complete();
  });
  must(worker.run());
  EXPECT_GE(done, wanted);
  EXPECT_EQ(refused, 0U);
  EXPECT_EQ(world.engine.status().totals.dead, 0U);
}

TEST(FullEngineWorkersInProcess, a_pipeline_drains_after_its_producers_have_ended) {
  World world(small_full_engine(), OpenOptions{});
  const Kind first = must(world.engine.kind("first"));
  const Kind second = must(world.engine.kind("second"));
  const Level low = must(world.engine.level("low"));
  std::uint64_t put = 0;
  {
    Producers producers(world, {.kind = first, .level = low, .payload = as_payload("0123456789")});
    await([&] { return producers.put() >= 2048; });
    producers.stop();
    put = producers.put();
  }
  std::atomic<std::uint64_t> done{0};
  Worker worker(world.engine, {.threads = 4, .drain = true});
  worker.on("first", [&](JobContext& job) {
    const auto next = job.follow_up({.kind = second, .level = low});
    return next ? JobOutcome::complete() : JobOutcome::fail(next.error().message());
  });
  worker.on("second", [&](JobContext&) {
    ++done;
    return JobOutcome::complete();
  });
  must(worker.run());
  EXPECT_EQ(done, put);
  EXPECT_EQ(world.engine.status().totals.failed, 0U);
}

TEST(FullEngineWorkersInProcess, an_alarm_goes_in_at_once_behind_a_full_batch_level) {
  World world(small_full_engine(), OpenOptions{});
  const Level low = must(world.engine.level("low"));
  const Level high = must(world.engine.level("high"));
  Producers producers(world, {.kind = world.kind, .level = low, .payload = as_payload("0123456789")});
  await([&] { return producers.put() >= 2048; });
  const auto producer = world.attach(Role::producer);
  for (int n = 0; n < 100; ++n) {
    const auto id = producer->enqueue({.kind = world.kind, .level = high, .payload = as_payload("alarm")});
    EXPECT_TRUE(id) << n << ": " << id.error().message();
  }
}

TEST(FullEngineWorkersInProcess, slow_handlers_that_follow_up_now_and_then_never_wait_for_room) {
  World world(small_full_engine(), OpenOptions{});
  const Kind alarm = must(world.engine.kind("alarm"));
  const Level low = must(world.engine.level("low"));
  const Level high = must(world.engine.level("high"));
  Producers producers(world, {.kind = world.kind, .level = low, .payload = as_payload("0123456789")});
  await([&] { return producers.put() >= 2048; });
  std::uint64_t runs = 0;
  std::uint64_t alarms = 0;
  std::uint64_t refused = 0;
  constexpr std::uint64_t wanted = 2000;
  Worker worker(world.engine, {.threads = 1});
  worker.on(kind_name, [&](JobContext& job) {
    if (++runs == wanted) worker.stop();
    const auto end = std::chrono::steady_clock::now() + 200us;
    while (std::chrono::steady_clock::now() < end) continue;
    if (runs % 50 == 0 && !job.follow_up({.kind = alarm, .level = high}, 0ns)) ++refused;
    return JobOutcome::complete();
  });
  worker.on("alarm", [&](JobContext&) {
    ++alarms;
    return JobOutcome::complete();
  });
  must(worker.run());
  EXPECT_EQ(refused, 0U);
  EXPECT_GE(alarms, wanted / 50 - 2) << "they overtake what is in low";
}

/// Follows up until the engine is full.
template <class Context>
Result<JobId> follow_up_until_refused(Context& job, const JobRequest& request) {
  while (true) {
    auto next = job.follow_up(request, 0ns);
    if (!next) return next;
  }
}

CreateOptions tiny_engine() {
  CreateOptions options = small_engine_with_room();
  options.capacity = 64;
  options.reserve.reset();
  return options;
}

TEST(FullEngineWorkersInProcess, a_run_whose_follow_up_got_no_room_costs_no_attempt_however_it_fails) {
  World world(tiny_engine(), OpenOptions{});
  const Kind next = must(world.engine.kind("next"));
  const JobOptions once{.max_attempts = 1};
  JobRequest request = world.request("x");
  request.options = once;
  const JobId id = must(world.attach(Role::producer)->enqueue(request));
  const JobRequest follow_up{.kind = next, .level = world.level};
  int runs = 0;
  std::string said;
  WorkerOptions options;
  Worker* self = nullptr;
  options.hooks.on_dead = [&self](JobId, std::string_view, const JobOutcome&) { self->stop(); };
  Worker worker(world.engine, options);
  self = &worker;
  worker.on(kind_name, [&](JobContext& job) -> JobOutcome {
    said += std::to_string(job.attempt());
    if (++runs == 4) {
      worker.stop();
      return JobOutcome::complete();
    }
    if (follow_up_until_refused(job, follow_up)) return JobOutcome::complete();
    if (runs == 2) throw std::runtime_error("no room");
    return runs == 1 ? JobOutcome::fail("no room") : JobOutcome::retry_in(1ms, "no room");
  });
  must(worker.run());
  EXPECT_EQ(said, "1111");
  const Totals totals = world.engine.status().totals;
  EXPECT_EQ(totals.dead, 0U);
  EXPECT_EQ(totals.failed, 0U);
  EXPECT_EQ(world.state_of(id), JobState::ended);
}

TEST(FullEngineWorkersInProcess, a_failure_after_room_was_found_counts) {
  World world(tiny_engine(), OpenOptions{});
  const Kind next = must(world.engine.kind("next"));
  const JobOptions once{.max_attempts = 1};
  JobRequest request = world.request("x");
  request.options = once;
  must(world.attach(Role::producer)->enqueue(request));
  Worker worker(world.engine, {.drain = true});
  worker.on(kind_name, [&](JobContext& job) {
    must(job.follow_up({.kind = next, .level = world.level}));
    return JobOutcome::fail("on its own account");
  });
  must(worker.run());
  EXPECT_EQ(world.engine.status().totals.failed, 1U);
}

TEST(FullEngineWorkersInProcess, a_handler_that_waits_for_room_when_its_worker_stops_costs_no_attempt) {
  World world(tiny_engine(), OpenOptions{});
  const Kind next = must(world.engine.kind("next"));
  const JobId id = must(world.attach(Role::producer)->enqueue(world.request("x")));
  const JobRequest follow_up{.kind = next, .level = world.level};
  std::atomic<bool> waits{false};
  Worker worker(world.engine, {});
  worker.on(kind_name, [&](JobContext& job) {
    static_cast<void>(follow_up_until_refused(job, follow_up));
    waits = true;
    const auto refused = job.follow_up(follow_up, 60s);
    return refused ? JobOutcome::complete() : JobOutcome::fail(refused.error().message());
  });
  std::thread stopper([&] {
    await([&] { return waits.load(); });
    std::this_thread::sleep_for(20ms);
    worker.stop();
  });
  must(worker.run());
  stopper.join();
  const JobInfo info = must(world.engine.job(id));
  EXPECT_EQ(info.state, JobState::queued);
  EXPECT_EQ(info.attempts, 0U);
  EXPECT_EQ(info.last_error, "");
}

}  // namespace
}  // namespace ringmill::test
