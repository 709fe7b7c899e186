// Results of parents are there for their children, also where a parent ends before its child is visible.
#include <string>
#include <vector>

#include <ringmill/graph.h>

#include "tests/support/core_test.h"
#include "tests/support/inside.h"
#include "tests/support/worker_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

TEST(BundleGrace, a_callback_finds_every_result_though_members_end_while_the_group_is_still_published) {
  CreateOptions options = small_engine_with_room();
  options.capacity = 8192;
  options.max_payload = 64 * 1024;
  WorkerWorld world(options, {});
  std::atomic<int> missing{0};
  std::atomic<int> callbacks{0};
  Worker worker(world.engine, {.threads = 2});
  worker.on(kind_name, [](JobContext&) { return JobOutcome::complete("a result"); });
  worker.on("callback", [&](JobContext& job) {
    for (const JobId parent : job.parents()) {
      if (must(world.engine.job(parent)).result != "a result") ++missing;
    }
    ++callbacks;
    return JobOutcome::complete();
  });
  Running running(worker);
  const std::vector<JobRequest> members(2000, {.kind = world.kind});
  const JobGraph group = JobGraph::group(members, {.kind = must(world.engine.kind("callback"))});
  for (int n = 1; n <= 5; ++n) {
    must(group.enqueue(*world.producer, generous));
    ASSERT_TRUE(await([&] { return callbacks == n; }));
  }
  EXPECT_EQ(missing, 0);
  EXPECT_TRUE(await([&] { return world.engine.status().cells_used == 0; })) << "parents are kept for no child";
}

TEST(BundleGraceInProcess, one_that_asks_during_a_bundle_waits_for_its_end_and_one_turn) {
  ScratchEngine scratch(small_engine());
  Inside inside(scratch);
  BundleGrace grace(inside.segment());
  const JobId parent(1);
  ParticipantEntry& entry = inside.segment().participant(inside.number());
  grace.begin_pass();
  entry.bundle.store(77);
  EXPECT_FALSE(grace.has_passed(parent));
  grace.begin_pass();
  EXPECT_FALSE(grace.has_passed(parent));
  entry.bundle.store(78);  // the next bundle of the same participant is none that the parent can belong to
  grace.begin_pass();
  EXPECT_TRUE(grace.has_passed(parent));
}

}  // namespace
}  // namespace ringmill::test
