// Kept results never take room from a job: the oldest go when there are more than the bound, or where cells are short.
#include <chrono>
#include <string>
#include <vector>

#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

CreateOptions engine_of(std::uint32_t capacity, std::uint32_t results) {
  CreateOptions options = small_engine_with_room();
  options.capacity = capacity;
  options.results = results;
  return options;
}

struct ResultsWorld : World {
  explicit ResultsWorld(const CreateOptions& options, const OpenOptions& opening = OpenOptions{})
      : World(options, opening) {}

  Result<JobId> try_add(std::chrono::milliseconds keep = 1h, std::chrono::nanoseconds wait = 0ns) {
    const JobOptions options{.keep_result = keep};
    JobRequest asked = request("payload");
    asked.options = options;
    return participant->enqueue(asked, wait);
  }
  JobId complete_one(std::string_view result = "result") {
    const JobId id = must(try_add(1h, generous));
    must(must(participant->claim(generous)).complete(as_payload(result)));
    return id;
  }
  ResultsStatus results() const { return engine.status().results; }
  bool is_gone(JobId id) const { return state_of(id) == JobState::ended; }

  std::unique_ptr<Participant> participant = attach();
};

TEST(KeptResults, the_oldest_go_when_more_are_kept_than_the_bound) {
  ResultsWorld world(engine_of(1024, 100));
  std::vector<JobId> ids;
  for (int n = 0; n < 150; ++n) {
    ids.push_back(world.complete_one());
    if (n % 10 == 9) std::this_thread::sleep_for(2ms);  // ends are told apart by the millisecond
  }
  ASSERT_TRUE(await([&] { return world.results().count <= 100; }));
  EXPECT_EQ(world.results().count, 100U);
  EXPECT_EQ(world.results().evicted, 50U);
  EXPECT_EQ(world.results().limit, 100U);
  EXPECT_EQ(world.results().bytes, 600U);
  for (std::size_t n = 0; n < 40; ++n) EXPECT_TRUE(world.is_gone(ids[n])) << n;
  for (std::size_t n = 60; n < 150; ++n) EXPECT_EQ(must(world.engine.job(ids[n])).result, "result") << n;
}

TEST(KeptResults, the_bound_is_half_of_the_capacity_if_none_was_asked_for) {
  CreateOptions options = engine_of(1024, 0);
  options.results.reset();
  const ResultsWorld world(options);
  EXPECT_EQ(world.results().limit, 512U);
}

TEST(KeptResults, a_producer_that_meets_a_table_full_of_results_gets_in_at_once) {
  ResultsWorld world(engine_of(256, 0));
  for (int n = 0; n < 1000; ++n) {
    const auto id = world.try_add();
    ASSERT_TRUE(id) << n << ": " << id.error().message();
    must(must(world.participant->claim(generous)).complete(as_payload("result")));
  }
  EXPECT_GT(world.results().evicted, 700U);
  EXPECT_GT(world.results().count, 100U) << "no more went than had to";
}

TEST(KeptResults, without_a_result_that_may_go_a_full_table_is_full) {
  ResultsWorld world(engine_of(256, 0));
  std::uint32_t jobs = 0;
  while (world.try_add()) ++jobs;
  EXPECT_EQ(jobs, 256U);
  EXPECT_EQ(world.results().evicted, 0U);
  must(must(world.participant->claim(generous)).complete(as_payload("result")));
  ASSERT_TRUE(await([&] { return world.results().evicted == 1U; })) << "the table is full: the only result goes";
  EXPECT_TRUE(world.try_add(1h, generous));
  EXPECT_EQ(code_of(world.try_add()), ErrorCode::would_block);
}

TEST(KeptResults, jobs_that_wait_are_never_evicted) {
  ResultsWorld world(engine_of(256, 10));
  std::vector<JobId> waiting;
  const JobOptions later{.delay = 1h};
  for (int n = 0; n < 50; ++n) {
    JobRequest asked = world.request("payload");
    asked.options = later;
    waiting.push_back(must(world.participant->enqueue(asked)));
  }
  for (int n = 0; n < 300; ++n) world.complete_one();
  for (const JobId id : waiting) EXPECT_EQ(world.state_of(id), JobState::delayed);
}

TEST(KeptResults, the_result_of_a_parent_stays_while_a_child_waits_for_it) {
  ResultsWorld world(engine_of(256, 1));
  const std::array<std::uint32_t, 1> after_first{0};
  std::array<LinkedRequest, 2> jobs;
  std::array<JobId, 2> ids;
  const JobOptions kept{.keep_result = 1h};
  jobs[0].request = jobs[1].request = world.request("payload");
  jobs[0].request.options = kept;
  const JobOptions later{.delay = 1h};
  jobs[1].request.options = later;
  jobs[1].after_earlier = after_first;
  must(world.participant->enqueue_together(jobs, ids));
  must(must(world.participant->claim(generous)).complete(as_payload("of the parent")));
  std::this_thread::sleep_for(100ms);
  for (int n = 0; n < 300; ++n) world.complete_one();
  ASSERT_TRUE(await([&] { return world.results().count <= 2; }));
  EXPECT_EQ(must(world.engine.job(ids[0])).result, "of the parent");
}

TEST(KeptResults, a_unique_key_stays_for_its_time) {
  ResultsWorld world(engine_of(256, 1));
  const UniqueJob first = must(world.participant->enqueue_unique(world.request("payload"), "key", 1h));
  must(must(world.participant->claim(generous)).complete());
  for (int n = 0; n < 300; ++n) world.complete_one();
  const UniqueJob second = must(world.participant->enqueue_unique(world.request("payload"), "key", 1h));
  EXPECT_FALSE(second.is_new);
  EXPECT_EQ(second.id, first.id);
}

TEST(KeptResults, a_full_arena_of_results_takes_another) {
  CreateOptions options = engine_of(1024, 0);
  options.max_payload = 64 * 1024;
  options.arena = 4 * 64 * 1024;
  ResultsWorld world(options);
  const std::string result(60'000, 'r');
  std::this_thread::sleep_for(100ms);
  for (int n = 0; n < 20; ++n) {
    const JobId id = world.complete_one(result);
    ASSERT_TRUE(await([&] { return world.results().count != 0; }));
    if (n < 4) std::this_thread::sleep_for(100ms);  // the keeper knows of them
    EXPECT_TRUE(must(world.engine.job(id)).result == result) << n;
  }
  EXPECT_GT(world.results().evicted, 10U);
}

TEST(KeptResults, the_next_keeper_counts_anew) {
  ResultsWorld world(engine_of(1024, 100), without_keeper);
  for (int n = 0; n < 150; ++n) world.complete_one();
  EXPECT_EQ(world.results().count, 150U) << "there is no keeper";
  const Engine keeper = world.scratch.open(OpenOptions{});
  ASSERT_TRUE(await([&] { return world.results().count == 100; }));
}

}  // namespace
}  // namespace ringmill::test
