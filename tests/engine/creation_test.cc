// Making an engine: what is refused.
#include <chrono>

#include "core/journal/format.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

TEST(CreationInProcess, a_second_one_is_told_that_there_is_an_engine) {
  const ScratchEngine scratch;
  EXPECT_EQ(code_of(Engine::create(scratch.directory(), scratch.place().here(small_engine()))),
            ErrorCode::already_exists);
}

TEST(CreationInProcess, a_folder_with_other_files_is_left_alone) {
  const ScratchPlace place;
  std::filesystem::create_directory(place.directory());
  must(write_file_durably(place.directory() / "letter.txt", "mine", 0600));
  EXPECT_EQ(code_of(Engine::create(place.directory(), place.here(small_engine()))), ErrorCode::already_exists);
  EXPECT_EQ(must(read_file(place.directory() / "letter.txt")), "mine");
}

TEST(CreationInProcess, impossible_options_are_refused_and_leave_nothing) {
  using Spoil = void (*)(CreateOptions&);
  const std::vector<Spoil> spoils{
      [](CreateOptions& options) { options.capacity = 63; },
      [](CreateOptions& options) { options.capacity = most_cells + 1; },
      [](CreateOptions& options) { options.cell_size = 129; },
      [](CreateOptions& options) { options.cell_size = 64; },
      [](CreateOptions& options) { options.levels = {}; },
      [](CreateOptions& options) {
        options.levels = {"a", "a"};
      },
      [](CreateOptions& options) { options.levels = {"with space"}; },
      [](CreateOptions& options) { options.weights = {1}; },
      [](CreateOptions& options) {
        options.weights = {1, 0, 1};
      },
      [](CreateOptions& options) { options.lease = 0ms; },
      [](CreateOptions& options) { options.mode = 0077; },
      [](CreateOptions& options) { options.journal_limit = (4U << 20) - 1; },
      [](CreateOptions& options) { options.journal_limit = std::uint64_t{1} << 45; },
  };
  for (std::size_t n = 0; n < spoils.size(); ++n) {
    const ScratchPlace place;
    CreateOptions options = place.here(small_engine());
    spoils[n](options);
    EXPECT_EQ(code_of(Engine::create(place.directory(), options)), ErrorCode::invalid_argument) << "spoil " << n;
    EXPECT_FALSE(std::filesystem::exists(place.directory())) << "spoil " << n;
  }
}

TEST(CreationInProcess, where_there_is_no_engine_opening_says_not_found) {
  const ScratchPlace place;
  EXPECT_EQ(code_of(Engine::open(place.directory(), without_keeper)), ErrorCode::not_found);
}

TEST(CreationInProcess, a_configuration_that_is_no_json_is_corrupt) {
  const ScratchEngine scratch;
  must(write_file_durably(scratch.directory() / "engine.json", "{", 0600));
  EXPECT_EQ(code_of(Engine::open(scratch.directory(), without_keeper)), ErrorCode::corrupt);
}

JournalGeometry journal_of(const ScratchEngine& scratch) {
  return must(EngineFiles::open(scratch.directory())).journal_geometry();
}

TEST(JournalLimitInProcess, is_64_mib_for_a_small_engine) {
  const JournalGeometry journal = journal_of(ScratchEngine());
  EXPECT_EQ(journal.segment_bytes * journal.most_segments, 64U << 20);
  EXPECT_EQ(journal.most_segments, 32U);
}

TEST(JournalLimitInProcess, grows_with_capacity_and_cell_size) {
  const std::uint64_t full_engine = std::uint64_t{1'000'000} * (32 + 48 + 40 + 4096 - 64);
  const JournalGeometry journal = must(checked_journal(0, 1'000'000, 4096));
  EXPECT_GE(journal.segment_bytes * journal.most_segments, 3 * full_engine);
  EXPECT_LT(journal.segment_bytes * journal.most_segments, 3 * full_engine + journal.segment_bytes);
  EXPECT_EQ(journal.segment_bytes, 16U << 20);
}

TEST(JournalLimitInProcess, is_never_exceeded_by_whole_segments) {
  for (std::uint64_t limit = 4U << 20; limit < 1U << 30; limit += limit / 3 + 4097) {
    const JournalGeometry journal = must(checked_journal(limit, 64, 128));
    EXPECT_LE(journal.segment_bytes * journal.most_segments, limit);
    EXPECT_GT(journal.segment_bytes * (journal.most_segments + 1), limit);
    EXPECT_GE(journal.segment_bytes, 2 * most_block_bytes);
    EXPECT_GE(journal.most_segments, 8U);
  }
}

TEST(JournalLimitInProcess, the_least_that_the_error_names_is_enough) {
  for (const std::uint32_t capacity : {64U, 100'032U, 1'000'000U, 1U << 24}) {
    const auto refused = checked_journal(1, capacity, 256);
    ASSERT_EQ(code_of(refused), ErrorCode::invalid_argument);
    const std::string text = refused.error().message();
    const std::uint64_t least = std::stoull(text.substr(text.find("at least ") + 9));
    EXPECT_TRUE(checked_journal(least, capacity, 256).has_value()) << text;
    EXPECT_FALSE(checked_journal(least * 9 / 10, capacity, 256).has_value()) << text;
  }
}

TEST(JournalLimitInProcess, is_kept_in_the_engines_configuration) {
  CreateOptions options = small_engine();
  options.journal_limit = 10'000'000;
  const JournalGeometry journal = journal_of(ScratchEngine(options));
  EXPECT_EQ(journal.segment_bytes, 512U << 10);
  EXPECT_EQ(journal.most_segments, 19U);
}

TEST(JournalFolderInProcess, has_the_mode_of_the_engines_directory) {
  CreateOptions options = small_engine();
  options.mode = 0750;
  const ScratchEngine scratch(options);
  EXPECT_EQ(std::filesystem::status(scratch.directory() / "journal").permissions(), std::filesystem::perms{0750});
}

TEST(JournalFolderInProcess, a_folder_with_foreign_files_in_a_folder_of_that_name_is_left_alone) {
  const ScratchPlace place;
  std::filesystem::create_directories(place.directory() / "journal");
  must(write_file_durably(place.directory() / "journal" / "1.segment", "mine", 0600));
  EXPECT_EQ(code_of(Engine::create(place.directory(), place.here(small_engine()))), ErrorCode::already_exists);
  EXPECT_TRUE(std::filesystem::exists(place.directory() / "journal" / "1.segment"));
}

}  // namespace
}  // namespace ringmill::test
