// A client: the calls of a producer from any thread, over a few registry entries.
#include <ringmill/client.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/worker_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

/// Runs the body on so many threads at once, each with its number.
void on_threads(int count, const std::function<void(int)>& body) {
  std::vector<std::thread> threads;
  for (int n = 0; n < count; ++n) threads.emplace_back([&body, n] { body(n); });
  for (std::thread& thread : threads) thread.join();
}

std::size_t count_producers(const Engine& engine) {
  const EngineStatus status = engine.status();
  return static_cast<std::size_t>(std::ranges::count_if(
      status.participants, [](const ParticipantStatus& one) { return one.role == name_of(Role::producer); }));
}

std::vector<JobId> claim_all(Participant& worker) {
  std::vector<JobId> ids;
  while (auto job = worker.claim()) {
    ids.push_back(job->id());
    must(job->complete());
  }
  return ids;
}

TEST(ClientInProcess, many_threads_enqueue_over_few_registry_entries) {
  CreateOptions options = small_engine();
  options.capacity = 4096;
  World world(options);
  Client client = must(Client::attach(world.engine, {.participants = 3}));
  constexpr int threads = 16;
  constexpr int jobs = 100;
  std::array<std::vector<JobId>, threads> ids;
  on_threads(threads, [&](int n) {
    for (int job = 0; job < jobs; ++job) ids[n].push_back(must(client.enqueue(world.request("x"))));
  });
  EXPECT_LE(client.participants(), 3U);
  EXPECT_EQ(count_producers(world.engine), client.participants());
  std::set<JobId> enqueued;
  for (const auto& of_thread : ids) enqueued.insert(of_thread.begin(), of_thread.end());
  const auto worker = world.attach();
  const std::vector<JobId> claimed = claim_all(*worker);
  EXPECT_EQ(claimed.size(), std::size_t{threads} * jobs);
  EXPECT_EQ(std::set<JobId>(claimed.begin(), claimed.end()), enqueued);
}

TEST(ClientInProcess, the_jobs_of_one_thread_keep_their_order) {
  World world;
  Client client = must(Client::attach(world.engine));
  std::vector<JobId> ids;
  for (int n = 0; n < 20; ++n) {
    // A thread of its own each time, so that the entries differ.
    std::thread([&] { ids.push_back(must(client.enqueue(world.request("x")))); }).join();
  }
  EXPECT_GT(client.participants(), 1U);
  EXPECT_EQ(claim_all(*world.attach()), ids);
}

TEST(ClientInProcess, one_of_many_threads_makes_the_job_of_a_key) {
  World world(small_engine_with_room());
  Client client = must(Client::attach(world.engine));
  std::atomic<int> made{0};
  std::array<JobId, 8> ids;
  on_threads(8, [&](int n) {
    const UniqueJob job = must(client.enqueue_unique(world.request("x"), "the key"));
    if (job.is_new) ++made;
    ids[n] = job.id;
  });
  EXPECT_EQ(made, 1);
  EXPECT_EQ(std::ranges::count(ids, ids[0]), 8);
}

TEST(ClientInProcess, a_batch_may_be_longer_than_that_of_a_participant) {
  CreateOptions options = small_engine();
  options.capacity = 1024;
  World world(options);
  Client client = must(Client::attach(world.engine));
  const std::vector<JobRequest> requests(300, world.request("x"));
  std::vector<JobId> ids(requests.size());
  EXPECT_EQ(must(client.enqueue_batch(requests, ids)), requests.size());
  EXPECT_EQ(claim_all(*world.attach()), ids);
}

TEST(ClientInProcess, a_batch_that_does_not_fit_says_how_many_are_in) {
  World world;
  Client client = must(Client::attach(world.engine));
  const std::vector<JobRequest> requests(100'000, world.request("x"));
  std::vector<JobId> ids(requests.size());
  const std::size_t in = must(client.enqueue_batch(requests, ids, 10ms));
  EXPECT_GT(in, 0U);
  EXPECT_LT(in, requests.size());
  ids.resize(in);
  EXPECT_EQ(claim_all(*world.attach()), ids);
}

TEST(ClientInProcess, enqueues_a_graph_and_waits_for_its_end) {
  WorkerWorld world(small_engine_with_room(), {});
  Client client = must(Client::attach(world.engine));
  JobRequest kept = world.request("x");
  kept.options.keep_result = 1min;
  const auto ids = must(client.enqueue(JobGraph::chain({kept, kept})));
  Worker worker(world.engine);
  worker.on_any([](JobContext& job) { return JobOutcome::complete("after " + std::to_string(job.parents().size())); });
  Running running(worker);
  EXPECT_EQ(must(client.wait(ids[1], generous)).result, "after 1");
  EXPECT_EQ(must(client.job(ids[0])).state, JobState::completed);
}

TEST(ClientInProcess, any_thread_cancels) {
  World world;
  Client client = must(Client::attach(world.engine));
  const JobId id = must(client.enqueue(world.request("x")));
  on_threads(1, [&](int) { EXPECT_EQ(must(client.cancel(id)), Cancelled::before_start); });
  EXPECT_FALSE(world.attach()->claim().has_value());
}

/// Fills the engine as far as a client can.
std::size_t fill(Client& client, const World& world) {
  std::size_t count = 0;
  while (client.enqueue(world.request("x"))) ++count;
  return count;
}

TEST(ClientInProcess, a_full_engine_is_an_error_at_once_without_a_wait) {
  World world;
  Client client = must(Client::attach(world.engine));
  fill(client, world);
  EXPECT_EQ(code_of(client.enqueue(world.request("x"))), ErrorCode::would_block);
  EXPECT_EQ(code_of(client.enqueue(world.request("x"), 10ms)), ErrorCode::timed_out);
}

TEST(ClientInProcess, threads_that_wait_for_room_hold_no_entry_that_others_need) {
  World world(small_engine(), {});
  Client client = must(Client::attach(world.engine, {.participants = 1}));
  fill(client, world);
  std::atomic<int> waiting{0};
  std::atomic<int> in{0};
  constexpr int waiters = 8;
  std::vector<std::thread> threads;
  for (int n = 0; n < waiters; ++n) {
    threads.emplace_back([&] {
      ++waiting;
      if (client.enqueue(world.request("late"), generous)) ++in;
    });
  }
  ASSERT_TRUE(await([&] { return waiting == waiters && client.participants() == 2; }));
  const auto worker = world.attach();
  const JobId first = must(worker->claim()).id();
  // All of them wait, and the client's only entry is free for this.
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(must(client.cancel(first)), Cancelled::before_start);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  while (in < waiters) {
    if (auto job = worker->claim(1ms)) must(job->complete());
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(client.participants(), 2U);
}

TEST(ClientInProcess, a_wait_for_one_full_level_does_not_keep_back_another_level) {
  World world(small_engine(), {});
  const Level low = must(world.engine.level("low"));
  must(world.engine.limit(low, {.most = 1}));
  Client client = must(Client::attach(world.engine, {.participants = 1}));
  JobRequest limited = world.request("x");
  limited.level = low;
  must(client.enqueue(limited));
  std::atomic<bool> gave_up{false};
  std::thread waiter([&] {
    EXPECT_EQ(code_of(client.enqueue(limited, 1s)), ErrorCode::timed_out);
    gave_up = true;
  });
  ASSERT_TRUE(await([&] { return client.participants() == 2; }));
  must(client.enqueue(world.request("x"), 30s));
  EXPECT_FALSE(gave_up);
  waiter.join();
}

TEST(ClientInProcess, threads_that_wait_for_the_disk_hold_no_entry) {
  World world;  // there is no keeper, so nothing becomes durable
  Client client = must(Client::attach(world.engine, {.participants = 1}));
  JobRequest durable = world.request("x");
  durable.durability = Durability::durable;
  std::atomic<bool> is_over{false};
  std::thread waiter([&] {
    EXPECT_EQ(code_of(client.enqueue(durable, generous)), ErrorCode::not_found);  // the engine is removed below
    is_over = true;
  });
  const auto worker = world.attach();
  EXPECT_TRUE(must(worker->claim(generous)).held());  // it is in
  must(client.enqueue(world.request("y")));
  EXPECT_FALSE(is_over);
  must(Engine::remove(world.scratch.directory(), true));
  waiter.join();
}

TEST(ClientInProcess, what_is_durable_when_a_call_returns_is_on_the_disk) {
  World world(small_engine(), {});
  Client client = must(Client::attach(world.engine));
  JobRequest durable = world.request("x");
  durable.durability = Durability::durable;
  on_threads(4, [&](int) { EXPECT_TRUE(client.enqueue(durable, generous).has_value()); });
  const std::vector<JobRequest> requests(100, durable);
  std::vector<JobId> ids(requests.size());
  EXPECT_EQ(must(client.enqueue_batch(requests, ids, generous)), 100U);
}

TEST(ClientInProcess, refuses_no_entries_and_too_many) {
  World world;
  EXPECT_EQ(code_of(Client::attach(world.engine, {.participants = 0})), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(Client::attach(world.engine, {.participants = 65})), ErrorCode::invalid_argument);
}

TEST(ClientInProcess, leaves_the_registry_at_its_end) {
  World world;
  {
    const Client client = must(Client::attach(world.engine));
    EXPECT_EQ(count_producers(world.engine), 1U);
  }
  EXPECT_EQ(count_producers(world.engine), 0U);
}

TEST(ClientAfterFork, the_child_is_told_and_the_parent_goes_on) {
  World world;
  Client client = must(Client::attach(world.engine));
  const JobId id = must(client.enqueue(world.request("x")));
  Child child([&] {
    const bool are_refused = code_of(client.enqueue(world.request("y"))) == ErrorCode::after_fork &&
                             code_of(client.cancel(id)) == ErrorCode::after_fork;
    return are_refused ? 0 : 1;
  });
  EXPECT_EQ(child.wait(), 0);
  must(client.enqueue(world.request("z")));
}

}  // namespace
}  // namespace ringmill::test
