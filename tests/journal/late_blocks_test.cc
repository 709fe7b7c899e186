// Blocks of a dead keeper that arrive after the next keeper has gone on elsewhere.
#include <gtest/gtest.h>

#include "tests/journal/hand_written.h"
#include "tests/support/must.h"

namespace ringmill::test {
namespace {

std::vector<std::string> job_lines(const std::vector<std::uint64_t>& ids) {
  std::vector<std::string> lines;
  for (const std::uint64_t id : ids) lines.push_back(HandWritten::job_line(id, HandWritten::payload_of(id, 5)));
  return lines;
}

/// Block 1 counts; block 2 of the first keeper came late, for the second one had begun segment 2 with its own block 2.
HandWritten journal_with_a_late_block() {
  HandWritten journal;
  journal.begin(0);
  journal.job(1);
  journal.job(2);
  journal.take_over(1);
  journal.begin(1);
  journal.job(3);
  journal.job(4);
  return journal;
}

TEST(LateBlocksInProcess, a_late_block_of_a_dead_keeper_is_not_read) {
  HandWritten journal = journal_with_a_late_block();
  EXPECT_EQ(must(read_all(journal.device)).lines, job_lines({1, 3, 4}));
}

TEST(LateBlocksInProcess, a_late_block_of_a_dead_keeper_is_not_read_when_the_next_head_is_damaged) {
  HandWritten journal = journal_with_a_late_block();
  journal.flip(20);
  const Read read = must(read_all(journal.device));
  EXPECT_EQ(read.lines, job_lines({1, 3, 4}));
  ASSERT_EQ(read.report.damage.size(), 1U);
  EXPECT_EQ(read.report.damage[0].reason, "head");
}

}  // namespace
}  // namespace ringmill::test
