// Names under fixed numbers: the same in all processes, also if one dies half-way.
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "ipc/name_table.h"

namespace ringmill::test {
namespace {

constexpr std::uint32_t room = 64;

struct NameTableRig {
  std::array<NameEntry, room> entries{};
  NameTable table() { return NameTable(entries.data(), room); }
  void write_words(std::uint32_t entry, std::string_view name, std::size_t words) {
    const NameWords encoded = encode_name(name);
    for (std::size_t n = 0; n < words; ++n) entries[entry].word[n].store(encoded[n]);
  }
};

TEST(NameTableInProcess, a_name_keeps_its_number) {
  NameTableRig rig;
  EXPECT_EQ(rig.table().intern("resize"), 0U);
  EXPECT_EQ(rig.table().intern("mail"), 1U);
  EXPECT_EQ(rig.table().intern("resize"), 0U);
}

TEST(NameTableInProcess, a_number_gives_its_name_back) {
  NameTableRig rig;
  const std::string longest(63, 'x');
  const auto number = rig.table().intern(longest);
  ASSERT_TRUE(number);
  EXPECT_EQ(rig.table().name_of(*number), longest);
  EXPECT_EQ(rig.table().find(longest), *number);
}

TEST(NameTableInProcess, a_placed_name_keeps_its_number_though_there_are_gaps_before_it) {
  NameTableRig rig;
  rig.table().place(5, "resize");
  EXPECT_EQ(rig.table().name_of(5), "resize");
  EXPECT_EQ(rig.table().intern("resize"), 5U);
}

TEST(NameTableInProcess, new_names_fill_the_gaps_between_placed_ones) {
  NameTableRig rig;
  rig.table().place(1, "resize");
  EXPECT_EQ(rig.table().intern("mail"), 0U);
  EXPECT_EQ(rig.table().intern("thumbnail"), 2U);
  EXPECT_EQ(rig.table().intern("resize"), 1U);
}

TEST(NameTableInProcess, names_that_begin_alike_have_their_own_numbers) {
  NameTableRig rig;
  std::set<std::uint32_t> numbers;
  for (const char* name : {"image", "image.resize", "image.resize.small", "imag"}) {
    numbers.insert(rig.table().intern(name).value());
  }
  EXPECT_EQ(numbers.size(), 4U);
}

TEST(NameTableInProcess, a_number_that_nobody_has_names_nothing) {
  NameTableRig rig;
  EXPECT_FALSE(rig.table().name_of(0).has_value());
  EXPECT_FALSE(rig.table().name_of(room).has_value());
  EXPECT_FALSE(rig.table().name_of(~std::uint32_t{0}).has_value());
}

TEST(NameTableInProcess, a_full_table_takes_no_further_name) {
  NameTableRig rig;
  for (std::uint32_t n = 0; n < room; ++n) ASSERT_TRUE(rig.table().intern("n" + std::to_string(n)));
  EXPECT_FALSE(rig.table().intern("one.more").has_value());
  EXPECT_EQ(rig.table().intern("n5"), 5U);
}

TEST(NameTableInProcess, a_half_written_entry_names_nothing) {
  NameTableRig rig;
  for (std::size_t words = 0; words < 8; ++words) {
    rig.write_words(0, "half", words);
    EXPECT_FALSE(rig.table().name_of(0).has_value()) << words << " words";
  }
}

TEST(NameTableInProcess, its_own_name_completes_a_half_written_entry) {
  for (std::size_t words = 0; words <= 8; ++words) {
    NameTableRig rig;
    rig.write_words(0, "half", words);
    EXPECT_EQ(rig.table().intern("half"), 0U);
    EXPECT_EQ(rig.table().name_of(0), "half");
  }
}

TEST(NameTableInProcess, another_name_is_not_mixed_into_a_half_written_entry) {
  for (std::size_t words = 1; words <= 8; ++words) {
    NameTableRig rig;
    rig.write_words(0, "half", words);
    EXPECT_EQ(rig.table().intern("other"), 1U);
    EXPECT_EQ(rig.table().name_of(1), "other");
  }
}

TEST(NameTableInProcess, a_corrupted_entry_names_nothing) {
  NameTableRig rig;
  for (auto& word : rig.entries[0].word) word.store(0x4141414141414141);
  EXPECT_FALSE(rig.table().name_of(0).has_value());
}

TEST(NameTableInProcess, many_threads_get_the_same_number_for_the_same_name) {
  NameTableRig rig;
  constexpr std::size_t names = 40;
  std::array<std::array<std::uint32_t, names>, 4> numbers{};
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < numbers.size(); ++thread) {
    threads.emplace_back([&, thread] {
      for (std::size_t n = 0; n < names; ++n) {
        const std::size_t name = (n * 7 + thread * 11) % names;
        numbers[thread][name] = rig.table().intern("common.beginning." + std::to_string(name)).value();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& of_thread : numbers) EXPECT_EQ(of_thread, numbers[0]);
  EXPECT_EQ(std::set<std::uint32_t>(numbers[0].begin(), numbers[0].end()).size(), names);
}

TEST(NamesInProcess, only_the_allowed_characters_and_lengths_are_valid) {
  EXPECT_TRUE(is_valid_name("a"));
  EXPECT_TRUE(is_valid_name(std::string(63, 'a')));
  EXPECT_TRUE(is_valid_name("Az09._:/-"));
  EXPECT_FALSE(is_valid_name(""));
  EXPECT_FALSE(is_valid_name(std::string(64, 'a')));
  EXPECT_FALSE(is_valid_name("with space"));
  EXPECT_FALSE(is_valid_name(std::string_view("zero\0", 5)));
  EXPECT_FALSE(is_valid_name("\xc3\xa4"));
}

}  // namespace
}  // namespace ringmill::test
