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

  /// The cells of the lowest word that has any. Empty bits: nothing is listed.
  Taken take() noexcept {
    const std::uint32_t summary_count = (word_count_ + 63) / 64;
    for (std::uint32_t s = 0; s < summary_count; ++s) {
      // ORDER relaxed: a hint; the exchange below decides.
      std::uint64_t candidates = summary_[s].load(std::memory_order_relaxed);
      while (candidates != 0) {
        const std::uint32_t word = s * 64 + static_cast<std::uint32_t>(std::countr_zero(candidates));
        candidates &= candidates - 1;
        if (word >= word_count_) break;
        const std::uint64_t bits = words_[word].exchange(0);  // free.T1
        mark_empty(word);
        if (bits != 0) return {bits, word * 64};
      }
    }
    return {};
  }

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
