// The cells of a round: those whose marks were taken, as bits beside the marks (ipc/journal_marks.h).
//
// A cell waits from the moment that its mark is taken until its visit has ended. It may be put off meanwhile: then its
// visit comes behind those of the others. The note of a cell that was pending when this journal thread began is not
// believed before the cell was written once: the note may speak of a block that never came.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "ipc/journal_marks.h"
#include "ipc/state_word.h"

namespace ringmill {

class RoundCells {
 public:
  /// Takes the cells that a former journal thread has left pending.
  explicit RoundCells(JournalMarks marks)
      : marks_(marks), waiting_(marks.words(), 0), disbelief_(marks.words(), 0), put_off_(marks.words(), 0) {
    marks_.for_each_word([this](std::uint32_t word) {
      disbelief_[word] = marks_.pending(word);
      if (disbelief_[word] != 0) take(word, disbelief_[word]);
    });
  }

  /// marks.J2 and marks.J3 for all marks.
  void take_marks() {
    marks_.for_each_word([this](std::uint32_t word) {
      if (const std::uint64_t bits = marks_.take(word); bits != 0) take(word, bits);
    });
  }

  /// The first word of the maps with cells that were not visited yet; nothing: there is none. Words are in the order in
  /// which their first cells were taken.
  std::optional<std::uint32_t> word() const noexcept {
    return next_word_ < words_.size() ? std::optional(words_[next_word_]) : std::nullopt;
  }
  void end_word() noexcept {
    if (++next_word_ < words_.size()) return;
    words_.clear();
    next_word_ = 0;
  }
  bool is_empty() const noexcept { return words_.empty(); }
  /// The cells of a word whose turn it is.
  std::uint64_t to_visit(std::uint32_t word) const noexcept { return waiting_[word] & ~put_off_[word]; }

  bool is_waiting(CellIndex index) const noexcept { return is_set(waiting_, index); }
  /// Cells of a word that are still to be visited: in this round, or in the next because their marks are set.
  std::uint64_t waiting_or_marked(std::uint32_t word) const noexcept { return waiting_[word] | marks_.marked(word); }
  void end_visit(CellIndex index) noexcept {
    clear(waiting_, index);
    clear(put_off_, index);
    clear(disbelief_, index);
  }

  void put_off(CellIndex index) noexcept { put_off_[JournalMarks::word_of(index)] |= JournalMarks::bit_of(index); }
  /// A cell that was put off takes part in the next round as others do.
  void take_up(CellIndex index) {
    clear(put_off_, index);
    words_.push_back(JournalMarks::word_of(index));
  }

  bool believes_note(CellIndex index) const noexcept { return !is_set(disbelief_, index); }
  /// All of the cell was written, and its note with it.
  void believe_note(CellIndex index) noexcept { clear(disbelief_, index); }

 private:
  using Bits = std::vector<std::uint64_t>;
  static bool is_set(const Bits& bits, CellIndex index) noexcept {
    return (bits[JournalMarks::word_of(index)] & JournalMarks::bit_of(index)) != 0;
  }
  static void clear(Bits& bits, CellIndex index) noexcept {
    bits[JournalMarks::word_of(index)] &= ~JournalMarks::bit_of(index);
  }
  void take(std::uint32_t word, std::uint64_t bits) {
    if (to_visit(word) == 0) words_.push_back(word);
    waiting_[word] |= bits;
  }

  JournalMarks marks_;
  Bits waiting_;                      // taken, and not visited to the end
  Bits disbelief_;                    // pending from a former journal thread's time
  Bits put_off_;                      // of waiting_: those whose turn comes later
  std::vector<std::uint32_t> words_;  // with cells to visit; those before next_word_ are done
  std::size_t next_word_ = 0;
};

}  // namespace ringmill
