// The cells that the journal has to check: three bits per cell, in three maps.
//
//   participant                                           journal thread (one, of the keeper's process)
//   marks.M1  store the cell's word                       marks.J1  announce the round: round_started + 1
//   marks.M2  set the cell's bit in `changed` or `ended`  marks.J2  copy the bits of a word into `pending`
//   marks.M3  does it sleep? take the sign down, ring     marks.J3  clear just these bits
//   marks.M4  ticket: round_started + 1                   marks.J4  look at each cell, write what it says now
//                                                         marks.J5  all durable: clear in `pending`, publish the round
//
// No change is missed: M2 is a read-modify-write that releases M1, J3 one that acquires it, so the thread that clears a
// bit looks at a word at least as new as the one it stands for. A ticket is right: M2, M4, J1 and J3 are all seq_cst,
// so a round that begins after M4 finds the bit, or an earlier one has taken it. Killed after M1, before M2: the reaper
// of the participant sets the bit again (its lease slot or its placing list names the job). Killed after J2 or J3: the
// bit is in `pending`, and the next journal thread begins with these. Two maps for participants, because producers and
// workers walk through the cells at different places: with one map they would fight over its lines.
#pragma once

#include <atomic>
#include <cstdint>

#include "ipc/cell_chunks.h"
#include "ipc/layout.h"

namespace ringmill {

class JournalMarks {
 public:
  JournalMarks() noexcept = default;
  JournalMarks(std::atomic<std::uint64_t>* changed, std::atomic<std::uint64_t>* ended,
               std::atomic<std::uint64_t>* pending, const CellChunks& chunks) noexcept
      : changed_(changed), ended_(ended), pending_(pending), chunks_(chunks) {}

  std::uint32_t words() const noexcept { return chunks_.capacity() / 64; }
  /// Calls visit(word) for each word of cells that are there: no others have marks, but in a moment when their chunk is
  /// on its way (give.B3 to give.B5 of ipc/cell_chunks.h).
  template <class Visit>
  void for_each_word(Visit&& visit) const {
    chunks_.for_each([&visit](std::uint32_t first, std::uint32_t end) {
      for (std::uint32_t word = word_of(first); word < end / 64; ++word) visit(word);
    });
  }
  static constexpr std::uint32_t word_of(std::uint32_t index) noexcept { return index / 64; }
  static constexpr std::uint64_t bit_of(std::uint32_t index) noexcept { return std::uint64_t{1} << (index % 64); }

  /// M2. `bits` are of the cells 64 * word and following.
  void mark_changed(std::uint32_t word, std::uint64_t bits) noexcept { changed_[word].fetch_or(bits); }
  void mark_ended(std::uint32_t word, std::uint64_t bits) noexcept { ended_[word].fetch_or(bits); }

  /// J2 and J3: the marks of one word.
  std::uint64_t take(std::uint32_t word) noexcept {
    // ORDER relaxed: a bit that is not seen yet is taken by the next round; the clearing below acquires.
    const std::uint64_t changed = changed_[word].load(std::memory_order_relaxed);
    const std::uint64_t ended = ended_[word].load(std::memory_order_relaxed);
    if ((changed | ended) == 0) return 0;
    hold(word, changed | ended);                           // marks.J2
    if (changed != 0) changed_[word].fetch_and(~changed);  // marks.J3
    if (ended != 0) ended_[word].fetch_and(~ended);
    return changed | ended;
  }
  /// For checks: the journal will look at the cell, or is about to.
  bool is_marked(std::uint32_t index) const noexcept {
    const std::uint32_t word = word_of(index);
    return ((changed_[word].load() | ended_[word].load() | pending_[word].load()) & bit_of(index)) != 0;
  }
  /// Marks of one word that were not taken yet.
  std::uint64_t marked(std::uint32_t word) const noexcept { return changed_[word].load() | ended_[word].load(); }
  bool any() const noexcept {
    bool found = false;
    for_each_word([&](std::uint32_t word) { found = found || marked(word) != 0; });
    return found;
  }
  bool any_pending() const noexcept {
    bool found = false;
    for_each_word([&](std::uint32_t word) { found = found || pending(word) != 0; });
    return found;
  }

  /// `pending` is written by the journal thread alone.
  std::uint64_t pending(std::uint32_t word) const noexcept {
    return pending_[word].load(std::memory_order_acquire);  // ORDER pending: the last journal thread's
  }
  void hold(std::uint32_t word, std::uint64_t bits) noexcept {
    // ORDER pending: released before the marks are cleared; read by the next journal thread, after our death.
    pending_[word].store(pending_[word].load(std::memory_order_relaxed) | bits, std::memory_order_release);
  }
  void settle(std::uint32_t word, std::uint64_t bits) noexcept {
    pending_[word].store(pending_[word].load(std::memory_order_relaxed) & ~bits,
                         std::memory_order_release);  // ORDER pending: after the block is durable
  }

 private:
  std::atomic<std::uint64_t>* changed_ = nullptr;
  std::atomic<std::uint64_t>* ended_ = nullptr;
  std::atomic<std::uint64_t>* pending_ = nullptr;
  CellChunks chunks_;
};

/// Gathers the marks of cells that stand together, so that one step marks all of one word. `mark(word, bits)` is called
/// when the next cell is of another word, and by flush().
template <class Mark>
class MarkRun {
 public:
  explicit MarkRun(Mark mark) noexcept : mark_(mark) {}

  void add(std::uint32_t index) noexcept {
    if (const std::uint32_t word = JournalMarks::word_of(index); word != word_) {
      flush();
      word_ = word;
    }
    bits_ |= JournalMarks::bit_of(index);
  }
  void flush() noexcept {
    if (bits_ != 0) mark_(word_, bits_);
    bits_ = 0;
  }

 private:
  Mark mark_;
  std::uint32_t word_ = 0;
  std::uint64_t bits_ = 0;
};

}  // namespace ringmill
