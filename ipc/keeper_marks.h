// The cells that the keeper has to check: jobs that wait for their time, that are on their way to the dead letters, or
// that are kept for a while. One bit per cell, so nothing can fill up.
//
//   participant                                        keeper
//   due.B1  store the cell's word                      due.C1  awake: keeper_sleeps_until = 0
//   due.B2  set the cell's bit                         due.C2  keeper_work: 1 -> 0; take and clear all bits, look at
//   due.B3  keeper_work = 1                                    these cells
//   due.B4  due before keeper_sleeps_until: ring       due.C3  keeper_sleeps_until = the next due time, or next turn
//                                                      due.C4  keeper_work is 1: again from C1; else sleep
//
// Nothing is due while the keeper sleeps: B3, B4, C3 and C4 are seq_cst, so either C4 sees the work, or B4 sees until
// when the keeper sleeps. Killed after B1, before B3: the reaper of the participant marks again (its placing list names
// the job). A keeper that dies after C2 has the next one look at all cells.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

#include "ipc/cell_chunks.h"
#include "ipc/clock.h"
#include "ipc/layout.h"

namespace ringmill {

class KeeperMarks {
 public:
  KeeperMarks(std::atomic<std::uint64_t>* bits, const CellChunks& chunks, Signals& signals) noexcept
      : bits_(bits), chunks_(chunks), signals_(&signals) {}

  /// B2 to B4. True: the caller rings the keeper.
  bool mark(std::uint32_t index, DueTime due) noexcept {
    bits_[index / 64].fetch_or(std::uint64_t{1} << (index % 64));  // due.B2
    signals_->keeper_work.store(1);                                // due.B3
    const std::uint64_t until_ns = signals_->keeper_sleeps_until_ns.load();
    return until_ns != 0 && on_lease_clock(due) < until_ns;  // due.B4
  }

  /// B2 and B3 alone. True: the keeper sleeps, and rests until its next turn if it is not called.
  bool call(std::uint32_t index) noexcept {
    bits_[index / 64].fetch_or(std::uint64_t{1} << (index % 64));  // due.B2
    return call();
  }
  /// B3 alone: the keeper takes another turn before it sleeps. True: it sleeps already.
  bool call() noexcept {
    signals_->keeper_work.store(1);  // due.B3
    return signals_->keeper_sleeps_until_ns.load() != 0;
  }

  /// C2: calls `look(index)` for each marked cell.
  template <class Look>
  void take_all(Look&& look) noexcept {
    if (signals_->keeper_work.exchange(0) == 0) return;
    chunks_.for_each([&](std::uint32_t first, std::uint32_t end) {
      for (std::uint32_t word = first / 64; word < end / 64; ++word) {
        if (bits_[word].load(std::memory_order_relaxed) == 0) continue;  // ORDER relaxed: the exchange below acquires
        for (std::uint64_t bits = bits_[word].exchange(0); bits != 0; bits &= bits - 1) {
          look(word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits)));
        }
      }
    });
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
  CellChunks chunks_;
  Signals* signals_;
};

}  // namespace ringmill
