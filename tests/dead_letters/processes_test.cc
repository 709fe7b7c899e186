// The store between processes: killed around a commit, several at once, forked, stopped.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "tests/support/await.h"
#include "tests/support/child.h"
#include "tests/support/dead_letters.h"
#include "tests/support/random.h"
#include "tests/support/shared_block.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

/// What a child has done, seen by its parent after its death.
struct Progress {
  std::atomic<std::uint64_t> begun{0};
  std::atomic<std::uint64_t> acknowledged{0};
};

constexpr std::uint64_t batch = 20;

/// Buries batch after batch from number `first` on, until it is killed.
int bury_for_ever(const std::filesystem::path& directory, std::uint64_t first, Progress& progress) {
  auto store = open_store(directory);
  for (std::uint64_t next = first;; next += batch) {
    progress.begun.store(next + batch - 1);
    must(store.bury(letters_from_to(next, next + batch - 1)));
    progress.acknowledged.store(next + batch - 1);
  }
}

TEST(DeadLetterProcesses, a_burial_that_a_kill_cuts_is_there_whole_or_not_at_all_and_an_acknowledged_one_is_there) {
  const ScratchFolder folder;
  std::mt19937_64 random(printed_seed());
  const SharedBlock<Progress> progress;
  std::uint64_t present = 0;
  std::uint64_t cut = 0;
  for (int kills = 0; kills < 60; ++kills) {
    progress->begun.store(present);
    progress->acknowledged.store(present);
    Child child([&] { return bury_for_ever(folder.path(), present + 1, *progress); });
    const std::uint64_t goal = present + batch * (random() % 4);
    ASSERT_TRUE(await([&] { return progress->begun.load() > goal; }));
    ::usleep(static_cast<useconds_t>(random() % 2000));
    child.kill();
    // The next process opens at once, whatever the dead one held.
    const auto store = open_store(folder.path());
    const auto numbers = numbers_in(store);
    const std::uint64_t last = numbers.empty() ? 0 : numbers.back();
    ASSERT_EQ(numbers.size(), last) << "a letter is missing";
    ASSERT_EQ(last % batch, 0U) << "half a burial";
    ASSERT_GE(last, progress->acknowledged.load());
    ASSERT_LE(last, progress->begun.load());
    if (progress->begun.load() != progress->acknowledged.load()) ++cut;
    ASSERT_EQ(must(store.check()), std::vector<std::string>{});
    present = last;
  }
  EXPECT_GT(cut, 0U) << "no kill hit a burial: the test has tested nothing";
}

TEST(DeadLetterProcesses, several_that_make_and_fill_one_file_at_once_lose_nothing) {
  const ScratchFolder folder;
  std::vector<Child> children;
  for (std::uint64_t n = 0; n < 4; ++n) {
    children.emplace_back([&folder, n] {
      auto store = open_store(folder.path());
      // Each also buries the last ten of the one before: those must be there once.
      for (std::uint64_t next = 0; next < 300; next += 10) {
        const std::uint64_t first = n * 300 + next + 1;
        must(store.bury(letters_from_to(first > 10 ? first - 10 : first, first + 9)));
      }
      return 0;
    });
  }
  for (Child& child : children) EXPECT_EQ(child.wait(), 0);
  const auto store = open_store_to_read(folder.path());
  const auto numbers = numbers_in(store);
  EXPECT_EQ(numbers.size(), 1200U);
  EXPECT_EQ(std::set(numbers.begin(), numbers.end()).size(), 1200U);
  EXPECT_EQ(must(store.check()), std::vector<std::string>{});
}

TEST(DeadLetterProcesses, a_listing_goes_on_while_another_process_buries_and_sees_each_old_letter_once) {
  const ScratchFolder folder;
  must(open_store(folder.path()).bury(letters_from_to(1, 1000)));
  const SharedBlock<Progress> progress;
  Child child([&] { return bury_for_ever(folder.path(), 1001, *progress); });
  const auto store = open_store_to_read(folder.path());
  std::vector<std::uint64_t> seen;
  // One page waits for a burial: neither holds the other up.
  must(store.list({}, DeadLetterStore::Order::newest_first, [&](const DeadLetter& letter) {
    if (seen.empty()) {
      const std::uint64_t before = progress->acknowledged.load();
      EXPECT_TRUE(await([&] { return progress->acknowledged.load() > before; }));
    }
    const std::uint64_t number = letter.id.value() & 0xffffff;
    if (number <= 1000) seen.push_back(number);
    return true;
  }));
  EXPECT_EQ(seen.size(), 1000U);
  EXPECT_TRUE(std::ranges::is_sorted(seen, std::greater<>()));
}

TEST(DeadLetterProcesses, a_writer_that_waits_too_long_for_a_stopped_one_gets_busy_and_goes_on_when_that_one_is_dead) {
  const ScratchFolder folder;
  const SharedBlock<Progress> progress;
  Child child([&] { return bury_for_ever(folder.path(), 1, *progress); });
  ASSERT_TRUE(await([&] { return progress->acknowledged.load() != 0; }));
  auto store = must(DeadLetterStore::open(folder.path(), DeadLetterStore::Access::read_write, {}, 50ms));
  const auto busy = [&] {
    child.stop();
    const auto buried = store.bury({});
    if (!buried && buried.error().code() == ErrorCode::busy) return true;
    child.go_on();
    return false;
  };
  ASSERT_TRUE(await(busy)) << "never stopped inside of a transaction";
  EXPECT_NO_THROW(numbers_in(store));  // readers never wait
  child.kill();
  EXPECT_EQ(must(store.bury(letters_from_to(1'000'000, 1'000'000))), 1U);
}

TEST(DeadLetterProcesses, the_child_of_a_fork_is_told_and_does_its_parent_no_harm) {
  const ScratchFolder folder;
  auto store = open_store(folder.path());
  must(store.bury(letters_from_to(1, 10)));
  Child child([&] {
    const bool told =
        code_of(store.bury(letters_from_to(11, 11))) == ErrorCode::after_fork &&
        code_of(store.find(letter_of(1).id)) == ErrorCode::after_fork &&
        code_of(DeadLetterStore::open(folder.path(), DeadLetterStore::Access::read_only)) == ErrorCode::after_fork;
    { const auto gone = std::move(store); }
    return told ? 0 : 1;
  });
  EXPECT_EQ(child.wait(), 0);
  must(store.bury(letters_from_to(11, 20)));
  EXPECT_EQ(numbers_in(open_store_to_read(folder.path())).size(), 20U);
}

TEST(DeadLetterProcesses, one_process_at_a_time_retries_and_a_dead_one_blocks_no_other) {
  const ScratchEngine scratch;
  const SharedBlock<Progress> progress;
  Child child([&] {
    const auto own = open_store(scratch.directory());
    const auto lock = must(own.lock_retries());
    progress->begun.store(1);
    ::pause();
    return 0;
  });
  ASSERT_TRUE(await([&] { return progress->begun.load() == 1; }));
  const auto store = open_store(scratch.directory());
  EXPECT_EQ(code_of(store.lock_retries()), ErrorCode::busy);
  child.kill();
  EXPECT_TRUE(store.lock_retries().has_value());
}

}  // namespace
}  // namespace ringmill::test
