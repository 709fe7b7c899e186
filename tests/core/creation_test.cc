// Making an engine: what is refused.
#include <chrono>

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

}  // namespace
}  // namespace ringmill::test
