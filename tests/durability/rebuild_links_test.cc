// What recovery makes of jobs that came together, and of follow-ups: all or none.
#include <string>
#include <vector>

#include "tests/durability/rebuild.h"

namespace ringmill::test {
namespace {

constexpr std::uint32_t cell_bytes = 256;

JobId id_at(CellIndex index, std::uint64_t generation = 7) { return JobId(generation << index_bits | index); }

/// A job with its options and its links, as one block has them.
void write(Records& records, JobId id, LinksRecord links, std::string payload = "payload.") {
  JobRecord record;
  record.id = id.value();
  record.payload_bytes = static_cast<std::uint32_t>(payload.size());
  record.enqueued_at_ms_and_attempts = 1'764'000'000'000;
  record.most_attempts = 15;
  links.id = id.value();
  records.record(record, payload);
  records.options({.cell_flags = cell_flag::has_options | cell_flag::has_links, .id = id.value()});
  records.links(links);
}

LinksRecord with(JobId leader) { return {.rule = 1, .born_of = leader.value()}; }
LinksRecord after(JobId leader) { return {.rule = 2, .born_of = leader.value()}; }

ChangeRecord completed(JobId id) {
  return {.state = JournaledState::completed, .id = id.value(), .due = 1'764'000'000'000};
}

TEST(RebuildLinks, jobs_that_came_together_are_there_with_their_leader) {
  Records records;
  const JobId leader = id_at(3);
  records.kind(0, "test");
  write(records, id_at(1), with(leader));
  write(records, id_at(2), with(leader));
  write(records, leader, {});
  const Rebuilt rebuilt(records, cell_bytes);
  for (const JobId id : {id_at(1), id_at(2), leader}) EXPECT_EQ(rebuilt.info(id).state, JobState::queued);
  EXPECT_EQ(rebuilt.jobs, 3U);
  EXPECT_TRUE(rebuilt.damage.empty());
}

TEST(RebuildLinks, without_their_leader_they_never_were_and_the_journal_is_told) {
  Records records;
  write(records, id_at(1), with(id_at(3)));
  write(records, id_at(2), with(id_at(3)));
  const Rebuilt rebuilt(records, cell_bytes);
  EXPECT_EQ(rebuilt.jobs, 0U);
  for (const CellIndex index : {1U, 2U}) {
    EXPECT_TRUE(rebuilt.is_free(index));
    EXPECT_TRUE(rebuilt.segment->marks().is_marked(index));
    EXPECT_NE(JobTable(*rebuilt.segment).header(index).revision.load(), 0U) << "so that an ended record is written";
  }
  EXPECT_TRUE(rebuilt.damage.empty()) << "a crash in between is no damage to report";
}

TEST(RebuildLinks, a_leader_that_is_over_was_there) {
  for (const bool by_its_end : {true, false}) {
    Records records;
    write(records, id_at(1), with(id_at(3)));
    if (by_its_end) {
      records.ended(id_at(3, 8));
    } else {
      write(records, id_at(3, 9), {});  // the cell's next life
    }
    const Rebuilt rebuilt(records, cell_bytes);
    EXPECT_EQ(rebuilt.info(id_at(1)).state, JobState::queued) << by_its_end;
  }
}

/// Else its next end might be durable before the journal knows that they are over: then they would count.
TEST(RebuildLinks, a_job_whose_follow_ups_never_were_ends_behind_what_the_journal_is_told_of_them) {
  Records records;
  const JobId leader = id_at(3);
  write(records, leader, {});
  write(records, id_at(4), {});
  write(records, id_at(1), after(leader));
  const Rebuilt rebuilt(records, cell_bytes);
  EXPECT_TRUE(rebuilt.is_free(1));
  EXPECT_NE(rebuilt.header(leader).flags.load() & cell_flag::leads_bundle, 0);
  EXPECT_EQ(rebuilt.header(id_at(4)).flags.load() & cell_flag::leads_bundle, 0);
}

TEST(RebuildLinks, follow_ups_are_there_when_their_job_is_over_and_only_then) {
  const JobId leader = id_at(3);
  Records waits;
  write(waits, leader, {});
  write(waits, id_at(1), after(leader));
  const Rebuilt not_over(waits, cell_bytes);
  EXPECT_EQ(not_over.info(leader).state, JobState::queued);
  EXPECT_TRUE(not_over.is_free(1));

  Records over;
  write(over, leader, {});
  write(over, id_at(1), after(leader));
  over.change(completed(leader));
  const Rebuilt there(over, cell_bytes);
  EXPECT_EQ(there.info(id_at(1)).state, JobState::queued);

  Records unknown;
  write(unknown, id_at(1), after(leader));
  EXPECT_TRUE(Rebuilt(unknown, cell_bytes).is_free(1));

  Records gone;
  write(gone, id_at(1), after(leader));
  gone.ended(id_at(3, 8));
  EXPECT_EQ(Rebuilt(gone, cell_bytes).info(id_at(1)).state, JobState::queued);
}

TEST(RebuildLinks, what_came_with_a_job_that_never_was_never_was_either) {
  // 1 is a follow-up of 2, which was a follow-up of 3, and ran, before the end of 3 was durable.
  Records records;
  write(records, id_at(3), {});
  write(records, id_at(1), after(id_at(2)));
  write(records, id_at(2), after(id_at(3)));
  records.change(completed(id_at(2)));
  const Rebuilt rebuilt(records, cell_bytes);
  EXPECT_EQ(rebuilt.info(id_at(3)).state, JobState::queued);
  EXPECT_TRUE(rebuilt.is_free(2));
  EXPECT_TRUE(rebuilt.is_free(1));
}

TEST(RebuildLinks, a_record_that_counts_by_itself_undoes_the_rule_in_any_order) {
  for (const bool first : {true, false}) {
    Records records;
    if (first) write(records, id_at(1), {});
    write(records, id_at(1), with(id_at(3)));
    if (!first) write(records, id_at(1), {});
    EXPECT_EQ(Rebuilt(records, cell_bytes).info(id_at(1)).state, JobState::queued) << first;
  }
}

TEST(RebuildLinks, a_job_that_waits_for_others_comes_back_blocked_with_its_parents) {
  Records records;
  const JobId parent = id_at(2);
  std::string payload(8, '\0');
  const std::uint64_t value = parent.value();
  std::memcpy(payload.data(), &value, 8);
  write(records, id_at(1), {.parents = 1}, payload + "the rest");
  records.change({.state = JournaledState::blocked, .id = id_at(1).value()});
  const Rebuilt rebuilt(records, cell_bytes);
  const JobInfo info = rebuilt.info(id_at(1));
  EXPECT_EQ(info.state, JobState::blocked);
  EXPECT_EQ(info.payload_size, 8U);
  EXPECT_EQ(info.parents, std::vector<JobId>{parent});
  EXPECT_TRUE(rebuilt.order(0).empty()) << "it has no hint";
}

TEST(RebuildLinks, links_that_no_job_can_have_are_left_out_and_named) {
  const std::vector<LinksRecord> spoiled{{.rule = 3}, {.parents = 2}, {.runs_all_the_same = 2}};
  for (const LinksRecord& links : spoiled) {
    Records records;
    write(records, id_at(1), links);
    const Rebuilt rebuilt(records, cell_bytes);
    EXPECT_EQ(rebuilt.info(id_at(1)).state, JobState::queued);
    EXPECT_FALSE(rebuilt.damage.empty());
  }
  Records without_options;
  JobRecord record{.id = id_at(1).value()};
  without_options.record(record);
  without_options.links({.id = id_at(1).value()});
  EXPECT_FALSE(Rebuilt(without_options, cell_bytes).damage.empty());
}

}  // namespace
}  // namespace ringmill::test
