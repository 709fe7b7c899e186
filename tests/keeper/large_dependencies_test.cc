// Linked jobs whose payloads do not fit their cells.
#include <chrono>
#include <string>
#include <vector>

#include <ringmill/graph.h>

#include "core/inspect/invariants.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_payload = 64 * 1024;

/// Four chunks of 64 KiB; 120 bytes of payload and ids fit the cell of a linked job.
CreateOptions with_arena_and_links() {
  CreateOptions options = small_engine_with_room();
  options.max_payload = most_payload;
  options.arena = 4 * most_payload;
  return options;
}

std::string text_of(std::size_t bytes, char first) {
  std::string text(bytes, '\0');
  for (std::size_t n = 0; n < bytes; ++n) text[n] = static_cast<char>(first + n % 19);
  return text;
}

struct LargeDependencies : World {
  LargeDependencies() : World(with_arena_and_links(), OpenOptions{}) {}

  std::vector<JobRequest> requests(const std::vector<std::string>& payloads) const {
    std::vector<JobRequest> all;
    for (const std::string& payload : payloads) all.push_back(request(payload));
    return all;
  }
  std::uint64_t arena_used() const { return engine.status().arena_used; }
  void expect_sound() const {
    EXPECT_EQ(check_invariants(scratch.open_core()->segment, false), std::vector<std::string>());
  }

  std::unique_ptr<Participant> participant = attach();
};

TEST(LargeDependencies, a_group_and_its_callback_get_their_payloads_and_the_callback_knows_its_parents) {
  LargeDependencies world;
  const std::vector<std::string> payloads{text_of(30'000, 'a'), text_of(121, 'b'), text_of(120, 'c')};
  const std::string last = text_of(50'000, 'd');
  const auto ids = must(JobGraph::group(world.requests(payloads), world.request(last)).enqueue(*world.participant));
  EXPECT_NE(world.arena_used(), 0U);
  EXPECT_EQ(must(world.engine.job(ids.back())).parents, std::vector<JobId>(ids.begin(), ids.end() - 1));
  EXPECT_EQ(must(world.engine.job(ids.back())).payload_size, last.size());
  for (const std::string& payload : payloads) {
    Job job = must(world.participant->claim(generous));
    EXPECT_TRUE(as_text(job.payload()) == payload);
    must(job.complete());
  }
  Job callback = must(world.participant->claim(generous));
  EXPECT_EQ(callback.parents(), std::vector<JobId>(ids.begin(), ids.end() - 1));
  EXPECT_TRUE(as_text(callback.payload()) == last);
  must(callback.complete());
  EXPECT_TRUE(await([&] { return world.arena_used() == 0; }));
  world.expect_sound();
}

TEST(LargeDependencies, an_error_text_leaves_the_parents_of_a_large_job_as_they_were) {
  LargeDependencies world;
  const std::string child = text_of(40'000, 'x');
  const auto ids = must(JobGraph::chain(world.requests({"parent", child})).enqueue(*world.participant));
  must(must(world.participant->claim(generous)).complete());
  const std::string error(100, 'e');
  must(must(world.participant->claim(generous)).retry_in(0ms, error));
  Job again = must(world.participant->claim(generous));
  EXPECT_EQ(again.parents(), std::vector<JobId>{ids[0]});
  EXPECT_TRUE(as_text(again.payload()) == child);
  EXPECT_EQ(must(world.engine.job(ids[1])).last_error, error);
  must(again.complete());
}

TEST(LargeDependencies, one_whose_extent_is_not_there_keeps_all_of_them_out) {
  LargeDependencies world;
  const std::string large = text_of(40'000, 'l');
  const JobId standing = world.enqueue(*world.participant, large);
  const std::uint64_t used = world.arena_used();
  const JobGraph graph = JobGraph::chain(world.requests({large, "small", large, large, large}));
  EXPECT_EQ(code_of(graph.enqueue(*world.participant)), ErrorCode::would_block);
  EXPECT_EQ(code_of(graph.enqueue(*world.participant, 20ms)), ErrorCode::timed_out);
  EXPECT_EQ(world.arena_used(), used);
  EXPECT_EQ(world.engine.status().cells_used, 1U);
  must(world.participant->cancel(standing));
  EXPECT_TRUE(graph.enqueue(*world.participant, generous));
  world.expect_sound();
}

TEST(LargeDependencies, more_than_the_arena_ever_has_room_for_is_refused_at_once_and_the_limit_named) {
  LargeDependencies world;
  const std::string large = text_of(40'000, 'l');
  const auto refused =
      JobGraph::chain(world.requests({large, large, large, large, large})).enqueue(*world.participant, generous);
  ASSERT_EQ(code_of(refused), ErrorCode::no_space);
  EXPECT_NE(refused.error().message().find(std::to_string(4 * most_payload)), std::string::npos)
      << refused.error().message();
}

TEST(LargeDependencies, the_ids_of_those_it_waits_for_count_towards_the_longest_payload) {
  LargeDependencies world;
  const std::string longest = text_of(most_payload - 8, 'm');
  EXPECT_TRUE(JobGraph::chain(world.requests({"parent", longest})).enqueue(*world.participant));
  EXPECT_EQ(code_of(JobGraph::chain(world.requests({"parent", longest + "1"})).enqueue(*world.participant)),
            ErrorCode::too_large);
}

TEST(LargeDependencies, a_follow_up_comes_with_the_completion_or_gives_its_extent_back) {
  LargeDependencies world;
  const std::string large = text_of(40'000, 'f');
  world.enqueue(*world.participant, "first");
  for (const bool fails : {true, false}) {
    Job job = must(world.participant->claim(generous));
    must(job.follow_up({.request = world.request(large)}));
    EXPECT_EQ(world.arena_used(), most_payload);
    if (fails) {
      must(job.retry_in(0ms, "not yet"));
      EXPECT_EQ(world.arena_used(), 0U);
    } else {
      must(job.complete());
    }
  }
  Job follow_up = must(world.participant->claim(generous));
  EXPECT_TRUE(as_text(follow_up.payload()) == large);
  must(follow_up.complete());
  EXPECT_TRUE(await([&] { return world.arena_used() == 0; }));
}

TEST(LargeDependencies, comes_back_from_the_journal_with_payloads_and_parents) {
  const ScratchEngine scratch(with_arena_and_links());
  const std::string parent = text_of(50'000, 'p');
  const std::string child = text_of(60'000, 'q');
  std::vector<JobId> ids;
  for (int boot = 0; boot < 2; ++boot) {
    Engine engine = must(Engine::open(scratch.directory()));
    const auto participant = must(engine.attach(Role::worker));
    if (boot == 0) {
      JobRequest request{.kind = must(engine.kind("k")),
                         .level = must(engine.level("default")),
                         .payload = as_payload(parent),
                         .durability = Durability::durable};
      std::vector<JobRequest> requests{request, request};
      requests[1].payload = as_payload(child);
      ids = must(JobGraph::chain(requests).enqueue(*participant, generous));
      std::filesystem::remove(scratch.segment_file());
      continue;
    }
    EXPECT_EQ(must(engine.job(ids[1])).parents, std::vector<JobId>{ids[0]});
    EXPECT_EQ(must(engine.job(ids[1])).state, JobState::blocked);
    Job first = must(participant->claim(generous));
    EXPECT_TRUE(as_text(first.payload()) == parent);
    must(first.complete());
    Job second = must(participant->claim(generous));
    EXPECT_EQ(second.parents(), std::vector<JobId>{ids[0]});
    EXPECT_TRUE(as_text(second.payload()) == child);
    must(second.complete());
    EXPECT_EQ(check_invariants(scratch.open_core()->segment, false), std::vector<std::string>());
  }
}

}  // namespace
}  // namespace ringmill::test
