// A few rounds of tools/scribble: each region of the shared memory corrupted once, at rest and live.
#include <gtest/gtest.h>

#include "tests/crash/scribble_rounds.h"
#include "tests/support/random.h"

namespace ringmill::test {
namespace {

void scribble_each_region_once(ScribbleMode mode) {
  const std::uint64_t seed = printed_seed();
  for (const std::string& region : scribbled_regions()) {
    const ScribbleEnd end = run_scribble_round(mode, region, seed);
    EXPECT_EQ(end.how, ScribbleEnd::How::fine) << region << ": " << name_of(end.how) << ", status " << end.status
                                               << ", " << end.most_resident_kib << " KiB, " << end.ms << " ms";
  }
}

TEST(HostileRegions, every_call_answers_when_a_region_was_corrupted) {
  scribble_each_region_once(ScribbleMode::at_rest);
}

TEST(HostileRegions, every_call_answers_while_a_peer_writes_into_a_region) {
  scribble_each_region_once(ScribbleMode::live);
}

}  // namespace
}  // namespace ringmill::test
