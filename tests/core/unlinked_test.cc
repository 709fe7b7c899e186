// The shared memory is removed under a running engine.
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

TEST(UnlinkedSegment, is_noticed_in_the_status) {
  World world;
  std::filesystem::remove(world.scratch.segment_file());
  EXPECT_TRUE(world.engine.status().unlinked);
}

TEST(UnlinkedSegment, no_second_world_is_opened_while_participants_live_in_the_old_one) {
  World world;
  const auto worker = world.attach();
  std::filesystem::remove(world.scratch.segment_file());
  const auto second = Engine::open(world.scratch.directory(), without_keeper);
  EXPECT_FALSE(second.has_value()) << "jobs enqueued there would never reach the workers that live here";
}

}  // namespace
}  // namespace ringmill::test
