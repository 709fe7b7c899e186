// What a killed journal thread leaves to the next one.
#include <gtest/gtest.h>

#include "core/durability/journal_thread.h"
#include "tests/support/await.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

TEST(LeftRoundsInProcess, a_round_that_was_begun_and_not_published_is_published_by_the_next_journal_thread) {
  const ScratchEngine scratch;
  const std::shared_ptr<EngineCore> core = scratch.open_core();
  JournalWords& words = core->segment.journal();
  // Killed when all of round 5 was durable and settled, just before it said so.
  words.round_started.store(5);
  words.round_durable.store(4);
  JournalWork work(*core);
  EXPECT_TRUE(await([&] {
    work.turn(std::chrono::milliseconds(1));
    return words.round_durable.load() >= 5;
  }));
}

}  // namespace
}  // namespace ringmill::test
