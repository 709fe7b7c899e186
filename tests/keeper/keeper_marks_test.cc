// The marks for the keeper and their summary (ipc/keeper_marks.h).
#include <atomic>
#include <cstdint>
#include <map>
#include <thread>

#include <gtest/gtest.h>

#include "ipc/keeper_marks.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"

namespace ringmill::test {
namespace {

std::map<std::uint32_t, std::uint64_t> taken(KeeperMarks marks) {
  std::map<std::uint32_t, std::uint64_t> words;
  marks.take_all([&words](std::uint32_t first, std::uint64_t bits) { words[first] |= bits; });
  return words;
}

/// An engine whose keeper is the test.
struct MarksRig {
  World world{small_engine()};
  Inside inside{world.scratch};
  KeeperMarks marks = inside.segment().keeper_marks();
};

TEST(KeeperMarksInProcess, a_pass_gives_each_marked_word_once) {
  MarksRig rig;
  static_cast<void>(rig.marks.call(3));
  static_cast<void>(rig.marks.call(5));
  static_cast<void>(rig.marks.call(130));
  EXPECT_EQ(taken(rig.marks), (std::map<std::uint32_t, std::uint64_t>{{0, 0b101000}, {128, 0b100}}));
  EXPECT_TRUE(taken(rig.marks).empty());
  static_cast<void>(rig.marks.call(3));
  EXPECT_EQ(taken(rig.marks), (std::map<std::uint32_t, std::uint64_t>{{0, 0b1000}}));
}

TEST(KeeperMarksInProcess, a_scan_finds_the_marks_that_a_dead_keeper_has_left) {
  MarksRig rig;
  static_cast<void>(rig.marks.call(3));
  // A keeper died after it had cleared the summary, before it took the word.
  auto& summary = *reinterpret_cast<std::atomic<std::uint64_t>*>(
      reinterpret_cast<std::byte*>(&rig.inside.segment().header()) + rig.inside.segment().geometry().keeper_summary);
  summary.store(0);
  EXPECT_TRUE(taken(rig.marks).empty());
  rig.inside.scan();
  static_cast<void>(rig.marks.call());
  EXPECT_EQ(taken(rig.marks), (std::map<std::uint32_t, std::uint64_t>{{0, 0b1000}}));
}

TEST(KeeperMarksInProcess, no_mark_is_missed_while_passes_go_on) {
  MarksRig rig;
  constexpr int rounds = 20'000;
  std::atomic<int> marked{0};
  std::atomic<int> seen{0};
  std::atomic<bool> is_missed{false};
  std::thread marker([&] {
    for (int round = 1; round <= rounds && !is_missed.load(); ++round) {
      static_cast<void>(rig.marks.call(static_cast<std::uint32_t>(round) % 192));
      marked.store(round);
      while (seen.load() < round && !is_missed.load()) std::this_thread::yield();
    }
  });
  for (int round = 1; round <= rounds && !is_missed.load(); ++round) {
    // Passes run into the mark. One that begins after it must have found it.
    bool is_found = false;
    while (!is_found && !is_missed.load()) {
      const bool was_marked = marked.load() == round;
      rig.marks.take_all([&is_found](std::uint32_t, std::uint64_t) { is_found = true; });
      if (was_marked && !is_found) is_missed.store(true);
    }
    seen.store(round);
  }
  marker.join();
  EXPECT_FALSE(is_missed.load());
}

}  // namespace
}  // namespace ringmill::test
