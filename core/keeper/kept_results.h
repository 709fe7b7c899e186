// Kept results in the order in which they go: hints in the keeper's private memory.
//
// The keeper frees the oldest results, by the end of their job, in slices: those beyond the engine's bound, and those
// that stand where free cells are short (core/table/evictable.h). So a producer that meets a table full of results gets
// in, and a job never waits for the end of a keeping.
//
// The count is no truth. It follows the marks of the keeper, so it is late by what ends between two turns (50 ms at
// most), and the bound is passed by as many. A cell that another process freed counts until the keeper meets it: at the
// front of its heap, or in its next scan of the table (every 30 s, and after each death), which counts anew.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/base/zeroed_array.h"
#include "core/keeper/reaper.h"
#include "core/table/evictable.h"
#include "core/table/room.h"

namespace ringmill {

class KeptResults {
 public:
  KeptResults(Segment& segment, Reaper& reaper);

  /// Notes a kept cell, that was marked or that a scan visits.
  void note(CellIndex index, StateWord word);
  /// The keeper has freed the cell.
  void forget(CellIndex index) noexcept;
  /// A scan visits the cell: what is noted of it goes if it is not so any more.
  void check(CellIndex index, StateWord word) noexcept;
  void end_scan();

  /// Frees the oldest results that are too many, `most` at a time. `may_go(cell, word)` says that a cell is needed no
  /// longer. Returns true if more are too many.
  template <class MayGo>
  bool evict(std::uint32_t most, MayGo&& may_go) {
    if (count_ == 0) {
      publish();
      return false;
    }
    std::uint64_t beyond = count_ - std::min(count_, limit());
    for (; beyond != 0 && most != 0 && has_any(); --beyond, --most) evict_oldest(oldest_range(), may_go);
    bool is_short = false;
    for (Range& range : ranges_) {
      for (std::uint32_t lacking = lack_in(range); lacking != 0 && !range.heap.empty(); --lacking) {
        if (most-- == 0) return true;
        evict_oldest(range, may_go);
        is_short = true;
      }
      if (most == 0) break;
    }
    publish();
    return (beyond != 0 && has_any()) || (is_short && most == 0);
  }
  std::uint64_t count() const noexcept { return count_; }

 private:
  struct Entry {
    std::uint64_t ended_at_ms = 0;
    std::uint64_t id = 0;
    bool operator>(const Entry& other) const noexcept {
      return ended_at_ms != other.ended_at_ms ? ended_at_ms > other.ended_at_ms : id > other.id;
    }
  };
  /// Results where only jobs of one level may stand, or jobs of all.
  struct Range {
    CellRange cells;
    std::uint32_t low_water = 0;  // so many cells are to be free
    std::vector<Entry> heap{};    // the oldest first
  };

  std::uint64_t limit() const noexcept;
  bool has_any() const noexcept;
  Range& range_of(CellIndex index) noexcept;
  Range& oldest_range() noexcept;
  std::uint32_t lack_in(const Range& range) const noexcept;
  void add(Range& range, Entry entry);
  void publish() noexcept {
    if (std::exchange(published_, count_) != count_) segment_->signals().results_kept.store(count_);
  }
  /// Takes the oldest entry out. False: its cell is kept no longer.
  bool take(Range& range, Entry& entry) noexcept;

  template <class MayGo>
  void evict_oldest(Range& range, MayGo&& may_go) {
    Entry entry;
    while (!range.heap.empty()) {
      if (!take(range, entry)) continue;
      const CellIndex index = index_of(JobId(entry.id));
      const StateWord word = reaper_->settling().table().word(index);
      if (!may_go(index, word)) {
        add(range, {.ended_at_ms = now_ms(), .id = entry.id});  // behind the others
        return;
      }
      if (reaper_->evict(index, word)) forget(index);
      return;
    }
  }
  static std::uint64_t now_ms() noexcept;

  Segment* segment_;
  Reaper* reaper_;
  std::vector<Range> ranges_;
  /// Per cell: 1 + the low bits of the generation of the kept job that is counted there; 0: none is.
  ZeroedArray<std::uint16_t> noted_;
  std::uint64_t count_ = 0;
  std::uint64_t published_ = ~std::uint64_t{0};  // by this keeper
};

}  // namespace ringmill
