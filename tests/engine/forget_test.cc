// What is kept of jobs that are over, given up.
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "core/engine/forgetting.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

struct Kept : World {
  JobId completed(Participant& participant, std::string_view result = "result") const {
    JobOptions options{};
    options.keep_result = 1h;
    JobRequest asked = request("x");
    asked.options = options;
    const JobId id = must(participant.enqueue(asked));
    must(must(participant.claim(generous)).complete(as_payload(result)));
    return id;
  }
};

TEST(Forget, all_of_a_table_full_of_kept_results_can_be_forgotten) {
  Kept world;
  const auto participant = world.attach();
  const auto forgetting = must(Forgetting::begin(world.scratch.directory()));
  std::vector<JobId> ids;
  const std::uint32_t capacity = world.engine.status().capacity;
  for (std::uint32_t n = 0; n < capacity; ++n) ids.push_back(world.completed(*participant));
  for (const JobId id : ids) EXPECT_TRUE(must(forgetting->forget(id)));
  for (const JobId id : ids) EXPECT_EQ(world.state_of(id), JobState::ended);
  for (std::uint32_t n = 0; n < capacity; ++n) world.enqueue(*participant, "x");
  EXPECT_FALSE(must(forgetting->forget(ids[0])));
}

TEST(Forget, a_job_that_is_not_over_and_one_that_never_was_are_told_apart) {
  Kept world;
  const auto participant = world.attach();
  const auto forgetting = must(Forgetting::begin(world.scratch.directory()));
  const JobId waits = world.enqueue(*participant, "x");
  EXPECT_EQ(code_of(forgetting->forget(waits)), ErrorCode::busy);
  const Job job = must(participant->claim());
  EXPECT_EQ(code_of(forgetting->forget(waits)), ErrorCode::busy);
  EXPECT_EQ(code_of(forgetting->forget(JobId(0xffff))), ErrorCode::not_found);
  EXPECT_EQ(world.state_of(waits), JobState::running);
}

TEST(Forget, a_unique_key_is_free_again) {
  Kept world;
  const auto participant = world.attach();
  const auto forgetting = must(Forgetting::begin(world.scratch.directory()));
  const auto first = must(participant->enqueue_unique(world.request("x"), "key", 1h));
  must(must(participant->claim()).complete());
  EXPECT_FALSE(must(participant->enqueue_unique(world.request("x"), "key", 1h)).is_new);
  EXPECT_TRUE(must(forgetting->forget(first.id)));
  EXPECT_TRUE(must(participant->enqueue_unique(world.request("x"), "key", 1h)).is_new);
}

TEST(Forget, what_was_forgotten_does_not_come_back_from_the_journal) {
  const ScratchEngine scratch;
  JobId forgotten;
  JobId kept;
  {
    Engine engine = scratch.open({});
    const auto participant = must(engine.attach(Role::worker));
    const auto forgetting = must(Forgetting::begin(scratch.directory()));
    JobOptions options{};
    options.keep_result = 1h;
    const JobRequest request{
        .kind = must(engine.kind(kind_name)), .level = must(engine.level("default")), .options = options};
    forgotten = must(participant->enqueue(request));
    kept = must(participant->enqueue(request));
    for (int n = 0; n < 2; ++n) must(must(participant->claim(generous)).complete());
    must(participant->wait_durable(participant->ticket(), generous));
    EXPECT_TRUE(must(forgetting->forget(forgotten)));
    must(participant->wait_durable(participant->ticket(), generous));
  }
  std::filesystem::remove(scratch.segment_file());
  const Engine again = scratch.open(without_keeper);
  EXPECT_EQ(must(again.job(kept)).state, JobState::completed);
  EXPECT_NE(must(again.job(forgotten)).state, JobState::completed);
}

}  // namespace
}  // namespace ringmill::test
