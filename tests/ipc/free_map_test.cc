// The free map: what is put is taken once, and a death between its two steps is repaired.
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "ipc/free_map.h"

namespace ringmill::test {
namespace {

constexpr std::uint32_t cell_count = 64 * 130;  // three words of summary, the last one short

struct FreeMapRig {
  std::array<std::atomic<std::uint64_t>, cell_count / 64> words{};
  std::array<std::atomic<std::uint64_t>, FreeMap::summary_words(cell_count)> summary{};

  FreeMap view() { return FreeMap(words.data(), summary.data(), cell_count); }
};

TEST(FreeMapInProcess, an_empty_map_has_nothing_to_take) {
  FreeMapRig rig;
  EXPECT_EQ(rig.view().take().bits, 0U);
}

TEST(FreeMapInProcess, a_cell_that_was_put_is_taken_once) {
  FreeMapRig rig;
  FreeMap map = rig.view();
  map.put(64 * 129, 1U << 5);
  const FreeMap::Taken taken = map.take();
  EXPECT_EQ(taken.first_cell, 64U * 129);
  EXPECT_EQ(taken.bits, 1U << 5);
  EXPECT_EQ(map.take().bits, 0U);
}

TEST(FreeMapInProcess, the_lowest_word_is_taken_first) {
  FreeMapRig rig;
  FreeMap map = rig.view();
  map.put(64 * 100, 1);
  map.put(64 * 3, 2);
  EXPECT_EQ(map.take().first_cell, 64U * 3);
  EXPECT_EQ(map.take().first_cell, 64U * 100);
}

TEST(FreeMapInProcess, a_cell_beyond_the_end_is_not_put) {
  FreeMapRig rig;
  FreeMap map = rig.view();
  map.put(cell_count, ~std::uint64_t{0});
  map.put(~std::uint32_t{0}, ~std::uint64_t{0});
  EXPECT_EQ(map.take().bits, 0U);
}

TEST(FreeMapInProcess, a_summary_bit_beyond_the_end_is_passed_over) {
  FreeMapRig rig;
  for (auto& word : rig.summary) word.store(~std::uint64_t{0});
  EXPECT_EQ(rig.view().take().bits, 0U);
}

TEST(FreeMapInProcess, a_word_that_lost_its_summary_bit_is_found_again_after_the_repair) {
  FreeMapRig rig;
  FreeMap map = rig.view();
  rig.words[77].store(9);  // killed between free.F1 and free.F2
  ASSERT_EQ(map.take().bits, 0U);
  map.repair_summary(77);
  EXPECT_EQ(map.take().bits, 9U);
}

TEST(FreeMapInProcess, the_repair_of_an_empty_word_sets_no_bit) {
  FreeMapRig rig;
  rig.view().repair_summary(77);
  EXPECT_EQ(rig.summary[1].load(), 0U);
}

TEST(FreeMapInProcess, no_cell_is_lost_or_doubled_between_threads) {
  FreeMapRig rig;
  for (std::uint32_t cell = 0; cell < cell_count; cell += 64) rig.view().put(cell, ~std::uint64_t{0});
  std::vector<std::atomic<int>> owners(cell_count);
  std::atomic<int> doubled{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      FreeMap map = rig.view();
      for (int round = 0; round < 4000; ++round) {
        const FreeMap::Taken taken = map.take();
        for (std::uint64_t bits = taken.bits; bits != 0; bits &= bits - 1) {
          auto& owner = owners[taken.first_cell + static_cast<std::uint32_t>(std::countr_zero(bits))];
          if (owner.fetch_add(1) != 0) doubled.fetch_add(1);
        }
        for (std::uint64_t bits = taken.bits; bits != 0; bits &= bits - 1)
          owners[taken.first_cell + static_cast<std::uint32_t>(std::countr_zero(bits))].fetch_sub(1);
        map.put(taken.first_cell, taken.bits & 0xffffffff);
        map.put(taken.first_cell, taken.bits & ~std::uint64_t{0xffffffff});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(doubled.load(), 0);
  int left = 0;
  FreeMap map = rig.view();
  for (FreeMap::Taken taken = map.take(); taken.bits != 0; taken = map.take()) left += std::popcount(taken.bits);
  EXPECT_EQ(left, static_cast<int>(cell_count));
}

/// All threads at one word: a put comes between the taking of the word (free.T1) and the clearing of its summary bit
/// (free.T2).
TEST(FreeMapInProcess, a_put_into_a_word_that_is_being_taken_is_not_lost) {
  FreeMapRig rig;
  rig.view().put(0, ~std::uint64_t{0});
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&rig] {
      FreeMap map = rig.view();
      for (int round = 0; round < 50000; ++round) {
        for (std::uint64_t bits = map.take().bits; bits != 0; bits &= bits - 1) map.put(0, bits & (~bits + 1));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(rig.view().take().bits, ~std::uint64_t{0});
}

}  // namespace
}  // namespace ringmill::test
