// No memory to be had, at any allocation of any call: an error, and an engine that is whole.
#include "tests/host/failing_allocations.h"

#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include <ringmill/graph.h>
#include <ringmill/worker.h>

#include "core/inspect/invariants.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"

namespace {

thread_local std::uint64_t allocations_left = 0;  // 0: not counted
thread_local bool fails_now = false;
thread_local bool has_failed = false;
std::atomic<bool> others_fail{false};
thread_local bool is_spared = false;
/// Bytes of a large block that was given back, which the allocator hands out in pieces before it asks the system.
thread_local std::size_t bytes_kept = 0;
constexpr std::size_t large_block = 64 * 1024;

bool is_kept(std::size_t bytes) noexcept {
  if (bytes > bytes_kept || bytes >= large_block) return false;
  bytes_kept -= bytes;
  return true;
}

bool is_refused(std::size_t bytes) noexcept {
  if (is_kept(bytes)) return false;
  if (others_fail.load() && !is_spared) return true;
  if (allocations_left != 0 && --allocations_left == 0) fails_now = true;
  has_failed = has_failed || fails_now;
  return fails_now;
}

}  // namespace

// The plain ones, which the others call; and the one that a sanitizer would answer by itself.
void* operator new(std::size_t bytes) {
  void* const memory = is_refused(bytes) ? nullptr : std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return is_refused(bytes) ? nullptr : std::malloc(bytes == 0 ? 1 : bytes);
}
void operator delete(void* memory) noexcept {
  if (memory != nullptr && ::malloc_usable_size(memory) >= large_block) bytes_kept = large_block;
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept { ::operator delete(memory); }

namespace ringmill::test {

FailingAllocations::FailingAllocations(std::uint64_t n) noexcept {
  has_failed = false;
  bytes_kept = 0;
  allocations_left = n;
}
FailingAllocations::~FailingAllocations() {
  allocations_left = 0;
  fails_now = false;
}
bool FailingAllocations::some_has_failed() noexcept { return has_failed; }

ForeignAllocationsFail::ForeignAllocationsFail() noexcept {
  is_spared = true;
  others_fail.store(true);
}
ForeignAllocationsFail::~ForeignAllocationsFail() { others_fail.store(false); }

namespace {

using namespace std::chrono_literals;

/// Makes the call with the first allocation failing, then with the second, until all of them succeed. Each time it says
/// whether it failed; an exception that comes through ends the test.
void at_each_allocation(const std::string& name, const std::function<bool()>& call) {
  constexpr std::uint64_t more_than_any_has = 5000;
  for (std::uint64_t n = 1; n < more_than_any_has; ++n) {
    bool succeeded = false;
    bool failed_one = false;
    try {
      const FailingAllocations failing(n);
      succeeded = call();
      failed_one = FailingAllocations::some_has_failed();
    } catch (const std::exception& thrown) {
      FAIL() << name << ", allocation " << n << ": " << thrown.what() << " came through";
    }
    if (failed_one) continue;
    EXPECT_TRUE(succeeded) << name;
    return;
  }
  FAIL() << name << " allocates for ever";
}

class NoMemoryInProcess : public testing::Test {
 protected:
  void TearDown() override {
    participant_.reset();
    EXPECT_EQ(check_invariants(world_.scratch.open_core()->segment, false), std::vector<std::string>{});
  }

  World world_{small_engine_with_room()};
  std::unique_ptr<Participant> participant_ = world_.attach();
};

TEST_F(NoMemoryInProcess, opening_and_attaching_are_errors) {
  const std::filesystem::path directory = world_.scratch.directory();
  at_each_allocation("open", [&] { return Engine::open(directory, without_keeper).has_value(); });
  at_each_allocation("attach", [&] { return world_.engine.attach(Role::producer).has_value(); });
}

TEST_F(NoMemoryInProcess, asking_an_engine_is_an_error) {
  const JobId id = world_.enqueue(*participant_, "x");
  at_each_allocation("level", [&] { return world_.engine.level("default").has_value(); });
  at_each_allocation("no level", [&] {
    const auto level = world_.engine.level("nowhere");
    return !level && level.error().code() == ErrorCode::not_found;
  });
  at_each_allocation("kind", [&] { return world_.engine.kind("another").has_value(); });
  at_each_allocation("policy", [&] { return world_.engine.retry_policy("list:1s,10s,5m").has_value(); });
  at_each_allocation("job", [&] { return world_.engine.job(id).has_value(); });
  at_each_allocation("wait", [&] { return world_.engine.wait(id, 1ms).error().code() == ErrorCode::timed_out; });
  at_each_allocation("pause", [&] { return world_.engine.pause(world_.kind).has_value(); });
  at_each_allocation("resume", [&] { return world_.engine.resume(world_.kind).has_value(); });
}

TEST_F(NoMemoryInProcess, enqueueing_is_an_error_or_done) {
  at_each_allocation("enqueue", [&] { return participant_->enqueue(world_.request("x")).has_value(); });
  const std::string payload(1 << 20, 'x');
  at_each_allocation("too long", [&] { return !participant_->enqueue(world_.request(payload)).has_value(); });
  at_each_allocation("unique", [&] { return participant_->enqueue_unique(world_.request("x"), "key").has_value(); });
  at_each_allocation("together", [&] {
    std::array<LinkedRequest, 3> jobs;
    for (LinkedRequest& job : jobs) job.request = world_.request("x");
    std::array<JobId, 3> ids;
    return participant_->enqueue_together(jobs, ids).has_value();
  });
}

TEST_F(NoMemoryInProcess, running_a_job_is_an_error_or_done) {
  const ClaimOptions claims{.kinds = {world_.kind}};
  at_each_allocation("subscribe", [&] { return participant_->subscribe(claims).has_value(); });
  at_each_allocation("nothing to claim", [&] { return !participant_->claim().has_value(); });
  at_each_allocation("run", [&] {
    static_cast<void>(participant_->enqueue(world_.request("x")));
    auto job = participant_->claim();
    if (!job) return false;
    const bool followed = job->follow_up({.request = world_.request("y")}).has_value();
    return job->complete().has_value() && followed;
  });
  at_each_allocation("fail", [&] {
    auto job = participant_->claim();
    return job && job->fail("it is broken").has_value();
  });
}

TEST_F(NoMemoryInProcess, a_graph_is_an_error_or_done) {
  const std::array<JobRequest, 2> requests{world_.request("x"), world_.request("y")};
  const JobGraph graph = JobGraph::chain(requests);
  at_each_allocation("graph", [&] { return graph.enqueue(*participant_).has_value(); });
  at_each_allocation("follow", [&] {
    static_cast<void>(participant_->enqueue(world_.request("x")));
    auto job = participant_->claim();
    if (!job) return false;
    const bool followed = graph.follow(*job).has_value();
    return job->complete().has_value() && followed;
  });
}

TEST_F(NoMemoryInProcess, a_participant_that_was_not_made_takes_no_entry) {
  const std::size_t before = world_.engine.status().participants.size();
  at_each_allocation("attach", [&] { return world_.engine.attach(Role::producer).has_value(); });
  EXPECT_EQ(world_.engine.status().participants.size(), before);
}

TEST(NoMemory, a_workers_run_is_an_error_and_what_it_held_goes_back) {
  World world(small_engine(), {});
  auto producer = world.attach(Role::producer);
  for (int n = 0; n < 20; ++n) world.enqueue(*producer, "x");
  std::atomic<int> runs{0};
  const auto run = [&] {
    Worker worker(world.engine, {.threads = 2, .drain = true});
    worker.on_any([&](JobContext&) {
      ++runs;
      return JobOutcome::complete();
    });
    return worker.run();
  };
  {
    const ForeignAllocationsFail failing;
    const auto ran = run();
    ASSERT_FALSE(ran);
    EXPECT_EQ(ran.error().code(), ErrorCode::out_of_memory);
  }
  EXPECT_TRUE(run());
  EXPECT_EQ(runs, 20);
}

TEST(NoMemory, the_keeper_takes_back_what_a_killed_worker_held) {
  World world(small_engine(), {});
  auto participant = world.attach(Role::worker);
  world.enqueue(*participant, "x");
  ASSERT_TRUE(await([&] { return world.engine.keeps(); }));
  Child holder([&] {
    Engine engine = world.scratch.open(without_keeper);
    auto worker = must(engine.attach(Role::worker));
    const Job job = must(worker->claim(generous));
    while (true) ::pause();
    return 0;
  });
  ASSERT_TRUE(await([&] { return world.engine.status().levels.at(1).running == 1; }));
  {
    const ForeignAllocationsFail failing;
    holder.kill();
    std::this_thread::sleep_for(100ms);
  }
  EXPECT_TRUE(await([&] { return participant->claim(10ms).has_value(); }));
}

TEST(NoMemory, the_threads_of_an_engine_go_on_when_there_is_some_again) {
  World world(small_engine(), {});
  auto participant = world.attach(Role::producer);
  ASSERT_TRUE(await([&] { return world.engine.keeps(); }));
  {
    const ForeignAllocationsFail failing;
    JobRequest request = world.request("x");
    request.durability = Durability::journaled;
    for (int n = 0; n < 20; ++n) {
      static_cast<void>(participant->enqueue(request));
      std::this_thread::sleep_for(10ms);
    }
  }
  JobRequest request = world.request("x");
  request.durability = Durability::durable;
  EXPECT_TRUE(await([&] { return participant->enqueue(request, 1s).has_value(); }));
  EXPECT_TRUE(world.engine.keeps());
}

}  // namespace
}  // namespace ringmill::test
