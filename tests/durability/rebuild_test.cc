// Records into a table: any number of times, and none that cannot be true.
#include <algorithm>
#include <string>
#include <vector>

#include "core/inspect/invariants.h"
#include "tests/durability/rebuild.h"

namespace ringmill::test {
namespace {

TEST(RebuildInProcess, a_job_waits_under_its_own_id_with_all_that_it_had) {
  Records records;
  const JobId id = id_of(5, 17);
  records.kind(3, "mail");
  records.job({.id = id,
               .payload = "hello",
               .level = 2,
               .kind = 3,
               .attempts = 4,
               .enqueued_at_ms = 1'700'000'000'123,
               .lease_ms = 777});
  const Rebuilt rebuilt(records);
  const JobInfo info = rebuilt.info(id);
  EXPECT_EQ(info.id, id);
  EXPECT_EQ(info.state, JobState::queued);
  EXPECT_EQ(info.level, "low");
  EXPECT_EQ(info.kind, "mail");
  EXPECT_EQ(info.attempts, 4U);
  EXPECT_EQ(info.enqueued_at.time_since_epoch(), std::chrono::milliseconds(1'700'000'000'123));
  EXPECT_EQ(rebuilt.header(id).lease_ms.load_once().unbounded(), 777U);
  EXPECT_EQ(rebuilt.payload(id), "hello");
  EXPECT_EQ(rebuilt.jobs, 1U);
  EXPECT_TRUE(rebuilt.damage.empty());
}

TEST(RebuildInProcess, no_records_make_a_table_of_free_cells) {
  const Rebuilt rebuilt{Records()};
  for (CellIndex index = 0; index < capacity; ++index) {
    EXPECT_EQ(JobTable(*rebuilt.segment).word(index), StateWord::make(first_generation, 0, CellState::free, 0));
    EXPECT_TRUE(rebuilt.segment->free_map().lists(index));
  }
}

TEST(RebuildInProcess, a_job_that_has_ended_does_not_come_back) {
  Records records;
  records.kind(0, "k");
  records.job({.id = id_of(5, 17)});
  records.ended(id_of(6, 17));
  const Rebuilt rebuilt(records);
  EXPECT_TRUE(rebuilt.is_free(17));
  EXPECT_EQ(JobTable(*rebuilt.segment).word(17).generation(), first_generation);
  EXPECT_EQ(rebuilt.jobs, 0U);
}

TEST(RebuildInProcess, an_end_leaves_the_life_alone_that_it_names) {
  Records records;
  records.kind(0, "k");
  records.ended(id_of(6, 17));
  records.job({.id = id_of(6, 17)});
  EXPECT_FALSE(Rebuilt(records).is_free(17));
}

TEST(RebuildInProcess, of_two_lives_of_a_cell_the_later_stands) {
  Records records;
  records.kind(0, "k");
  records.job({.id = id_of(9, 17), .payload = "new"});
  records.job({.id = id_of(5, 17), .payload = "old one"});
  const Rebuilt rebuilt(records);
  EXPECT_EQ(rebuilt.payload(id_of(9, 17)), "new");
  EXPECT_EQ(rebuilt.info(id_of(9, 17)).state, JobState::queued);
  EXPECT_EQ(rebuilt.info(id_of(5, 17)).state, JobState::ended);
}

TEST(RebuildInProcess, the_most_attempts_count) {
  Records records;
  records.kind(0, "k");
  records.attempts(id_of(5, 1), 3);
  records.job({.id = id_of(5, 1), .attempts = 1});
  records.attempts(id_of(5, 1), 2);
  EXPECT_EQ(Rebuilt(records).info(id_of(5, 1)).attempts, 3U);
}

TEST(RebuildInProcess, attempts_of_an_earlier_life_do_not_count) {
  Records records;
  records.kind(0, "k");
  records.job({.id = id_of(5, 1)});
  records.attempts(id_of(5, 1), 7);
  records.ended(id_of(6, 1));
  records.job({.id = id_of(6, 1)});
  EXPECT_EQ(Rebuilt(records).info(id_of(6, 1)).attempts, 0U);
}

TEST(RebuildInProcess, attempts_of_a_life_whose_record_was_lost_end_those_before_it) {
  Records records;
  records.kind(0, "k");
  records.job({.id = id_of(5, 1)});
  records.attempts(id_of(6, 1), 1);
  EXPECT_TRUE(Rebuilt(records).is_free(1));
}

TEST(RebuildInProcess, a_job_that_was_copied_forward_is_noted_in_the_newest_segment) {
  Records records;
  records.kind(0, "k");
  records.segment(9);
  records.job({.id = id_of(5, 1), .attempts = 2});
  records.segment(4);
  records.job({.id = id_of(5, 1)});
  const Rebuilt rebuilt(records);
  const JournalNote note = JournalNote::of(rebuilt.header(id_of(5, 1)).revision.load());
  EXPECT_EQ(note.generation, 5U);
  EXPECT_EQ(note.segment, 9U);
  EXPECT_EQ(rebuilt.info(id_of(5, 1)).attempts, 2U);
}

TEST(RebuildInProcess, the_newest_segment_is_known_where_its_tag_wraps) {
  for (const bool forward : {true, false}) {
    Records records;
    records.kind(0, "k");
    records.segment(forward ? (1U << 24) - 1 : (1U << 24) + 1);
    records.job({.id = id_of(5, 1)});
    records.segment(forward ? (1U << 24) + 1 : (1U << 24) - 1);
    records.job({.id = id_of(5, 1)});
    EXPECT_EQ(JournalNote::of(Rebuilt(records).header(id_of(5, 1)).revision.load()).segment, 1U);
  }
}

TEST(RebuildInProcess, a_cell_without_a_job_has_no_note) {
  Records records;
  records.kind(0, "k");
  records.job({.id = id_of(5, 1)});
  records.ended(id_of(6, 1));
  EXPECT_EQ(Rebuilt(records).header(id_of(5, 1)).revision.load(), 0U);
}

TEST(RebuildInProcess, workers_find_jobs_in_the_order_in_which_they_were_enqueued) {
  Records records;
  records.kind(0, "k");
  records.job({.id = id_of(5, 1), .enqueued_at_ms = 300});
  records.job({.id = id_of(5, 2), .level = 0, .enqueued_at_ms = 900});
  records.job({.id = id_of(7, 3), .enqueued_at_ms = 200});
  records.job({.id = id_of(6, 4), .enqueued_at_ms = 200});
  records.job({.id = id_of(5, 5), .enqueued_at_ms = 100});
  const Rebuilt rebuilt(records);
  EXPECT_EQ(rebuilt.order(1), (std::vector<CellIndex>{5, 4, 3, 1}));
  EXPECT_EQ(rebuilt.order(0), (std::vector<CellIndex>{2}));
}

TEST(RebuildInProcess, a_full_table_comes_back_whole) {
  Records records;
  records.kind(0, "k");
  for (CellIndex index = 0; index < capacity; ++index) records.job({.id = id_of(3, index)});
  const Rebuilt rebuilt(records);
  EXPECT_EQ(rebuilt.jobs, capacity);
  EXPECT_EQ(rebuilt.order(1).size(), capacity);
  EXPECT_EQ(check_invariants(*rebuilt.segment, true), std::vector<std::string>{});
}

TEST(RebuildInProcess, the_highest_generation_is_known_whatever_record_names_it) {
  Records records;
  records.kind(0, "k");
  records.job({.id = id_of(50, 1)});
  EXPECT_EQ(Rebuilt(records).highest_generation, 50U);
  records.ended(id_of(61, 2));
  EXPECT_EQ(Rebuilt(records).highest_generation, 60U);
  records.attempts(id_of(70, 3), 1);
  EXPECT_EQ(Rebuilt(records).highest_generation, 70U);
}

/// Lives of cells as a keeper would write them, with copies, in segments.
Records random_records(std::mt19937_64& random) {
  Records records;
  std::map<CellIndex, std::uint64_t> living;
  std::map<CellIndex, std::uint64_t> next;
  std::map<CellIndex, TestJob> jobs;
  static const std::vector<std::string> payloads{"", "a", "longer than one word", std::string(64, 'x')};
  for (std::uint32_t kind = 0; kind < 5; ++kind) records.kind(kind * 3, fmt::format("kind-{}", kind));
  for (int step = 0; step < 2000; ++step) {
    const auto index = static_cast<CellIndex>(random() % capacity);
    const bool lives = living.contains(index);
    const std::uint64_t what = random() % 8;
    if (what == 0) records.next_segment();
    if (!lives && what < 5) {
      const std::uint64_t generation = (next[index] += 1 + random() % 3);
      jobs[index] = {.id = id_of(generation, index),
                     .payload = payloads[random() % payloads.size()],
                     .level = static_cast<std::uint16_t>(random() % 3),
                     .kind = static_cast<std::uint16_t>(random() % 5 * 3),
                     .enqueued_at_ms = 1000 + random() % 50,
                     .lease_ms = static_cast<std::uint32_t>(random() % 3)};
      records.job(jobs[index]);
      living[index] = generation;
    } else if (lives && what < 3) {
      records.attempts(jobs[index].id, ++jobs[index].attempts);
    } else if (lives && what < 5) {
      records.job(jobs[index]);  // copied forward
    } else if (lives) {
      next[index] = living[index] + 1;
      records.ended(id_of(next[index], index));
      living.erase(index);
    }
  }
  return records;
}

TEST(RebuildInProcess, records_in_another_order_give_the_same_table) {
  std::mt19937_64 random(printed_seed());
  for (int round = 0; round < 20; ++round) {
    Records records = random_records(random);
    const std::string in_order = Rebuilt(records).text();
    ASSERT_GT(std::ranges::count(in_order, '\''), 20) << "a table with jobs in it";
    std::ranges::shuffle(records.calls, random);
    ASSERT_EQ(Rebuilt(records).text(), in_order) << "round " << round;
  }
}

TEST(RebuildInProcess, records_that_are_visited_again_give_the_same_table) {
  std::mt19937_64 random(printed_seed());
  for (int round = 0; round < 20; ++round) {
    Records records = random_records(random);
    const std::string once = Rebuilt(records).text();
    const std::size_t count = records.calls.size();
    for (std::size_t n = 0; n < count; ++n) records.calls.push_back(records.calls[random() % count]);
    ASSERT_EQ(Rebuilt(records).text(), once) << "round " << round;
  }
}

TEST(RebuildInProcess, the_table_is_sound) {
  std::mt19937_64 random(printed_seed());
  for (int round = 0; round < 20; ++round) {
    const Rebuilt rebuilt(random_records(random));
    ASSERT_EQ(check_invariants(*rebuilt.segment, true), std::vector<std::string>{}) << "round " << round;
  }
}

/// Records that cannot be true, among good ones.
struct Damage {
  const char* what;
  void (*spoil)(JobRecord&);
};

TEST(RebuildInProcess, a_record_that_cannot_be_true_is_reported_and_left_out) {
  const std::vector<Damage> spoils{
      {"index", [](JobRecord& record) { record.id = id_of(5, capacity).value(); }},
      {"generation 0", [](JobRecord& record) { record.id = 3; }},
      {"last generation", [](JobRecord& record) { record.id = id_of(most_generation, 3).value(); }},
      {"level", [](JobRecord& record) { record.level = 3; }},
      {"kind", [](JobRecord& record) { record.kind = most_kinds; }},
      {"flags", [](JobRecord& record) { record.flags = 1; }},
  };
  for (const Damage& damage : spoils) {
    Records records;
    records.kind(0, "k");
    records.job({.id = id_of(5, 1)});
    JobRecord spoiled = TestJob{.id = id_of(5, 3), .payload = ""}.record();
    damage.spoil(spoiled);
    records.record(spoiled);
    records.job({.id = id_of(5, 2)});
    const Rebuilt rebuilt(records);
    EXPECT_EQ(rebuilt.jobs, 2U) << damage.what;
    EXPECT_TRUE(rebuilt.is_free(3)) << damage.what;
    ASSERT_EQ(rebuilt.damage.size(), 1U) << damage.what;
    EXPECT_EQ(rebuilt.damage[0].suspects, std::vector<JobId>{JobId(spoiled.id)}) << damage.what;
    EXPECT_EQ(rebuilt.damage[0].segment, 1U) << damage.what;
    EXPECT_EQ(rebuilt.damage[0].offset, 3 * journal_unit) << damage.what;
  }
}

TEST(RebuildInProcess, a_payload_that_does_not_fit_the_cell_is_reported_and_left_out) {
  Records records;
  records.kind(0, "k");
  const std::string payload(65, 'x');
  records.job({.id = id_of(5, 1), .payload = payload});
  const Rebuilt rebuilt(records);
  EXPECT_EQ(rebuilt.jobs, 0U);
  EXPECT_EQ(rebuilt.damage.size(), 1U);
  EXPECT_EQ(rebuilt.payload(id_of(5, 2)), "");
}

TEST(RebuildInProcess, ends_and_attempts_of_impossible_cells_are_reported) {
  Records records;
  records.ended(id_of(5, capacity));
  records.attempts(id_of(5, capacity), 1);
  EXPECT_EQ(Rebuilt(records).damage.size(), 2U);
}

TEST(RebuildInProcess, kinds_keep_their_numbers) {
  Records records;
  records.kind(9, "nine");
  records.kind(2, "two");
  records.job({.id = id_of(5, 1), .kind = 9});
  const Rebuilt rebuilt(records);
  EXPECT_EQ(rebuilt.segment->kinds().name_of(9), "nine");
  EXPECT_EQ(rebuilt.segment->kinds().intern("nine"), 9U);
  EXPECT_EQ(rebuilt.segment->kinds().intern("two"), 2U);
  EXPECT_EQ(rebuilt.segment->kinds().intern("new"), 0U);
}

TEST(RebuildInProcess, no_other_kind_gets_the_number_of_jobs_whose_kind_has_lost_its_name) {
  Records records;
  records.job({.id = id_of(5, 1), .kind = 0});
  const Rebuilt rebuilt(records);
  EXPECT_NE(rebuilt.segment->kinds().intern("new"), 0U);
  EXPECT_EQ(rebuilt.info(id_of(5, 1)).kind, "lost-kind-0");
  ASSERT_EQ(rebuilt.damage.size(), 1U);
  EXPECT_NE(rebuilt.damage[0].reason.find("lost-kind-0"), std::string::npos);
}

TEST(RebuildInProcess, names_that_cannot_be_are_reported) {
  Records records;
  records.kind(most_kinds, "k");
  records.kind(1, "with space");
  records.kind(2, "");
  EXPECT_EQ(Rebuilt(records).damage.size(), 3U);
}

}  // namespace
}  // namespace ringmill::test
