// Results that do not fit their job's cell: where they lie, that no byte of them is lost, and that a completion stands
// whatever becomes of its result.
#include <array>
#include <chrono>
#include <string>
#include <vector>

#include "core/inspect/invariants.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

/// Four chunks of 64 KiB.
CreateOptions engine_for_results() {
  CreateOptions options = small_engine_with_room();
  options.max_payload = 64 * 1024;
  options.arena = 4 * 64 * 1024;
  return options;
}

/// All values of a byte, in an order that repeats late.
std::string bytes_of_all_values(std::size_t bytes) {
  std::string text(bytes, '\0');
  for (std::size_t n = 0; n < bytes; ++n) text[n] = static_cast<char>(n * 7 + n / 256);
  return text;
}

struct ResultWorld : World {
  explicit ResultWorld(const CreateOptions& options = engine_for_results()) : World(options, OpenOptions{}) {}

  JobId add(std::string_view payload = "payload", std::chrono::milliseconds keep = 1h) {
    const JobOptions options{.keep_result = keep};
    JobRequest asked = request(payload);
    asked.options = options;
    return must(participant->enqueue(asked));
  }
  JobInfo completed_with(std::string_view result, std::string_view payload = "payload") {
    const JobId id = add(payload);
    must(must(participant->claim(generous)).complete(as_payload(result)));
    return must(engine.job(id));
  }
  void expect_sound() const {
    EXPECT_EQ(check_invariants(scratch.open_core()->segment, false), std::vector<std::string>());
  }

  std::unique_ptr<Participant> participant = attach();
};

TEST(LargeResults, a_result_of_any_length_up_to_the_longest_payload_is_kept_byte_for_byte) {
  CreateOptions options = engine_for_results();
  options.arena = 16 * 64 * 1024;  // each length may take a chunk of its own
  ResultWorld world(options);
  for (const std::size_t bytes : {0U, 1U, 80U, 137U, 138U, 1023U, 1024U, 1025U, 4096U, 65535U, 65536U}) {
    SCOPED_TRACE(bytes);
    const std::string result = bytes_of_all_values(bytes);
    const JobInfo info = world.completed_with(result);
    EXPECT_EQ(info.state, JobState::completed);
    EXPECT_TRUE(info.result == result);
    EXPECT_FALSE(info.result_cut);
  }
  world.expect_sound();
}

TEST(LargeResults, a_payload_and_a_result_that_are_both_in_the_arena_do_not_disturb_each_other) {
  ResultWorld world;
  const std::string payload = bytes_of_all_values(40'000);
  const std::string result = bytes_of_all_values(50'000);
  const JobId id = world.add(payload);
  Job job = must(world.participant->claim(generous));
  EXPECT_TRUE(as_text(job.payload()) == payload);
  must(job.complete(as_payload(result)));
  const JobInfo info = must(world.engine.job(id));
  EXPECT_TRUE(info.result == result);
  EXPECT_EQ(info.payload_size, payload.size());
  EXPECT_EQ(world.engine.status().arena_used, 2U * 65536U);
  world.expect_sound();
}

TEST(LargeResults, the_extent_of_a_result_comes_free_with_its_time) {
  ResultWorld world;
  for (int n = 0; n < 40; ++n) {
    const JobId id = world.add("payload", 1ms);
    must(must(world.participant->claim(generous)).complete(as_payload(bytes_of_all_values(60'000))));
    ASSERT_TRUE(await([&] { return world.state_of(id) == JobState::ended; }));
    EXPECT_EQ(world.engine.status().arena_used, 0U);
  }
  EXPECT_EQ(world.engine.status().cells_used, 0U) << "nothing is left of what carried the results";
}

TEST(LargeResults, a_result_for_which_the_arena_has_no_room_is_refused_and_its_job_is_completed) {
  ResultWorld world;
  const JobId id = world.add();
  Job job = must(world.participant->claim(generous));
  for (int n = 0; n < 4; ++n) world.add(bytes_of_all_values(60'000));  // jobs that wait: none of them goes
  const std::string result = bytes_of_all_values(60'000);
  must(job.complete(as_payload(result)));
  const JobInfo info = must(world.engine.job(id));
  EXPECT_EQ(info.state, JobState::completed);
  EXPECT_EQ(info.attempts, 1U);
  EXPECT_TRUE(info.result_cut);
  EXPECT_EQ(info.result_refused, ResultRefusal::no_room);
  EXPECT_TRUE(result.starts_with(info.result));
  EXPECT_EQ(world.engine.status().totals.completed, 1U);
  EXPECT_EQ(world.engine.status().totals.failed, 0U);
  world.expect_sound();
}

TEST(LargeResults, a_result_longer_than_any_payload_is_refused_and_says_why) {
  ResultWorld world;
  const JobInfo info = world.completed_with(std::string(65'537, 'x'));
  EXPECT_EQ(info.state, JobState::completed);
  EXPECT_TRUE(info.result_cut);
  EXPECT_EQ(info.result_refused, ResultRefusal::too_long);
  EXPECT_NE(reason_of(info.result_refused).find("--max-payload"), std::string_view::npos);
}

TEST(LargeResults, a_worker_that_lost_its_lease_leaves_nothing_of_its_result) {
  ResultWorld world;
  const JobOptions options{.keep_result = 1h};
  JobRequest asked = world.request("payload");
  asked.options = options;
  asked.lease = 1ms;
  const JobId id = must(world.participant->enqueue(asked));
  Job first = must(world.participant->claim(generous));
  const auto other = world.attach();
  ASSERT_TRUE(await([&] { return world.state_of(id) == JobState::queued; }));
  const std::string result = bytes_of_all_values(50'000);
  Job second = must(other->claim(generous));
  must(second.extend(1h));
  EXPECT_EQ(code_of(first.complete(as_payload(bytes_of_all_values(60'000)))), ErrorCode::lease_lost);
  EXPECT_EQ(world.engine.status().arena_used, 0U);
  must(second.complete(as_payload(result)));
  EXPECT_TRUE(must(world.engine.job(id)).result == result);
}

TEST(LargeResults, a_child_reads_the_long_results_of_its_parents) {
  ResultWorld world;
  const std::array<std::uint32_t, 1> after_first{0};
  std::array<LinkedRequest, 2> jobs;
  std::array<JobId, 2> ids;
  jobs[0].request = jobs[1].request = world.request("payload");
  jobs[1].after_earlier = after_first;
  must(world.participant->enqueue_together(jobs, ids));
  const std::string result = bytes_of_all_values(30'000);
  must(must(world.participant->claim(generous)).complete(as_payload(result)));
  Job child = must(world.participant->claim(generous));
  ASSERT_EQ(child.id(), ids[1]);
  const std::vector<JobId> parents = child.parents();
  ASSERT_EQ(parents, std::vector<JobId>{ids[0]});
  EXPECT_TRUE(must(world.engine.job(parents[0])).result == result);
}

TEST(LargeResults, an_engine_without_an_arena_cuts_a_result_and_says_why) {
  ResultWorld world(small_engine_with_room());
  const JobInfo info = world.completed_with(std::string(2000, 'x'));
  EXPECT_TRUE(info.result_cut);
  EXPECT_EQ(info.result_refused, ResultRefusal::too_long);
}

}  // namespace
}  // namespace ringmill::test
