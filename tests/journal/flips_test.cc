// Bits that change in a journal, and journals that many keepers have left.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "tests/journal/hand_written.h"
#include "tests/journal/random_journal.h"
#include "tests/support/must.h"
#include "tests/support/random.h"

namespace ringmill::test {
namespace {

/// Served lines are some of those that were written, in their order: nothing new, nothing changed.
bool is_part_of(const std::vector<std::string>& lines, const std::vector<std::string>& whole) {
  auto at = whole.begin();
  for (const std::string& line : lines) {
    at = std::find(at, whole.end(), line);
    if (at++ == whole.end()) return false;
  }
  return true;
}

/// Returns how what a reader found differs from what it should have found: for the failure message.
std::string difference(const Read& read, const std::vector<std::string>& before,
                       const std::vector<std::string>& whole) {
  std::string text;
  const auto name_those = [&text](std::string_view what, const std::vector<std::string>& lines,
                                  const std::vector<std::string>& other) {
    for (const std::string& line : lines) {
      if (std::ranges::find(other, line) == other.end()) text += fmt::format("\n  {}: {}", what, line);
    }
  };
  name_those("served, never lawful", read.lines, whole);
  name_those("gone", before, read.lines);
  for (const JournalDamage& damage : read.report.damage) {
    text += fmt::format("\n  damage: segment {}, offset {}, {} bytes, {}", damage.segment, damage.offset, damage.bytes,
                        damage.reason);
  }
  if (const auto& tail = read.report.torn_tail) {
    text += fmt::format("\n  torn: segment {}, offset {}", tail->segment, tail->offset);
  }
  return text;
}

/// What a flip may do: nothing at all, or it is seen, and what is served was written. `whole` is what ever was, in its
/// order: a flip in the last block may bring back a segment that this block had retired. `left`: see before_newest().
void expect_harmless_or_seen(HandWritten& journal, const Read& before, const std::vector<std::string>& whole,
                             const std::vector<std::string>& left, const std::string& where) {
  const auto read = read_all(journal.device);
  ASSERT_TRUE(read) << where << ": " << read.error().message();
  if (read->lines == before.lines) return;
  // Nothing but its head shows that an empty newest segment was begun.
  std::vector<std::string> with_left = before.lines;
  with_left.insert(with_left.end(), left.begin(), left.end());
  if (read->lines == with_left) return;
  const auto end_of = [](const JournalReport& report) {
    return report.torn_tail ? std::pair(report.torn_tail->segment, report.torn_tail->offset)
                            : std::pair<std::uint64_t, std::uint64_t>();
  };
  const bool torn_here = read->report.torn_tail && end_of(read->report) != end_of(before.report);
  ASSERT_TRUE(!read->report.damage.empty() || torn_here)
      << where << ": lost in silence" << difference(*read, before.lines, whole);
  ASSERT_TRUE(is_part_of(read->lines, whole)) << where << ": served wrong" << difference(*read, before.lines, whole);
}

/// Of two segments, the second begun by another keeper; the first file has been used before.
HandWritten small_journal() {
  HandWritten journal;
  journal.segment_bytes = 6 * journal_unit;
  journal.begin(0);
  for (std::uint64_t id = 100; id < 105; ++id) journal.job(id);
  journal.begin(1);
  journal.job(1);
  journal.oldest = journal.oldest_in_head = 2;
  journal.jobs({2, 3}, 900);
  journal.begin(0);
  journal.block_of([](BlockBuilder& builder) {
    builder.append_kind(7, "mail");
    builder.append_ended(JobId(3));
    builder.append_attempts(JobId(2), 4);
  });
  journal.take_over(journal.number);
  journal.job(4);
  journal.job(5);
  return journal;
}

TEST(JournalFlipsInProcess, every_single_bit_flip_is_seen_or_changes_nothing) {
  HandWritten journal = small_journal();
  const Read before = must(read_all(journal.device));
  ASSERT_EQ(before.lines.size(), 8U);
  ASSERT_TRUE(before.report.damage.empty());
#ifdef __SANITIZE_ADDRESS__
  constexpr std::uint64_t step = 7;
#else
  constexpr std::uint64_t step = 1;
#endif
  for (auto& [slot, file] : journal.device.files) {
    for (std::uint64_t bit = 0; bit < file.size() * 8; bit += step) {
      file[bit / 8] ^= std::byte{static_cast<unsigned char>(1U << bit % 8)};
      expect_harmless_or_seen(journal, before, before.lines, {},
                              fmt::format("slot {}, byte {}, bit {}", slot, bit / 8, bit % 8));
      if (testing::Test::HasFatalFailure()) return;
      file[bit / 8] ^= std::byte{static_cast<unsigned char>(1U << bit % 8)};
    }
  }
}

TEST(JournalFlipsInProcess, every_flip_in_a_block_that_was_known_durable_is_damage) {
  HandWritten journal = small_journal();
  const std::uint64_t end = journal.offset - journal_unit;  // the last block is not known durable
  auto& file = journal.file();
  for (std::uint64_t byte = journal_unit; byte < end; byte += 3) {
    file[byte] ^= std::byte{0x10};
    ASSERT_FALSE(must(read_all(journal.device)).report.damage.empty()) << byte;
    file[byte] ^= std::byte{0x10};
  }
}

TEST(JournalFlipsInProcess, random_flips_in_journals_of_many_keepers_are_seen_or_change_nothing) {
  const std::uint64_t seed = printed_seed();
  for (std::uint64_t n = 0; n < 40; ++n) {
    RandomJournal journal(seed + n);
    const Read before = must(read_all(journal.written.device));
    std::vector<std::string> whole;
    for (const auto& block : journal.chain()) whole.insert(whole.end(), block.lines.begin(), block.lines.end());
    for (int flips = 0; flips < 40; ++flips) {
      // In what counts, most of the time.
      auto picked = journal.written.device.files.begin();
      std::advance(picked, static_cast<std::ptrdiff_t>(journal.random() % journal.written.device.files.size()));
      const std::uint64_t at = journal.random() % picked->second.size();
      std::byte& byte = picked->second[at];
      const std::byte was = byte;
      byte ^= std::byte{static_cast<unsigned char>(1U << journal.random() % 8)};
      expect_harmless_or_seen(journal.written, before, whole, journal.before_newest(),
                              fmt::format("journal {}, slot {}, byte {}", seed + n, picked->first, at));
      if (testing::Test::HasFatalFailure()) return;
      byte = was;
    }
  }
}

TEST(RandomJournalInProcess, what_many_keepers_left_is_read_as_it_was_written) {
  const std::uint64_t seed = printed_seed();
  for (std::uint64_t n = 0; n < 1000; ++n) {
    RandomJournal journal(seed + n);
    const Read read = must(read_all(journal.written.device));
    ASSERT_EQ(read.lines, journal.expected()) << seed + n;
    ASSERT_TRUE(read.report.damage.empty()) << seed + n << " " << read.report.damage[0].reason;
  }
}

TEST(RandomJournalInProcess, what_is_read_of_a_harmed_journal_was_written_once) {
  const std::uint64_t seed = printed_seed();
  for (std::uint64_t n = 0; n < 1000; ++n) {
    RandomJournal journal(seed + n);
    journal.harm();
    const Read read = must(read_all(journal.written.device));
    for (const std::string& line : read.lines) ASSERT_TRUE(journal.ever().contains(line)) << seed + n << ": " << line;
  }
}

}  // namespace
}  // namespace ringmill::test
