// A worker that falls asleep, stopped after each of its instructions: the job that comes there must reach it.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/crash/single_step.h"
#include "tests/crash/stepped_test.h"
#include "tests/support/core_test.h"
#include "tests/support/without_fallback.h"

namespace ringmill::crash {
namespace {

using namespace std::chrono_literals;
using test::must;
using State = SteppedProcess::State;

/// How long a stepped process may be silent before it is asked whether it sleeps.
constexpr std::chrono::milliseconds patience = 1s;

/// Waits until it stands or has ended, and not only until a busy machine lets it go on. False: it sleeps.
bool comes_back(SteppedProcess& process) {
  while (process.state() == State::silent) {
    if (process.is_asleep()) return false;
    process.wait_longer();
  }
  return true;
}

/// Nothing else can wake the worker or take its job: no keeper, no other worker, no check after a second.
class FallingAsleep : public SteppedTest {
 protected:
  /// The addresses that an undisturbed worker goes through until it sleeps; the last is the system call that it sleeps
  /// in.
  std::vector<std::uintptr_t> addresses_to_sleep() {
    std::vector<std::uintptr_t> addresses;
    SteppedProcess worker(wait_for_a_job, patience);
    worker.run_to_begin();
    while (comes_back(worker) && worker.state() == State::between) {
      addresses.push_back(worker.address());
      worker.step(1);
    }
    return addresses;
  }

  /// A job comes while the worker stands, or sleeps, where `stops` has brought it.
  void a_job_comes_after(const std::function<void(SteppedProcess&)>& stops) {
    SteppedProcess worker(wait_for_a_job, patience);
    ASSERT_EQ(worker.run_to_begin(), State::between);
    stops(worker);
    const bool is_awake = comes_back(worker);
    ASSERT_NE(worker.state(), State::ended) << worker.ending();
    const JobId id = world.enqueue(*producer, "x");
    if (!is_awake) worker.wait_longer();
    ASSERT_TRUE(comes_back(worker)) << "the job is left beside a sleeper";
    worker.run_to_end();
    ASSERT_TRUE(comes_back(worker)) << "the job is left beside a worker that falls asleep";
    ASSERT_EQ(worker.state(), State::at_end) << worker.ending();
    ASSERT_EQ(worker.let_go(), State::ended);
    ASSERT_TRUE(worker.ended_well()) << worker.ending();
    ASSERT_EQ(world.state_of(id), JobState::ended);
  }

  const test::WithoutFallback without_fallback;
  test::World world;
  std::unique_ptr<Participant> producer = world.attach(Role::producer);
  const std::function<void()> wait_for_a_job = [this]() noexcept {
    Engine engine = world.scratch.open(test::without_keeper);
    const auto worker = must(engine.attach(Role::worker));
    must(worker->subscribe({.levels = {world.level}, .prefetch = 1}));
    // What the first call binds and allocates is none of the steps.
    static_cast<void>(worker->claim(1ms));
    ringmill_step_begin();
    Result<Job> job = worker->claim(1h);
    ringmill_step_end();
    must(must(std::move(job)).complete());
  };
};

/// Where the spinning ends: behind the longest stretch in which no instruction is new.
std::size_t end_of_spinning(const std::vector<std::uintptr_t>& addresses) {
  const std::vector<std::uint64_t> first = StepPath(addresses).first_visits();
  const auto longest = std::ranges::max_element(
      first, {}, [&](const std::uint64_t& n) { return &n == &first.front() ? 0 : n - *(&n - 1); });
  return *longest;
}

TEST_F(FallingAsleep, a_worker_gets_the_job_that_comes_after_any_instruction_of_its_spinning) {
  const auto addresses = addresses_to_sleep();
  const std::size_t spun = end_of_spinning(addresses);
  std::size_t tried = 0;
  for (const std::uint64_t n : StepPath(addresses).first_visits()) {  // of the loop one turn
    if (n > spun) break;
    SCOPED_TRACE("after instruction " + std::to_string(n));
    ASSERT_NO_FATAL_FAILURE(a_job_comes_after([n](SteppedProcess& worker) { worker.step(n); }));
    ++tried;
  }
  EXPECT_GT(tried, 50U);
}

TEST_F(FallingAsleep, a_worker_gets_the_job_that_comes_after_any_instruction_between_its_spinning_and_its_sleep) {
  const auto addresses = addresses_to_sleep();
  const std::size_t spun = end_of_spinning(addresses);
  // It spins by the clock, at full speed for longer than in steps: what counts is where that ends.
  for (std::size_t n = spun; n <= addresses.size(); ++n) {
    SCOPED_TRACE("after instruction " + std::to_string(n - spun) + " of " + std::to_string(addresses.size() - spun));
    ASSERT_NO_FATAL_FAILURE(a_job_comes_after([&](SteppedProcess& worker) {
      ASSERT_EQ(worker.run_to(addresses[spun]), State::between);
      worker.step(n - spun);
    }));
  }
  EXPECT_GT(addresses.size() - spun, 50U);
}

}  // namespace
}  // namespace ringmill::crash
