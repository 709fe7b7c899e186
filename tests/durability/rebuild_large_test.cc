// What recovery makes of payloads that stand in the journal in parts.
#include <cstring>

#include "core/inspect/invariants.h"
#include "core/inspect/job_view.h"
#include "core/table/arena.h"
#include "tests/durability/rebuild.h"

namespace ringmill::test {
namespace {

std::string long_payload(std::size_t bytes = 80'000, char first = 'a') {
  std::string text(bytes, '\0');
  for (std::size_t n = 0; n < bytes; ++n) text[n] = static_cast<char>(first + n * 31 % 19);
  return text;
}

void add_whole(Records& records, JobId id, const std::string& payload) {
  records.parts(id, payload);
  records.large_job(id, payload.size());
}

std::string large_payload_in(const Rebuilt& rebuilt, JobId id) {
  const auto view = view_job(*rebuilt.segment, index_of(id));
  if (!view || view->info.id != id) return "no such job";
  const auto copy = copy_payload(*rebuilt.segment, *view).value();
  return std::string(as_text(copy));
}

TEST(RebuildLarge, a_payload_in_parts_comes_back_whole_and_in_an_extent_of_its_job) {
  Records records;
  const JobId id = id_of(5, 3);
  records.kind(0, "k");
  add_whole(records, id, long_payload());
  const Rebuilt rebuilt(records);
  EXPECT_TRUE(rebuilt.damage.empty());
  EXPECT_EQ(rebuilt.state(id), CellState::queued);
  EXPECT_TRUE(large_payload_in(rebuilt, id) == long_payload());
  EXPECT_EQ(check_invariants(*rebuilt.segment, true), std::vector<std::string>());
}

TEST(RebuildLarge, a_job_of_which_a_part_is_missing_does_not_count_and_is_reported) {
  for (std::uint64_t missing = 0; missing < 3; ++missing) {
    SCOPED_TRACE(missing);
    Records records;
    const JobId id = id_of(5, 3);
    records.kind(0, "k");
    records.parts(id, long_payload(), missing);
    records.large_job(id, 80'000);
    const Rebuilt rebuilt(records);
    EXPECT_TRUE(rebuilt.is_free(3));
    ASSERT_EQ(rebuilt.damage.size(), 1U);
    EXPECT_EQ(rebuilt.damage[0].suspects, std::vector<JobId>{id});
    EXPECT_GE(rebuilt.highest_generation, 5U) << "its id is not given again";
  }
}

TEST(RebuildLarge, parts_without_their_job_are_left_out_without_a_word) {
  Records records;
  records.parts(id_of(5, 3), long_payload());
  const Rebuilt rebuilt(records);
  EXPECT_TRUE(rebuilt.damage.empty());
  EXPECT_TRUE(rebuilt.is_free(3));
  EXPECT_EQ(Arena(*rebuilt.segment).used_bytes(), 0U);
}

TEST(RebuildLarge, parts_of_two_writings_of_one_job_make_it_whole) {
  Records records;
  const JobId id = id_of(5, 3);
  records.kind(0, "k");
  records.parts(id, long_payload(), 0);  // the segment with the first part is retired
  records.large_job(id, 80'000);
  records.segment(4);
  records.parts(id, long_payload());
  records.large_job(id, 80'000, 4);
  const Rebuilt rebuilt(records);
  EXPECT_TRUE(rebuilt.damage.empty());
  EXPECT_TRUE(large_payload_in(rebuilt, id) == long_payload());
  EXPECT_EQ(JournalNote::of(rebuilt.header(id).revision.load()).segment, 4U) << "copied forward from there";
}

TEST(RebuildLarge, a_job_that_is_over_needs_no_parts) {
  Records records;
  const JobId id = id_of(5, 3);
  records.parts(id, long_payload(), 1);
  records.large_job(id, 80'000);
  records.ended(id_of(6, 3));
  const Rebuilt rebuilt(records);
  EXPECT_TRUE(rebuilt.damage.empty());
  EXPECT_TRUE(rebuilt.is_free(3));
}

TEST(RebuildLarge, a_later_life_of_the_cell_stands_and_its_payload_with_it) {
  Records records;
  records.kind(0, "k");
  add_whole(records, id_of(5, 3), long_payload());
  add_whole(records, id_of(7, 3), long_payload(90'000, 'A'));
  records.parts(id_of(4, 3), long_payload(1000));
  const Rebuilt rebuilt(records);
  EXPECT_TRUE(large_payload_in(rebuilt, id_of(7, 3)) == long_payload(90'000, 'A'));
}

/// Else it would come back with the bytes of the life that was begun in its cell.
TEST(RebuildLarge, parts_of_a_later_life_say_that_the_job_before_it_is_over) {
  Records records;
  records.kind(0, "k");
  add_whole(records, id_of(5, 3), long_payload());
  records.parts(id_of(7, 3), long_payload(80'000, 'A'), 2);
  const Rebuilt rebuilt(records);
  EXPECT_TRUE(rebuilt.is_free(3));
  EXPECT_EQ(rebuilt.jobs, 0U);
  EXPECT_TRUE(rebuilt.damage.empty());
}

/// A job that is over, with CellOptions, so that its `started` is known.
Records with_completed_job(JobId id) {
  Records records;
  records.kind(0, "k");
  records.job({.id = id, .payload = "8 bytes!"});
  records.options({.cell_flags = cell_flag::has_options, .id = id.value(), .keep_ms = 1000});
  return records;
}

TEST(RebuildLarge, a_result_in_parts_comes_back_whole_and_in_an_extent_of_its_job) {
  const JobId id = id_of(5, 3);
  Records records = with_completed_job(id);
  records.result_parts(id, long_payload());
  records.result(id);
  const Rebuilt rebuilt(records);
  EXPECT_TRUE(rebuilt.damage.empty());
  EXPECT_EQ(rebuilt.state(id), CellState::completed);
  EXPECT_TRUE(rebuilt.info(id).result == long_payload());
  EXPECT_FALSE(rebuilt.info(id).result_cut);
  EXPECT_EQ(check_invariants(*rebuilt.segment, true), std::vector<std::string>());
}

TEST(RebuildLarge, a_result_of_which_a_part_is_missing_is_reported_and_its_job_stays_over) {
  for (std::uint64_t missing = 0; missing < 3; ++missing) {
    SCOPED_TRACE(missing);
    const JobId id = id_of(5, 3);
    Records records = with_completed_job(id);
    records.result_parts(id, long_payload(), missing);
    records.result(id);
    const Rebuilt rebuilt(records);
    EXPECT_EQ(rebuilt.state(id), CellState::completed);
    EXPECT_TRUE(rebuilt.info(id).result_cut);
    EXPECT_EQ(rebuilt.info(id).result_refused, ResultRefusal::lost);
    ASSERT_EQ(rebuilt.damage.size(), 1U);
    EXPECT_EQ(rebuilt.damage[0].suspects, std::vector<JobId>{id});
  }
}

TEST(RebuildLarge, parts_of_a_result_that_no_change_speaks_of_are_left_out_without_a_word) {
  const JobId id = id_of(5, 3);
  Records records = with_completed_job(id);
  records.result_parts(id, long_payload());
  const Rebuilt rebuilt(records);
  EXPECT_TRUE(rebuilt.damage.empty());
  EXPECT_EQ(rebuilt.state(id), CellState::queued);
  EXPECT_EQ(Arena(*rebuilt.segment).used_bytes(), 0U);
}

TEST(RebuildLarge, a_result_stands_until_the_change_behind_all_parts_of_the_next_one) {
  const JobId id = id_of(5, 3);
  for (const bool is_confirmed : {false, true}) {
    SCOPED_TRACE(is_confirmed);
    Records records = with_completed_job(id);
    records.result_parts(id, long_payload(), {}, 7);
    records.result(id, 7);
    records.result_parts(id, long_payload(80'000, 'A'), {}, 8);
    if (is_confirmed) records.result(id, 8);
    const Rebuilt rebuilt(records);
    EXPECT_TRUE(rebuilt.damage.empty());
    EXPECT_TRUE(rebuilt.info(id).result == long_payload(80'000, is_confirmed ? 'A' : 'a'));
  }
}

TEST(RebuildLarge, a_second_change_of_one_result_needs_no_parts_of_its_own) {
  const JobId id = id_of(5, 3);
  Records records = with_completed_job(id);
  records.result_parts(id, long_payload());
  records.result(id);
  records.result_parts(id, long_payload(), 0);
  records.result(id);
  const Rebuilt rebuilt(records);
  EXPECT_TRUE(rebuilt.damage.empty());
  EXPECT_TRUE(rebuilt.info(id).result == long_payload());
}

TEST(RebuildLarge, options_and_a_text_come_back_with_a_payload_in_parts) {
  Records records;
  const JobId id = id_of(5, 3);
  records.kind(0, "k");
  add_whole(records, id, long_payload());
  records.options({.cell_flags = cell_flag::bury_on_worker_lost, .id = id.value()});
  const std::string error = "no route to host, and none in sight";
  records.change({.attempts = 2, .text_bytes = static_cast<std::uint16_t>(error.size()), .id = id.value()}, error);
  const Rebuilt rebuilt(records);
  EXPECT_EQ(rebuilt.header(id).flags.load(), cell_flag::bury_on_worker_lost | cell_flag::in_arena);
  EXPECT_EQ(rebuilt.info(id).last_error, error) << "the whole cell behind its header is free for it";
  EXPECT_TRUE(large_payload_in(rebuilt, id) == long_payload());
}

TEST(RebuildLarge, the_ids_of_those_that_a_large_job_waits_for_stand_in_its_cell_and_a_text_behind_them) {
  Records records;
  const JobId id = id_of(5, 3);
  const JobId parent = id_of(9, 1);
  std::string body(80'000, 'b');
  const std::uint64_t first = parent.value();
  std::memcpy(body.data(), &first, sizeof first);
  const std::string error = "not today";
  records.kind(0, "k");
  add_whole(records, id, body);
  records.options({.cell_flags = cell_flag::has_options | cell_flag::has_links, .id = id.value()});
  records.links({.parents = 1, .id = id.value()});
  records.change({.attempts = 1, .text_bytes = static_cast<std::uint16_t>(error.size()), .id = id.value()}, error);
  const Rebuilt rebuilt(records, 256);
  EXPECT_TRUE(rebuilt.damage.empty());
  EXPECT_EQ(rebuilt.info(id).parents, std::vector<JobId>{parent});
  EXPECT_EQ(rebuilt.info(id).last_error, error);
  EXPECT_TRUE(large_payload_in(rebuilt, id) == body.substr(8));
}

TEST(RebuildLarge, more_ids_than_the_body_of_a_large_job_has_room_for_are_reported) {
  Records records;
  const JobId id = id_of(5, 3);
  records.kind(0, "k");
  add_whole(records, id, long_payload());
  records.options({.cell_flags = cell_flag::has_options | cell_flag::has_links, .id = id.value()});
  records.links({.parents = static_cast<std::uint32_t>(long_payload().size() / 8 + 1), .id = id.value()});
  const Rebuilt rebuilt(records, 256);
  ASSERT_EQ(rebuilt.damage.size(), 1U);
  EXPECT_EQ(rebuilt.damage[0].suspects, std::vector<JobId>{id});
  EXPECT_TRUE(rebuilt.info(id).parents.empty());
}

TEST(RebuildLarge, an_arena_too_small_for_what_comes_back_says_how_much_is_enough) {
  Records records;
  records.kind(0, "k");
  for (CellIndex cell = 0; cell < 6; ++cell) {
    add_whole(records, id_of(5, cell), long_payload());
  }
  try {
    const Rebuilt refused(records);
    FAIL() << "six payloads in four chunks";
  } catch (const std::exception& error) {
    EXPECT_NE(std::string(error.what()).find(std::to_string(6 << 17)), std::string::npos) << error.what();
  }
  const Rebuilt rebuilt(records, 128, std::uint64_t{6} << 17);
  EXPECT_EQ(rebuilt.jobs, 6U);
}

}  // namespace
}  // namespace ringmill::test
