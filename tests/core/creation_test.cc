// Making an engine: what a death in the midst of it leaves, and what is refused.
#include <unistd.h>

#include <chrono>
#include <random>
#include <thread>

#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/random.h"
#include "tests/support/shared_block.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

TEST(KilledCreation, leaves_nothing_that_the_next_one_minds) {
  std::mt19937_64 random(printed_seed());
  // The moments of the kills are spread over the time that a whole creation takes here.
  const auto before = std::chrono::steady_clock::now();
  { const ScratchEngine whole; }
  const auto whole_time = std::chrono::steady_clock::now() - before;
  const auto spread =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(whole_time).count()) + 1;
  for (int round = 0; round < 30; ++round) {
    const ScratchPlace place;
    SharedBlock<std::atomic<int>> begun;
    Child creator([&] {
      *begun = 1;
      static_cast<void>(Engine::create(place.directory(), place.here(small_engine())));
      ::pause();
      return 0;
    });
    ASSERT_TRUE(await([&] { return *begun == 1; }));
    std::this_thread::sleep_for(std::chrono::microseconds(random() % spread));
    creator.kill();
    const auto next = Engine::create(place.directory(), place.here(small_engine()));
    ASSERT_TRUE(next || next.error().code() == ErrorCode::already_exists) << next.error().message();
    EXPECT_TRUE(Engine::open(place.directory(), without_keeper).has_value()) << "round " << round;
    EXPECT_EQ(place.shm_names().size(), 1U) << "round " << round;
  }
}

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
