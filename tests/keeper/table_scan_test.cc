// The keeper's pass over the table: what hints have lost comes back, and nothing else changes.
#include <vector>

#include "core/inspect/status_view.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"
#include "tests/support/levels.h"

namespace ringmill::test {
namespace {

TEST(TableScanInProcess, a_pass_over_a_sound_table_pushes_no_hint) {
  World world;
  Inside inside(world.scratch);
  const auto producer = world.attach(Role::producer);
  const Level low = must(world.engine.level("low"));
  // Cells that had a job of another level before: its dead hint still stands in that level's ring.
  std::vector<JobId> before;
  for (int n = 0; n < 64; ++n) before.push_back(must(producer->enqueue({.kind = world.kind, .level = low})));
  for (const JobId id : before) must(producer->cancel(id));
  for (int n = 0; n < 64; ++n) world.enqueue(*producer, "x");
  const std::uint32_t ring = number_of(inside.segment(), world.level);
  ASSERT_EQ(view_ring(inside.segment(), ring).live_hints, 64U);
  for (int pass = 0; pass < 10; ++pass) inside.scan();
  EXPECT_EQ(view_ring(inside.segment(), ring).live_hints, 64U);
}

}  // namespace
}  // namespace ringmill::test
