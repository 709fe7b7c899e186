// Where producers look for free cells: one bit per cell, in words of 64, with one summary bit per word.
//
// A set bit is a hint that the cell is free; the cell's own state word decides. Taking clears a whole word at once, so
// that 64 cells cost one atomic operation; putting back sets the bit after the cell's word has become free. Words are
// taken from the lowest index up: the cells in use stay few and warm (docs/decisions/0004 has the measurement against
// oldest-first).
//
//                                                        killed just after the step
//   free.T1  summary bit set? take the word by exchange  free and listed nowhere: the keeper's scan lists them
//   free.T2  word empty now: clear the summary bit       a put may have come between: T3 was needed
//   free.T3  look again, set the summary bit if not empty
//   free.F1  set the cell's bit                          the summary bit may be missing: the keeper's scan sets it
//   free.F2  word was empty before: set the summary bit
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>

#include "ipc/layout.h"

namespace ringmill {

class FreeMap {
 public:
  struct Taken {
    std::uint64_t bits = 0;  // cells first_cell + n for each bit n
    std::uint32_t first_cell = 0;
  };

  FreeMap() noexcept = default;
  FreeMap(std::atomic<std::uint64_t>* words, std::atomic<std::uint64_t>* summary, std::uint32_t cell_count) noexcept
      : words_(words), summary_(summary), word_count_(cell_count / 64) {}

  static constexpr std::uint32_t summary_words(std::uint32_t cell_count) noexcept {
    return (cell_count / 64 + 63) / 64;
  }

  /// The cells of the lowest word that has any, of the words that hold the cells first_cell .. end_cell - 1 (multiples
  /// of 64). Empty bits: nothing is listed there.
  Taken take(std::uint32_t first_cell, std::uint32_t end_cell) noexcept {
    const std::uint32_t first = first_cell / 64;
    const std::uint32_t end = std::min(end_cell / 64, word_count_);
    for (std::uint32_t s = first / 64; s * 64 < end; ++s) {
      std::uint64_t candidates = summary_of(s, first, end);
      while (candidates != 0) {
        const std::uint32_t word = s * 64 + static_cast<std::uint32_t>(std::countr_zero(candidates));
        candidates &= candidates - 1;
        const std::uint64_t bits = words_[word].exchange(0);  // free.T1
        mark_empty(word);
        if (bits != 0) return {bits, word * 64};
      }
    }
    return {};
  }
  /// The cells of the lowest word of all that has any.
  Taken take() noexcept { return take(0, word_count_ * 64); }

  /// How many of the cells first_cell .. end_cell - 1 (multiples of 64) are listed, `most` at most. From the top down:
  /// cells are taken from the lowest up, so in an engine that is not nearly full the first words looked at have them
  /// all. Exact if no other participant takes or lists cells meanwhile.
  std::uint32_t count(std::uint32_t first_cell, std::uint32_t end_cell, std::uint32_t most) const noexcept {
    const std::uint32_t first = first_cell / 64;
    const std::uint32_t end = std::min(end_cell / 64, word_count_);
    std::uint32_t found = 0;
    for (std::uint32_t s = (end + 63) / 64; s-- > first / 64 && found < most;) {
      std::uint64_t candidates = summary_of(s, first, end);
      while (candidates != 0 && found < most) {
        const std::uint32_t bit = 63 - static_cast<std::uint32_t>(std::countl_zero(candidates));
        candidates &= ~(std::uint64_t{1} << bit);
        const std::uint64_t bits = words_[s * 64 + bit].load();
        // Most words have all: without a machine's own instruction a count costs ten times the comparison.
        found += bits == ~std::uint64_t{0} ? 64 : static_cast<std::uint32_t>(std::popcount(bits));
      }
    }
    return std::min(found, most);
  }
  std::uint32_t count(std::uint32_t end_cell, std::uint32_t most) const noexcept { return count(0, end_cell, most); }

  /// Lists cells of one word: `bits` as in Taken.
  void put(std::uint32_t first_cell, std::uint64_t bits) noexcept {
    const std::uint32_t word = first_cell / 64;
    if (word >= word_count_ || bits == 0) return;
    const std::uint64_t before = words_[word].fetch_or(bits);                        // free.F1
    if (before == 0) summary_[word / 64].fetch_or(std::uint64_t{1} << (word % 64));  // free.F2
  }

  /// Lists one cell.
  void put_cell(std::uint32_t cell) noexcept { put(cell & ~std::uint32_t{63}, std::uint64_t{1} << (cell % 64)); }

  /// True when the cell's bit is set. One moment's view, for the keeper's scan and for inspection.
  bool lists(std::uint32_t cell) const noexcept {
    return (words_[cell / 64].load(std::memory_order_relaxed) >> (cell % 64) & 1) != 0;  // ORDER relaxed: a hint
  }
  std::uint64_t word(std::uint32_t index) const noexcept {
    return words_[index].load(std::memory_order_relaxed);  // ORDER relaxed: a hint
  }

  /// Sets the summary bit of a word that has bits: repairs a death between F1 and F2.
  void repair_summary(std::uint32_t word) noexcept {
    if (words_[word].load() == 0) return;
    const std::uint64_t bit = std::uint64_t{1} << (word % 64);
    if ((summary_[word / 64].load() & bit) == 0) summary_[word / 64].fetch_or(bit);
  }

 private:
  /// The summary bits of the words `first` .. `end` - 1 among those that summary word `s` stands for.
  std::uint64_t summary_of(std::uint32_t s, std::uint32_t first, std::uint32_t end) const noexcept {
    std::uint64_t bits = summary_[s].load(std::memory_order_relaxed);  // ORDER relaxed: a hint; the words decide
    if (s * 64 < first) bits &= ~std::uint64_t{0} << (first - s * 64);
    if (end < s * 64 + 64) bits &= ~std::uint64_t{0} >> (s * 64 + 64 - end);
    return bits;
  }
  void mark_empty(std::uint32_t word) noexcept {
    const std::uint64_t bit = std::uint64_t{1} << (word % 64);
    summary_[word / 64].fetch_and(~bit);                              // free.T2
    if (words_[word].load() != 0) summary_[word / 64].fetch_or(bit);  // free.T3
  }

  std::atomic<std::uint64_t>* words_ = nullptr;
  std::atomic<std::uint64_t>* summary_ = nullptr;
  std::uint32_t word_count_ = 0;
};

}  // namespace ringmill
