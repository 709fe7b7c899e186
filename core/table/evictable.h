// Which kept results may go before their time, because others need the room.
//
// Kept results never take room from a job: when more are kept than the engine's bound, or where their cells are short,
// the keeper frees the oldest (core/keeper/kept_results.h). A participant that finds no room and cannot wait for the
// keeper does it by itself, with what it finds first. Both free a cell by the one swap that ends its keeping:
//
//                                                                killed just after the step
//   evict.V1  read the word, and whether its job may go          nothing happened
//   evict.V2  CAS the cell: completed or cancelled -> free,      the scan lists the cell; its mark for the journal may
//                                                                be missing, so that the result comes back with a
//                                                                recovery
//   evict.V3  mark it for the journal, list the cell             nothing is left
//
// A value goes only when no result is left that could go instead: a result says what one job came to, a value is often
// the state of many. What stays: a unique key (it is a promise to enqueue_unique(), and the result stands with it); a
// cancelled job that has children, which must learn of it; a leader of a bundle that the journal has not written.
#pragma once

#include <cstdint>

#include "core/table/arena.h"
#include "core/table/job_table.h"
#include "core/table/settling.h"
#include "ipc/segment.h"

namespace ringmill {

/// True for a cell that is over, and kept.
constexpr bool is_kept(CellState state) noexcept {
  return state == CellState::completed || state == CellState::cancelled;
}

/// True for a kept cell that the bound counts: a value, and all results but those with a unique key. What is read
/// belongs to `word` if the cell still has it.
inline bool is_evictable(const JobTable& table, CellIndex index, StateWord word) noexcept {
  if (!is_kept(word.state())) return false;
  if ((table.header(index).flags.load() & cell_flag::is_value) != 0) return true;
  const CellOptions* const options = table.options(index);
  return options == nullptr || (options->unique_low.load() | options->unique_high.load()) == 0;
}

/// evict.V2 and V3, but for the listing. False: another word stands there.
inline bool evict(Settling& settling, CellIndex index, StateWord word) noexcept {
  if (!settling.evict(index, word)) return false;
  settling.segment().signals().results_evicted.fetch_add(1, std::memory_order_relaxed);  // ORDER relaxed: statistics
  return true;
}

/// A participant's own look for results that may go.
class Eviction {
 public:
  explicit Eviction(Settling& settling) noexcept : settling_(&settling) {}

  /// Evicts from these cells, the older half of the few that it finds first, until about `wanted` are free. `arena`:
  /// only results with an extent, of which it is told; nullptr: all. Returns how many: none if the keeper knows of
  /// none, or only of such as must stay. Lists the cells.
  std::uint32_t make_room(CellIndex first, CellIndex end, std::uint32_t wanted, Arena* arena) noexcept;

 private:
  struct Found {
    CellIndex index = 0;
    StateWord word{};
    std::uint64_t ended_at_ms = 0;
  };
  static constexpr std::size_t most_found = 32;

  bool may_go(CellIndex index, StateWord word, bool in_arena) const noexcept;

  Settling* settling_;
  CellIndex next_ = 0;  // where it looked last
};

}  // namespace ringmill
