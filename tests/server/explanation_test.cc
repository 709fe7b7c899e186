// What is said of a job that a bound holds back, and of a level that refuses jobs.
#include "server/explanation.h"

#include <optional>

#include "core/inspect/job_view.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

#define EXPECT_SAYS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

struct ExplainedWorld : World {
  explicit ExplainedWorld(const CreateOptions& options) : World(options, OpenOptions{}) {}

  EngineView view() const { return must(EngineView::open(scratch.directory())); }
  std::string of_level(std::string_view name) const { return must(explanation_of_level(view(), name)); }
  std::string of_job(JobId id) const {
    const EngineView view = this->view();
    const auto job = view_job(view.segment(), index_of(id));
    return job && job->info.id == id ? explanation_of(view, *job) : explanation_of_ended(must(engine.job(id)));
  }
  std::uint32_t fill(std::string_view name) {
    const Level to = must(engine.level(name));
    std::uint32_t count = 0;
    while (participant->enqueue({.kind = kind, .level = to})) ++count;
    return count;
  }

  std::unique_ptr<Participant> participant = attach();
};

CreateOptions engine_with_kept_cells() {
  CreateOptions options = small_engine_with_room();
  options.capacity = 256;
  options.reserve.reset();
  return options;
}

TEST(ExplainedLevels, a_level_at_its_bound_names_the_bound_and_what_it_holds) {
  ExplainedWorld world(small_engine_with_room());
  must(world.engine.limit(must(world.engine.level("low")), LevelLimits{.most = 10}));
  EXPECT_SAYS(world.of_level("low"), "takes jobs: it holds about 0 jobs");
  EXPECT_EQ(world.fill("low"), 10U);
  EXPECT_SAYS(world.of_level("low"), "refuses jobs: level low is full: it holds about 10 jobs");
  EXPECT_SAYS(world.of_level("low"), "and may hold 10 (--most)");
  EXPECT_SAYS(world.of_level("high"), "takes jobs: all levels share room for ");
}

TEST(ExplainedLevels, a_full_table_refuses_the_level_that_has_no_cells_of_its_own_left) {
  ExplainedWorld world(engine_with_kept_cells());
  world.fill("low");
  EXPECT_SAYS(world.of_level("low"), "refuses jobs: the engine is full: all levels share room for 256 jobs (capacity)");
  EXPECT_SAYS(world.of_level("low"), "64 more for follow-ups of running jobs, of which 256 are in use");
  EXPECT_SAYS(world.of_level("low"), "none are kept for this level (init --reserve)");
  EXPECT_SAYS(world.of_level("high"), "takes jobs: ");
  EXPECT_SAYS(world.of_level("high"), "0 of the 64 that are kept for this level are in use");
}

TEST(ExplainedLevels, a_level_that_there_is_not_is_an_error) {
  const ExplainedWorld world(small_engine_with_room());
  const auto explained = explanation_of_level(world.view(), "nix");
  EXPECT_EQ(code_of(explained), ErrorCode::not_found);
}

TEST(ExplainedJobs, one_that_was_put_off_names_the_room_that_its_follow_up_lacked) {
  ExplainedWorld world(engine_with_kept_cells());
  const JobId id = world.enqueue(*world.participant, "x");
  Job job = must(world.participant->claim(generous));
  ASSERT_EQ(job.id(), id);
  const JobRequest next{.kind = world.kind, .level = must(world.engine.level("low"))};
  while (job.follow_up({.request = next})) continue;
  must(job.snooze(1h));
  EXPECT_SAYS(world.of_job(id), "is put off until 20");
  EXPECT_SAYS(world.of_job(id), "its last run found no room for a follow-up, and counts no attempt");
  EXPECT_SAYS(world.of_job(id), "all levels share room for 256 jobs (capacity) and 64 more");
}

TEST(ExplainedJobs, a_delay_of_its_own_wish_names_no_bound) {
  ExplainedWorld world(engine_with_kept_cells());
  const JobId id = world.enqueue(*world.participant, "x");
  must(must(world.participant->claim(generous)).snooze(1h));
  EXPECT_SAYS(world.of_job(id), "is delayed until 20");
  EXPECT_EQ(world.of_job(id).find("room"), std::string::npos);
}

TEST(ExplainedJobs, one_whose_result_was_evicted_says_so_until_its_cell_is_taken) {
  CreateOptions options = small_engine_with_room();
  options.results = 1;
  ExplainedWorld world(options);
  const JobOptions kept{.keep_result = 1h};
  JobRequest asked = world.request("x");
  asked.options = kept;
  std::vector<JobId> ids;
  for (int n = 0; n < 2; ++n) ids.push_back(must(world.participant->enqueue(asked)));
  for (int n = 0; n < 2; ++n) {
    must(must(world.participant->claim(generous)).complete(as_payload("result")));
    std::this_thread::sleep_for(5ms);
  }
  ASSERT_TRUE(await([&] { return world.state_of(ids[0]) == JobState::ended; }));
  const JobInfo info = must(world.engine.job(ids[0]));
  EXPECT_TRUE(info.evicted);
  EXPECT_NE(info.ended_at.time_since_epoch().count(), 0);
  EXPECT_SAYS(world.of_job(ids[0]), "ended at 20");
  EXPECT_SAYS(world.of_job(ids[0]), "its result: it went before its time, because others needed the room");
  while (must(world.participant->enqueue(world.request("y"))), world.engine.status().cells_free != 0) continue;
  EXPECT_FALSE(must(world.engine.job(ids[0])).evicted);
}

}  // namespace
}  // namespace ringmill::test
