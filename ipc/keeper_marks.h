// The cells that the keeper has to check: jobs that wait for their time, that are on their way to the dead letters, or
// that are kept for a while, and queued jobs that their ring has no room for. One bit per cell, so nothing can fill up;
// and a summary with one bit per word of 64 cells, so that a look costs what was marked, not what the table holds.
//
//   participant                                        keeper
//   due.B1  store the cell's word                      due.C1  awake: keeper_sleeps_until = 0
//   due.B2  set the cell's bit; then its word's bit    due.C2  keeper_work: 1 -> 0; take and clear the summary, then
//           in the summary, if it is not set                   the words that it names; look at these cells
//   due.B3  keeper_work = 1
//   due.B4  due before keeper_sleeps_until: ring       due.C3  keeper_sleeps_until = the next due time, or next turn
//                                                      due.C4  keeper_work is 1: again from C1; else sleep
//
// Nothing is due while the keeper sleeps: B3, B4, C3 and C4 are seq_cst, so either C4 sees the work, or B4 sees until
// when the keeper sleeps. The summary is cleared before the words, and both steps of B2 are seq_cst: a participant that
// finds its word's bit set has marked the cell before C2 takes the word. Killed after B1, before B3: the reaper of the
// participant marks again (its placing list names the job). A keeper that dies after C2 has the next one look at all
// cells, and repair the summary.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

#include "ipc/cell_chunks.h"
#include "ipc/clock.h"
#include "ipc/free_map.h"
#include "ipc/layout.h"

namespace ringmill {

class KeeperMarks {
 public:
  /// `bits` has a word per 64 cells, `summary` a bit per word, as in FreeMap.
  KeeperMarks(std::atomic<std::uint64_t>* bits, std::atomic<std::uint64_t>* summary, const CellChunks& chunks,
              Signals& signals) noexcept
      : bits_(bits), summary_(summary), chunks_(chunks), signals_(&signals) {}

  /// B2 to B4. True: the caller rings the keeper.
  bool mark(std::uint32_t index, DueTime due) noexcept {
    set(index / 64, std::uint64_t{1} << (index % 64));  // due.B2
    signals_->keeper_work.store(1);                     // due.B3
    const std::uint64_t until_ns = signals_->keeper_sleeps_until_ns.load();
    return until_ns != 0 && on_lease_clock(due) < until_ns;  // due.B4
  }

  /// B2 for the cells of one word; call() must follow.
  void set(std::uint32_t word, std::uint64_t bits) noexcept {
    bits_[word].fetch_or(bits);
    const std::uint64_t bit = std::uint64_t{1} << (word % 64);
    if ((summary_[word / 64].load() & bit) == 0) summary_[word / 64].fetch_or(bit);
  }
  /// B2 and B3 alone. True: the keeper sleeps, and rests until its next turn if it is not called.
  bool call(std::uint32_t index) noexcept {
    set(index / 64, std::uint64_t{1} << (index % 64));  // due.B2
    return call();
  }
  /// B3 alone: the keeper takes another turn before it sleeps. True: it sleeps already.
  bool call() noexcept {
    signals_->keeper_work.store(1);  // due.B3
    return signals_->keeper_sleeps_until_ns.load() != 0;
  }

  /// C2: calls `look(first cell, bits)` for each word that has marks: cell `first` + n for each bit n.
  template <class Look>
  void take_all(Look&& look) {
    if (signals_->keeper_work.exchange(0) == 0) return;
    for (std::uint32_t n = 0; n < FreeMap::summary_words(chunks_.capacity()); ++n) {
      if (summary_[n].load(std::memory_order_relaxed) == 0) continue;  // ORDER relaxed: the exchange below acquires
      for (std::uint64_t named = summary_[n].exchange(0); named != 0; named &= named - 1) {
        const std::uint32_t word = n * 64 + static_cast<std::uint32_t>(std::countr_zero(named));
        if (!chunks_.is_there(word * 64)) continue;  // the bit is corrupted
        if (const std::uint64_t bits = bits_[word].exchange(0); bits != 0) look(word * 64, bits);
      }
    }
  }
  /// Names a word that has marks in the summary. The keeper calls it for each word after another keeper's death.
  void repair_summary(std::uint32_t word) noexcept {
    if (bits_[word].load() != 0) set(word, 0);
  }
  bool any() const noexcept { return signals_->keeper_work.load() != 0; }
  std::uint64_t word(std::uint32_t n) const noexcept { return bits_[n].load(); }
  bool is_marked(std::uint32_t index) const noexcept { return (bits_[index / 64].load() >> (index % 64) & 1) != 0; }

  /// CLOCK_BOOTTIME of a due time, if the wall clock is not set until then.
  static std::uint64_t on_lease_clock(DueTime due) noexcept {
    if (!due.is_wall) return due.ns;
    const std::uint64_t wall_ns = exact_wall_clock_ns();
    return due.ns > wall_ns ? later_by(lease_clock_ns(), due.ns - wall_ns) : 0;
  }

 private:
  std::atomic<std::uint64_t>* bits_;
  std::atomic<std::uint64_t>* summary_;
  CellChunks chunks_;
  Signals* signals_;
};

}  // namespace ringmill
