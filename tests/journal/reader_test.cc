// The journal's reader: what counts, what is torn, what is damaged.
#include <gtest/gtest.h>

#include "tests/journal/hand_written.h"
#include "tests/support/must.h"

namespace ringmill::test {
namespace {

class JournalReaderInProcess : public testing::Test {
 protected:
  Read read() { return must(read_all(journal.device)); }
  /// Segment 1 in slot 0: blocks 1, 2, 3 with a job each.
  void write_three() {
    journal.begin(0);
    for (std::uint64_t id = 1; id <= 3; ++id) places.push_back(journal.job(id));
  }
  static std::vector<std::string> jobs(const std::vector<std::uint64_t>& ids) {
    std::vector<std::string> lines;
    for (const std::uint64_t id : ids) lines.push_back(HandWritten::job_line(id, HandWritten::payload_of(id, 5)));
    return lines;
  }

  HandWritten journal;
  std::vector<std::uint64_t> places;
};

TEST_F(JournalReaderInProcess, an_empty_directory_is_an_empty_journal) {
  const Read read = this->read();
  EXPECT_EQ(read.report.segments, 0U);
  EXPECT_EQ(read.report.last_block, 0U);
  EXPECT_TRUE(read.report.damage.empty());
}

TEST_F(JournalReaderInProcess, records_come_as_they_were_written) {
  journal.begin(0);
  journal.block_of([](BlockBuilder& builder) {
    builder.append_kind(7, "mail");
    const auto to = builder.append_job({.level = 2, .payload_bytes = 3, .id = 9, .kind = 7});
    std::memcpy(to.data(), "abc", 3);
    builder.append_attempts(JobId(9), 4);
    builder.append_ended(JobId(10));
  });
  const Read read = this->read();
  EXPECT_EQ(read.lines, (std::vector<std::string>{"kind 7 mail", "job 9 abc", "attempts 9 4", "ended 10"}));
  EXPECT_EQ(read.report.records, 4U);
  EXPECT_EQ(read.report.blocks, 1U);
}

TEST_F(JournalReaderInProcess, the_report_says_where_to_go_on) {
  write_three();
  const JournalReport report = read().report;
  EXPECT_EQ(report.last_segment, 1U);
  EXPECT_EQ(report.last_block, 3U);
  EXPECT_EQ(report.last_epoch, 1U);
  EXPECT_EQ(report.end_offset, journal.offset);
  EXPECT_FALSE(report.torn_tail);
}

TEST_F(JournalReaderInProcess, segments_are_read_in_the_order_of_their_numbers) {
  journal.begin(5);
  journal.job(1);
  journal.begin(0);
  journal.job(2);
  journal.begin(3);
  journal.job(3);
  const Read read = this->read();
  EXPECT_EQ(read.lines, jobs({1, 2, 3}));
  EXPECT_EQ(read.report.segments, 3U);
  EXPECT_TRUE(read.report.damage.empty());
}

TEST_F(JournalReaderInProcess, a_block_that_was_durable_and_is_wrong_now_is_damage_and_the_rest_is_read) {
  write_three();
  journal.flip(places[1] + 100);
  const Read read = this->read();
  EXPECT_EQ(read.lines, jobs({1, 3}));
  ASSERT_EQ(read.report.damage.size(), 1U);
  EXPECT_EQ(read.report.damage[0].segment, 1U);
  EXPECT_EQ(read.report.damage[0].offset, places[1]);
  EXPECT_EQ(read.report.damage[0].bytes, journal_unit);
  EXPECT_EQ(read.report.damage[0].reason, "checksum");
}

TEST_F(JournalReaderInProcess, a_last_block_that_is_wrong_is_a_torn_tail) {
  write_three();
  journal.flip(places[2] + 100);
  const Read read = this->read();
  EXPECT_EQ(read.lines, jobs({1, 2}));
  EXPECT_TRUE(read.report.damage.empty());
  ASSERT_TRUE(read.report.torn_tail);
  EXPECT_EQ(read.report.torn_tail->offset, places[2]);
}

TEST_F(JournalReaderInProcess, a_last_block_that_a_later_keeper_found_durable_is_damage_when_it_is_wrong) {
  write_three();
  journal.take_over(3);
  journal.begin(1);
  places.push_back(journal.job(4));
  journal.slot = 0;
  journal.flip(places[2] + 100);
  const Read read = this->read();
  EXPECT_EQ(read.lines, jobs({1, 2, 4}));
  ASSERT_EQ(read.report.damage.size(), 1U);
  EXPECT_EQ(read.report.damage[0].segment, 1U);
  EXPECT_EQ(read.report.damage[0].offset, places[2]);
  EXPECT_EQ(read.report.damage[0].reason, "checksum");
  EXPECT_EQ(read.report.last_block, 4U);
}

TEST_F(JournalReaderInProcess, every_torn_write_of_the_last_block_leaves_those_before_it) {
  journal.begin(0);
  journal.job(1);
  const std::uint64_t last = journal.jobs({2, 3, 4, 5}, 2000);
  const auto whole = journal.file();
  for (std::uint64_t sectors = 0; sectors < (journal.offset - last) / 512; ++sectors) {
    journal.file() = whole;
    const std::uint64_t from = last + sectors * 512;
    journal.zero(from, journal.offset - from);
    const Read read = this->read();
    // Zeros in place of the padding's zeros change nothing.
    const bool is_whole = journal.file() == whole;
    EXPECT_EQ(read.lines.size(), is_whole ? 5U : 1U) << sectors;
    EXPECT_TRUE(read.report.damage.empty()) << sectors;
    EXPECT_EQ(read.report.torn_tail.has_value(), !is_whole && sectors > 0) << sectors;
  }
}

TEST_F(JournalReaderInProcess, blocks_behind_one_that_was_not_durable_do_not_count) {
  journal.lag = 3;
  write_three();
  journal.zero(places[1], journal_unit);
  const Read read = this->read();
  EXPECT_EQ(read.lines, jobs({1}));
  EXPECT_TRUE(read.report.damage.empty());
  EXPECT_TRUE(read.report.torn_tail);
  EXPECT_EQ(read.report.end_offset, places[1]);
}

TEST_F(JournalReaderInProcess, durable_bytes_that_are_zero_are_damage) {
  write_three();
  journal.zero(places[1], journal_unit);
  const Read read = this->read();
  EXPECT_EQ(read.lines, jobs({1, 3}));
  ASSERT_EQ(read.report.damage.size(), 1U);
  EXPECT_EQ(read.report.damage[0].reason, "lost");
}

TEST_F(JournalReaderInProcess, the_ids_in_a_damaged_block_are_named) {
  journal.begin(0);
  places.push_back(journal.jobs({11, 12, 13}, 3000));
  journal.job(14);
  journal.flip(places[0] + sizeof(BlockHead) + 1);  // the first record's flags
  const Read read = this->read();
  ASSERT_EQ(read.report.damage.size(), 1U);
  EXPECT_EQ(read.report.damage[0].suspects, (std::vector<JobId>{JobId(12), JobId(13)}));
}

TEST_F(JournalReaderInProcess, a_stale_block_of_a_dead_keeper_is_not_believed) {
  journal.lag = 2;
  write_three();
  // The next keeper found block 2 torn, and wrote its own in its place.
  journal.take_over(1);
  journal.job(20);
  const Read read = this->read();
  EXPECT_EQ(read.lines, jobs({1, 20}));
  EXPECT_TRUE(read.report.damage.empty());
  EXPECT_EQ(read.report.last_block, 2U);
  EXPECT_EQ(read.report.end_offset, places[2]);
}

TEST_F(JournalReaderInProcess, a_write_that_came_after_the_next_keeper_had_begun_is_not_believed) {
  journal.lag = 2;
  write_three();
  // The next keeper could not see block 3 yet, nor be sure that nothing comes: it began a segment of its own.
  journal.take_over(2);
  journal.begin(1);
  journal.job(30);
  const Read read = this->read();
  EXPECT_EQ(read.lines, jobs({1, 2, 30}));
  EXPECT_TRUE(read.report.damage.empty());
  EXPECT_EQ(read.report.last_segment, 2U);
}

TEST_F(JournalReaderInProcess, a_write_that_came_late_is_not_believed_either_when_the_next_segments_head_is_damaged) {
  journal.lag = 2;
  write_three();
  journal.take_over(2);
  journal.begin(1);
  journal.job(30);
  journal.flip(24);
  const Read read = this->read();
  EXPECT_EQ(read.lines, jobs({1, 2, 30}));
  ASSERT_EQ(read.report.damage.size(), 1U);
  EXPECT_EQ(read.report.damage[0].reason, "head");
}

TEST_F(JournalReaderInProcess, what_is_gone_before_a_segments_head_is_damage_and_no_torn_end) {
  journal.lag = 4;  // no block says so; but a head is written only when all before it is durable
  write_three();
  journal.begin(1);
  journal.slot = 0;
  journal.zero(places[2], journal_unit);
  const Read read = this->read();
  EXPECT_EQ(read.lines, jobs({1, 2}));
  ASSERT_EQ(read.report.damage.size(), 1U);
  EXPECT_EQ(read.report.damage[0].offset, places[2]);
  EXPECT_EQ(read.report.damage[0].bytes, journal_unit);
  EXPECT_FALSE(read.report.torn_tail);
  EXPECT_EQ(read.report.last_segment, 2U);
  EXPECT_EQ(read.report.last_block, 3U);
}

TEST_F(JournalReaderInProcess, stale_blocks_are_not_believed_though_all_that_was_written_over_them_is_damaged) {
  journal.lag = 4;
  journal.begin(0);
  journal.job(1);
  places.push_back(journal.jobs({10, 11}, 4000));  // three units, lost
  places.push_back(journal.job(12));               // block 3, landed
  journal.zero(places[0], 3 * journal_unit);
  journal.take_over(1);  // with smaller blocks: block 3 of the first keeper stands behind the second's
  const std::uint64_t begin = journal.job(20);
  journal.job(21);
  journal.begin(1);
  journal.job(22);
  journal.slot = 0;
  journal.zero(begin, 2 * journal_unit);
  const Read read = this->read();
  EXPECT_EQ(read.lines, jobs({1, 22}));
  ASSERT_EQ(read.report.damage.size(), 1U);
  EXPECT_EQ(read.report.damage[0].offset, begin);
  EXPECT_EQ(read.report.damage[0].bytes, 2 * journal_unit);
}

TEST_F(JournalReaderInProcess, sound_blocks_between_damaged_ones_are_read_though_no_block_names_them) {
  journal.lag = 8;
  journal.begin(0);
  for (std::uint64_t id = 1; id <= 6; ++id) places.push_back(journal.job(id));
  journal.begin(1);
  journal.slot = 0;
  for (const std::size_t hit : {0, 2, 4, 5}) journal.flip(places[hit] + 100);
  const Read read = this->read();
  EXPECT_EQ(read.lines, jobs({2, 4}));
  ASSERT_EQ(read.report.damage.size(), 3U);
  EXPECT_EQ(read.report.damage[2].offset, places[4]);
  EXPECT_EQ(read.report.damage[2].bytes, 2 * journal_unit);
}

TEST_F(JournalReaderInProcess, a_segment_whose_head_and_first_block_are_damaged_still_says_where_the_one_before_ends) {
  journal.lag = 2;
  write_three();
  journal.take_over(2);  // block 3 comes late
  journal.lag = 1;
  journal.begin(1);
  journal.job(30);
  journal.job(31);
  journal.zero(0, 2 * journal_unit);
  const Read read = this->read();
  EXPECT_EQ(read.lines, jobs({1, 2, 31}));
  ASSERT_EQ(read.report.damage.size(), 2U);
  EXPECT_EQ(read.report.damage[0].reason, "head");
  EXPECT_EQ(read.report.damage[1].reason, "lost");
  EXPECT_EQ(read.report.damage[1].offset, journal_unit);
}

TEST_F(JournalReaderInProcess, a_block_that_was_begun_behind_a_hole_is_a_torn_tail) {
  journal.lag = 3;
  write_three();
  journal.zero(places[1], journal_unit);
  journal.flip(places[2] + 100);
  const Read read = this->read();
  EXPECT_EQ(read.lines, jobs({1}));
  EXPECT_TRUE(read.report.damage.empty());
  ASSERT_TRUE(read.report.torn_tail);
  EXPECT_EQ(read.report.torn_tail->offset, places[1]);
}

TEST_F(JournalReaderInProcess, what_a_file_held_before_it_was_used_again_is_not_believed) {
  write_three();
  journal.begin(1);
  journal.job(4);
  journal.oldest = journal.oldest_in_head = 2;
  journal.job(5);
  journal.begin(0);
  journal.job(6);
  const Read read = this->read();
  EXPECT_EQ(read.lines, jobs({4, 5, 6}));
  EXPECT_TRUE(read.report.damage.empty());
  EXPECT_FALSE(read.report.torn_tail);
}

TEST_F(JournalReaderInProcess, a_segment_that_was_retired_is_not_read_where_it_still_stands) {
  write_three();
  journal.begin(1);
  journal.job(4);
  journal.oldest = 2;
  journal.job(5);
  const Read read = this->read();
  EXPECT_EQ(read.lines, jobs({4, 5}));
  EXPECT_EQ(read.report.segments, 1U);
  EXPECT_EQ(read.report.oldest, 2U);
}

TEST_F(JournalReaderInProcess, a_file_that_is_gone_is_damage) {
  write_three();
  journal.begin(1);
  journal.job(4);
  journal.begin(2);
  journal.job(5);
  journal.device.files.erase(1);
  const Read read = this->read();
  EXPECT_EQ(read.lines, jobs({1, 2, 3, 5}));
  ASSERT_EQ(read.report.damage.size(), 1U);
  EXPECT_EQ(read.report.damage[0].segment, 2U);
  EXPECT_EQ(read.report.damage[0].reason, "missing");
}

TEST_F(JournalReaderInProcess, a_first_file_that_is_gone_is_damage) {
  write_three();
  journal.begin(1);
  journal.job(4);
  journal.device.files.erase(0);
  const Read read = this->read();
  EXPECT_EQ(read.lines, jobs({4}));
  ASSERT_EQ(read.report.damage.size(), 1U);
  EXPECT_EQ(read.report.damage[0].segment, 1U);
  EXPECT_EQ(read.report.damage[0].reason, "missing");
}

TEST_F(JournalReaderInProcess, a_damaged_head_is_damage_and_its_blocks_are_read) {
  for (const bool first : {true, false}) {
    journal = {};
    places.clear();
    write_three();
    journal.begin(1);
    journal.job(4);
    journal.slot = first ? 0 : 1;
    journal.flip(24);
    const Read read = this->read();
    EXPECT_EQ(read.lines, jobs({1, 2, 3, 4}));
    ASSERT_EQ(read.report.damage.size(), 1U);
    EXPECT_EQ(read.report.damage[0].segment, first ? 1U : 2U);
    EXPECT_EQ(read.report.damage[0].reason, "head");
    EXPECT_FALSE(read.report.slots.at(first ? 0 : 1).head);
    EXPECT_TRUE(read.report.slots.at(first ? 0 : 1).counts);
  }
}

TEST_F(JournalReaderInProcess, a_use_of_a_file_that_was_torn_at_its_head_is_nothing) {
  write_three();
  journal.begin(1);
  journal.flip(24);
  const Read read = this->read();
  EXPECT_EQ(read.lines, jobs({1, 2, 3}));
  EXPECT_TRUE(read.report.damage.empty());
}

TEST_F(JournalReaderInProcess, a_file_that_became_shorter_is_damage) {
  write_three();
  journal.begin(1);
  journal.job(4);
  journal.device.files.at(0).resize(places[2] + 100);
  const Read read = this->read();
  EXPECT_EQ(read.lines, jobs({1, 2, 4}));
  ASSERT_EQ(read.report.damage.size(), 1U);
  EXPECT_EQ(read.report.damage[0].offset, places[2]);
}

TEST_F(JournalReaderInProcess, a_block_whose_records_contradict_its_head_is_damage_and_the_rest_is_read) {
  journal.begin(0);
  journal.job(1);
  const std::uint64_t at = journal.job(2);
  journal.job(3);
  BlockHead head;
  std::memcpy(&head, &journal.file()[at], sizeof head);
  head.records = 2;
  std::memcpy(&journal.file()[at], &head, sizeof head);
  journal.sign(at);
  const Read read = this->read();
  EXPECT_EQ(read.lines, jobs({1, 3}));
  ASSERT_EQ(read.report.damage.size(), 1U);
  EXPECT_EQ(read.report.damage[0].reason, "records");
}

TEST_F(JournalReaderInProcess, a_newer_format_is_refused) {
  write_three();
  journal.begin(1);
  SegmentHead head;
  std::memcpy(&head, journal.file().data(), sizeof head);
  head.version = journal_version + 1;
  journal.put_head(head);
  const auto refused = read_all(journal.device);
  ASSERT_EQ(code_of(refused), ErrorCode::incompatible);
  EXPECT_NE(refused.error().message().find("0001.segment has format 2"), std::string::npos)
      << refused.error().message();
}

TEST_F(JournalReaderInProcess, a_flipped_version_is_damage_and_no_newer_format) {
  write_three();
  journal.flip(8, 1);
  const Read read = this->read();
  EXPECT_EQ(read.lines, jobs({1, 2, 3}));
  ASSERT_EQ(read.report.damage.size(), 1U);
  EXPECT_EQ(read.report.damage[0].reason, "head");
}

TEST_F(JournalReaderInProcess, another_engines_file_is_refused_by_name) {
  write_three();
  const auto refused = read_all(journal.device, 0xabcd);
  ASSERT_EQ(code_of(refused), ErrorCode::incompatible);
  EXPECT_NE(refused.error().message().find("belongs to engine 1122334455667788"), std::string::npos)
      << refused.error().message();
}

TEST_F(JournalReaderInProcess, a_record_of_a_newer_type_is_refused) {
  write_three();
  constexpr auto next_type = static_cast<std::uint8_t>(RecordType::notes) + 1;
  journal.file()[places[1] + sizeof(BlockHead)] = std::byte{next_type};
  journal.sign(places[1]);
  const auto refused = read_all(journal.device);
  ASSERT_EQ(code_of(refused), ErrorCode::incompatible);
  const std::string names_it = "type " + std::to_string(next_type);
  EXPECT_NE(refused.error().message().find(names_it), std::string::npos) << refused.error().message();
}

TEST_F(JournalReaderInProcess, a_record_with_a_newer_flag_is_refused) {
  write_three();
  journal.flip(places[1] + sizeof(BlockHead) + 1);
  journal.sign(places[1]);
  EXPECT_EQ(code_of(read_all(journal.device)), ErrorCode::incompatible);
}

TEST_F(JournalReaderInProcess, a_read_that_fails_is_an_error_and_not_damage) {
  write_three();
  journal.device.broken_slot = 0;
  EXPECT_EQ(code_of(read_all(journal.device)), ErrorCode::system);
}

TEST_F(JournalReaderInProcess, a_journal_is_read_about_once) {
  journal.segment_bytes = 256 * journal_unit;
  for (SlotNumber slot = 0; slot < 8; ++slot) {
    journal.begin(slot);
    for (int n = 0; n < 200; ++n) journal.job(1);
  }
  journal.device.bytes_read = 0;
  must(read_all(journal.device));
  const std::uint64_t all = 8 * journal.segment_bytes;
  EXPECT_LT(journal.device.bytes_read, all + 2 * journal.segment_bytes);
}

TEST_F(JournalReaderInProcess, progress_ends_at_the_whole) {
  write_three();
  std::uint64_t last = 0;
  std::uint64_t whole = 0;
  Lines visitor;
  must(read_journal(journal.device, test_engine, visitor, {.progress = [&](std::uint64_t read, std::uint64_t all) {
                      EXPECT_GE(read, last);
                      last = read;
                      whole = all;
                    }}));
  EXPECT_GT(last, 0U);
  EXPECT_LE(last, whole);
}

}  // namespace
}  // namespace ringmill::test
