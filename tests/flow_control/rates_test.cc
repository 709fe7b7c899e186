// No more jobs of a kind begin than its rate allows, whatever stands still or dies in between.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/flow_control/flow_world.h"
#include "tests/support/child.h"
#include "tests/support/levels.h"
#include "tests/support/shared_block.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

TEST(Limits, a_rate_lets_as_many_begin_as_there_are_tokens_and_the_others_wait) {
  FlowWorld world;
  must(world.engine.limit(world.kind, {.rate = {.count = 6, .period = 1h}, .burst = 2}));
  std::vector<JobId> ids;
  for (int n = 0; n < 12; ++n) ids.push_back(world.add());
  std::vector<Job> running;
  running.push_back(must(world.participant->claim()));
  running.push_back(must(world.participant->claim()));
  EXPECT_TRUE(world.has_nothing());
  for (std::size_t n = 2; n < ids.size(); ++n) EXPECT_EQ(world.parked(ids[n]), WaitMark::Reason::rate);
}

/// Starts of a kind with a rate, as tests of spans need them.
struct Starts {
  std::vector<std::uint64_t> ns;

  void add() { ns.push_back(lease_clock_ns()); }
  /// The most that began within a span.
  std::size_t most_in(std::chrono::nanoseconds span) const {
    std::size_t most = 0;
    for (auto from = ns.begin(); from != ns.end(); ++from) {
      const auto to = std::upper_bound(from, ns.end(), *from + static_cast<std::uint64_t>(span.count()));
      most = std::max(most, static_cast<std::size_t>(to - from));
    }
    return most;
  }
};

TEST(Limits, after_a_stall_no_more_begin_than_the_rate_allows) {
  FlowWorld world;
  must(world.engine.limit(world.kind, {.rate = {.count = 100, .period = 1s}}));
  for (int n = 0; n < 60; ++n) world.add(std::to_string(n));
  Starts starts;
  std::vector<std::string> order;
  const auto run_one = [&] {
    Job job = world.claim();
    starts.add();
    order.emplace_back(as_text(job.payload()));
    must(job.complete());
  };
  for (int n = 0; n < 5; ++n) run_one();
  std::this_thread::sleep_for(400ms);  // the only worker does something else: forty tokens' time
  while (order.size() < 60) run_one();
  EXPECT_LE(starts.most_in(10ms), 3U);  // what one measures begins a little after its token
  EXPECT_LE(starts.most_in(100ms), 12U);
  EXPECT_LE(starts.most_in(300ms), 32U);
  for (int n = 0; n < 60; ++n) EXPECT_EQ(order[static_cast<std::size_t>(n)], std::to_string(n));
  EXPECT_TRUE(world.broken().empty());
}

TEST(Limits, a_job_that_was_taken_in_advance_takes_its_token_when_it_begins) {
  FlowWorld world(with_capacity(1024));
  must(world.engine.limit(world.kind, {.rate = {.count = 1, .period = 1h}}));
  for (int n = 0; n < 500; ++n) world.add_other();
  for (int n = 0; n < 500; ++n) world.run();  // so fast that the next claim takes more than one
  const JobId slow = world.add_other();
  const JobId held = world.add();
  const Job running = world.claim();
  ASSERT_EQ(running.id(), slow);
  ASSERT_EQ(world.participant->held(), 2U) << "nothing was taken in advance";
  const auto second = world.attach();
  const JobId late = must(second->enqueue(world.request("late")));
  const Job job = must(second->claim());
  EXPECT_EQ(job.id(), late);
  EXPECT_TRUE(world.has_nothing()) << "two have begun with one token";
  EXPECT_EQ(world.parked(held), WaitMark::Reason::rate);
}

TEST(Limits, a_job_whose_worker_died_takes_another_token) {
  FlowWorld world;
  must(world.engine.limit(world.kind, one_an_hour));
  const JobId id = world.add();
  Child child([&] {
    auto engine = world.scratch.open(without_keeper);
    auto worker = must(engine.attach(Role::worker));
    auto job = must(worker->claim(generous));
    std::_Exit(0);
    return 0;
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_TRUE(await([&] { return world.has_nothing() && world.parked(id) == WaitMark::Reason::rate; }));
}

TEST(Limits, several_processes_start_as_many_jobs_as_the_rate_allows_and_no_fewer) {
  FlowWorld world(with_capacity(2048));
  constexpr std::uint32_t jobs = 500;
  must(world.engine.limit(world.kind, {.rate = {.count = 1000, .period = 1s}}));
  SharedBlock<std::array<std::atomic<std::uint64_t>, jobs>> started;
  SharedBlock<std::atomic<std::uint32_t>> count;
  for (std::uint32_t n = 0; n < jobs; ++n) world.add();
  const std::uint64_t begin_ns = lease_clock_ns();
  std::vector<std::unique_ptr<Child>> workers;
  for (int n = 0; n < 4; ++n) {
    workers.push_back(std::make_unique<Child>([&] {
      auto engine = world.scratch.open(without_keeper);
      const auto worker = must(engine.attach(Role::worker));
      while (count->load() < jobs) {
        auto job = worker->claim(20ms);
        if (!job) continue;
        (*started)[count->fetch_add(1)] = lease_clock_ns();
        must(job->complete());
      }
      return 0;
    }));
  }
  for (auto& worker : workers) EXPECT_EQ(worker->wait(), 0);
  ASSERT_EQ(count->load(), jobs);
  // Never more than the tokens that have come due: the n-th start comes n intervals after the first at the earliest.
  std::vector<std::uint64_t> times(started->begin(), started->end());
  std::ranges::sort(times);
  for (std::uint32_t n = 0; n < jobs; ++n) EXPECT_GE(times[n], begin_ns + n * 1'000'000ULL) << n;
  // And no token was taken in vain: the bucket's word has moved by one interval a job.
  const std::uint64_t word = world.core->segment.kind_rule(number_of(world.core->segment, world.kind)).next_token_ns;
  EXPECT_LE(word, times.back() + 1'000'000);
  EXPECT_TRUE(world.broken().empty());
}

TEST(Limits, jobs_that_wait_for_the_old_rate_come_at_once_when_it_is_taken_off) {
  FlowWorld world;
  must(world.engine.limit(world.kind, one_an_hour));
  for (int n = 0; n < 5; ++n) world.add();
  world.run();
  EXPECT_TRUE(world.has_nothing());
  EXPECT_EQ(world.rule().waiting, 4U);
  must(world.engine.limit(world.kind, {}));
  for (int n = 0; n < 4; ++n) world.run();
  EXPECT_TRUE(world.engine.status().kinds.empty());
}

TEST(Limits, the_old_rate_does_not_count_for_the_new_one) {
  FlowWorld world;
  must(world.engine.limit(world.kind, {.rate = {.count = 1, .period = 100ms}}));
  for (int n = 0; n < 3; ++n) world.add();
  world.run();
  EXPECT_TRUE(world.has_nothing());
  must(world.engine.limit(world.kind, one_an_hour));
  world.run();  // the new bucket is full
  EXPECT_TRUE(await([&] { return world.has_nothing() && world.rule().waiting == 1; }));
  std::this_thread::sleep_for(250ms);
  EXPECT_TRUE(world.has_nothing());
}

TEST(Limits, each_attempt_takes_a_token) {
  FlowWorld world;
  must(world.engine.limit(world.kind, one_an_hour));
  const JobId id = world.add();
  must(world.claim().release());
  EXPECT_TRUE(world.has_nothing());
  EXPECT_EQ(world.parked(id), WaitMark::Reason::rate);
}

}  // namespace
}  // namespace ringmill::test
