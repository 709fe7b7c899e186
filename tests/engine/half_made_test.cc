// An engine whose creator died, or whose remover did: what the next init and the next remove make of it. Creating and
// removing leave their traces in files, so the process is ended after each of its system calls.
#include <fcntl.h>
#include <unistd.h>

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "tests/crash/single_step.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/random.h"

namespace ringmill::test {
namespace {

using crash::SteppedProcess;
using State = SteppedProcess::State;
using Names = std::vector<std::string>;

CreateOptions smallest_engine() {
  CreateOptions options = small_engine();
  options.capacity = 64;
  return options;
}

/// As an engine's keeper would have made it.
void add_journal_files(const ScratchPlace& place) {
  for (const char* name : {"0000.segment", "0001.segment", "damaged-1-4096"}) {
    must(write_file_durably(place.directory() / "journal" / name, "x", 0600));
  }
}

Result<void> create_in(const ScratchPlace& place) {
  return Engine::create(place.directory(), place.here(smallest_engine()));
}

std::function<void()> creation_in(const ScratchPlace& place) {
  return [&place] {
    ringmill_step_begin();
    const bool made = create_in(place).has_value();
    ringmill_step_end();
    if (!made) ::_exit(1);
  };
}

Names names_in(const std::filesystem::path& directory) {
  Names names;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

/// Calls `look(place, process, n)` with a creation that stands after its n-th system call, for every n that it has.
void after_each_call_of_a_creation(
    const std::function<void(const ScratchPlace&, SteppedProcess&, std::uint64_t)>& look) {
  std::uint64_t n = 0;
  for (State state = State::between; state == State::between; ++n) {
    const ScratchPlace place;
    SteppedProcess creator(creation_in(place));
    creator.run_to_begin();
    state = creator.step_calls(n);
    ASSERT_TRUE(state == State::between || state == State::at_end) << "call " << n << ": " << creator.ending();
    look(place, creator, n);
    if (testing::Test::HasFailure()) break;
  }
  EXPECT_GT(n, 30U) << "a creation has more calls than that: this test has seen nothing";
}

TEST(KilledCreation, leaves_nothing_after_remove) {
  after_each_call_of_a_creation([](const ScratchPlace& place, SteppedProcess& creator, std::uint64_t n) {
    creator.kill();
    const auto removed = Engine::remove(place.directory());
    EXPECT_TRUE(removed || removed.error().code() == ErrorCode::not_found) << n << ": " << removed.error().message();
    EXPECT_EQ(place.shm_names(), Names{}) << n;
    EXPECT_EQ(names_in(place.directory()), Names{}) << n;
  });
}

TEST(KilledCreation, leaves_nothing_that_the_next_one_minds) {
  after_each_call_of_a_creation([](const ScratchPlace& place, SteppedProcess& creator, std::uint64_t n) {
    creator.kill();
    const auto next = create_in(place);
    EXPECT_TRUE(next || next.error().code() == ErrorCode::already_exists) << n << ": " << next.error().message();
    EXPECT_TRUE(Engine::open(place.directory(), without_keeper).has_value()) << n;
    EXPECT_EQ(place.shm_names().size(), 1U) << n;
  });
}

TEST(KilledCreation, leaves_what_a_user_put_beside_it_to_the_user) {
  after_each_call_of_a_creation([](const ScratchPlace& place, SteppedProcess& creator, std::uint64_t n) {
    creator.kill();
    if (!std::filesystem::exists(place.directory())) return;
    must(write_file_durably(place.directory() / "letter.new", "mine", 0600));
    static_cast<void>(Engine::remove(place.directory()));
    EXPECT_EQ(place.shm_names(), Names{}) << n;
    Names names = names_in(place.directory());
    // A file `lock` and nothing else that we know: it may belong to another program.
    if (names.size() == 2) std::erase(names, "lock");
    EXPECT_EQ(names, Names{"letter.new"}) << n;
  });
}

/// The creator has let go of the lock: this is a whole engine, and may be removed.
bool is_over(const ScratchPlace& place) {
  const auto locks = open_file(place.directory() / "lock", O_RDWR);
  return locks && std::filesystem::exists(place.directory() / "engine.json") &&
         !is_byte_locked_by_other(*locks, structure_lock_byte);
}

TEST(RunningCreation, is_left_alone_by_remove) {
  after_each_call_of_a_creation([](const ScratchPlace& place, SteppedProcess& creator, std::uint64_t n) {
    if (is_over(place)) return;
    static_cast<void>(Engine::remove(place.directory()));
    if (creator.run_to_end() == State::at_end) creator.let_go();
    EXPECT_TRUE(creator.ended_well()) << n << ": " << creator.ending();
    EXPECT_TRUE(Engine::open(place.directory(), without_keeper).has_value()) << n;
    EXPECT_EQ(place.shm_names().size(), 1U) << n;
  });
}

TEST(RunningCreation, is_busy_for_remove) {
  bool was_busy = false;
  after_each_call_of_a_creation([&was_busy](const ScratchPlace& place, SteppedProcess&, std::uint64_t n) {
    if (place.shm_names().empty() || is_over(place)) return;
    EXPECT_EQ(code_of(Engine::remove(place.directory(), true)), ErrorCode::busy) << n;
    was_busy = true;
  });
  EXPECT_TRUE(was_busy);
}

/// Calls `look` after each call of a removal, whose process is killed there.
void after_each_call_of_a_removal(const std::function<void(const ScratchPlace&, std::uint64_t)>& look) {
  std::uint64_t n = 0;
  for (State state = State::between; state == State::between; ++n) {
    const ScratchPlace place;
    must(create_in(place));
    add_journal_files(place);
    SteppedProcess remover([&place] {
      ringmill_step_begin();
      static_cast<void>(Engine::remove(place.directory()));
      ringmill_step_end();
    });
    remover.run_to_begin();
    state = remover.step_calls(n);
    ASSERT_TRUE(state == State::between || state == State::at_end) << "call " << n << ": " << remover.ending();
    remover.kill();
    look(place, n);
    if (testing::Test::HasFailure()) break;
  }
  EXPECT_GT(n, 20U) << "a removal has more calls than that: this test has seen nothing";
}

TEST(KilledRemoval, leaves_nothing_after_another_one) {
  after_each_call_of_a_removal([](const ScratchPlace& place, std::uint64_t n) {
    const auto removed = Engine::remove(place.directory());
    EXPECT_TRUE(removed || removed.error().code() == ErrorCode::not_found) << n << ": " << removed.error().message();
    ASSERT_EQ(place.shm_names(), Names{}) << n;
    ASSERT_EQ(names_in(place.directory()), Names{}) << n;
  });
}

TEST(KilledRemoval, leaves_no_journal_to_the_next_engine) {
  after_each_call_of_a_removal([](const ScratchPlace& place, std::uint64_t n) {
    const auto made = create_in(place);
    if (!made && made.error().code() == ErrorCode::already_exists) return;  // the removal had not got that far
    must(made);
    ASSERT_EQ(names_in(place.directory() / "journal"), Names{}) << n;
  });
}

TEST(Creation, together_with_removals_leaves_no_segment_behind) {
  const std::uint64_t seed = printed_seed();
  const ScratchPlace place;
  std::vector<std::unique_ptr<Child>> children;
  for (std::uint64_t n = 0; n < 4; ++n) {
    children.push_back(std::make_unique<Child>([&place, n, seed] {
      std::mt19937_64 random(seed + n);
      for (int round = 0; round < 100; ++round) {
        if (random() % 2 == 0)
          static_cast<void>(create_in(place));
        else
          static_cast<void>(Engine::remove(place.directory(), true));
      }
      return 0;
    }));
  }
  for (const auto& child : children) EXPECT_EQ(child->wait(), 0);
  static_cast<void>(Engine::remove(place.directory()));
  EXPECT_EQ(place.shm_names(), Names{});
  EXPECT_EQ(names_in(place.directory()), Names{});
}

/// A directory as a killed creation leaves it, made by killing one.
struct HalfMade {
  ScratchPlace place;
  HalfMade() {
    SteppedProcess creator(creation_in(place));
    creator.run_to_begin();
    while (creator.step_calls(1) == State::between && place.shm_names().empty()) {
    }
    creator.kill();
  }
};

TEST(HalfMade, is_no_engine_for_open) {
  const HalfMade half;
  EXPECT_EQ(code_of(Engine::open(half.place.directory(), without_keeper)), ErrorCode::not_found);
}

TEST(HalfMade, gets_the_mode_that_the_next_creation_asks_for) {
  const HalfMade half;
  CreateOptions options = half.place.here(smallest_engine());
  options.mode = 0750;
  must(Engine::create(half.place.directory(), options));
  EXPECT_EQ(std::filesystem::status(half.place.directory()).permissions(), std::filesystem::perms{0750});
}

TEST(HalfMade, a_copy_of_it_does_not_take_the_segment_of_the_first_along) {
  const HalfMade half;
  const ScratchFolder elsewhere;
  std::filesystem::copy(half.place.directory(), elsewhere.path() / "copy");
  must(Engine::remove(elsewhere.path() / "copy"));
  EXPECT_EQ(half.place.shm_names().size(), 1U);
}

TEST(HalfMade, a_file_that_is_no_segment_is_not_removed_whatever_the_note_says) {
  const HalfMade half;
  const ScratchFolder elsewhere;
  const auto precious = elsewhere.path() / "ringmill-precious";
  must(write_file_durably(precious, "mine", 0600));
  std::string note = must(read_file(half.place.directory() / "creating"));
  note.replace(0, note.find('\n'), precious.string());
  must(write_file_durably(half.place.directory() / "creating", note, 0600));
  must(Engine::remove(half.place.directory()));
  EXPECT_TRUE(std::filesystem::exists(precious));
}

TEST(HalfMade, a_half_made_segment_of_another_user_stays_and_stops_no_removal) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const HalfMade half;
  const auto segment = half.place.shm_dir() / half.place.shm_names().at(0);
  ASSERT_EQ(::chown(segment.c_str(), 12345, 12345), 0);
  must(Engine::remove(half.place.directory()));
  EXPECT_EQ(half.place.shm_names(), Names{segment.filename()});
  EXPECT_FALSE(std::filesystem::exists(half.place.directory()));
}

TEST(HalfMade, a_folder_with_nothing_but_a_users_file_named_lock_is_no_engine) {
  const ScratchPlace place;
  std::filesystem::create_directory(place.directory());
  must(write_file_durably(place.directory() / "lock", "mine", 0600));
  EXPECT_EQ(code_of(Engine::remove(place.directory())), ErrorCode::not_found);
  EXPECT_EQ(must(read_file(place.directory() / "lock")), "mine");
}

}  // namespace
}  // namespace ringmill::test
