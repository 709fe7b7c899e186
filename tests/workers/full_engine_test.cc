// Workers of an engine that producers keep full: what they do must go on.
#include <array>
#include <atomic>
#include <chrono>
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

}  // namespace
}  // namespace ringmill::test
