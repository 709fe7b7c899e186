// Which cells the jobs of a level may take: how one level's backlog leaves room for the others, and producers leave
// room for the handlers that run.
//
//   cells   0 ........................ plain + leases | high | default | dynamic levels
//           any level; the last `leases` of them       cells that only jobs of that level take
//           that are free only for running handlers
//
// Cells are taken from the lowest up, so a level's own cells are the last that it takes. Where a cell stands says which
// jobs may take it: there is no count that a death could leave wrong, and the bound is exact.
//
// The cells kept for handlers have no place, because a handler's job gives back a cell elsewhere than where its
// follow-up took one. A producer takes common cells only if so many stay listed without those that it takes:
//
//                                                            killed just after the step
//   room.R1  fewer are listed than have to stay: full        nothing happened
//   room.R2  take a word of the map (free.T1 to free.T3)     the keeper's scan lists its cells
//   room.R3  count again, without the cells taken: list      as R2
//            those that are too many, and wake the waiters
//
// Two producers in R2 at once each count without the other's cells: both may give back, neither takes too many, and no
// death changes that. The bound can be off by handlers that move between two cells during a count, and by cells that a
// scan lists while a living producer has them in hand (docs/decisions/0038); the next count is right again. To the
// other side: cells that a participant has taken and not filled yet (63 at most) count as used, as they did before.
//
// An engine always drains: a handler that follows up one job takes one cell and gives its own job's back when it ends,
// and no producer is let in before that one is listed. So there is room for the first follow-up of `leases` handlers at
// once, however full the engine is. Further follow-ups leave half of those cells to the first ones of others.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "ipc/segment.h"

namespace ringmill {

/// Cells first .. end - 1; both are multiples of 64.
struct CellRange {
  std::uint32_t first = 0;
  std::uint32_t end = 0;

  constexpr std::uint32_t size() const noexcept { return end - first; }
  friend constexpr bool operator==(const CellRange&, const CellRange&) noexcept = default;
};

class Room {
 public:
  /// Of so many cells for jobs of any level: how many more there are for running handlers. A sixty-fourth, 64 to 1024.
  static constexpr std::uint32_t leases_for(std::uint32_t plain_capacity) noexcept {
    return std::clamp(plain_capacity / 64 / 64 * 64, 64U, 1024U);
  }

  /// What the segment says, bounded: a peer that scribbles over it can take room from others, and nothing else.
  explicit Room(const Segment& segment) noexcept : level_count_(segment.geometry().level_count) {
    own_.fill({segment.geometry().capacity, segment.geometry().capacity});
    const std::uint32_t capacity = segment.geometry().capacity;
    const std::uint32_t plain = whole_words(segment.header().plain_capacity.load_once().at_most(capacity));
    if (plain == 0) {
      common_.end = capacity;
      return;
    }
    common_.end = plain + std::min(leases_for(plain), capacity - plain);
    leases_ = common_.end - plain;
    std::uint32_t next = common_.end;
    for (std::uint32_t level = 0; level < level_count_; ++level) {
      const std::uint32_t kept = whole_words(segment.level(level).kept_cells.load_once().at_most(capacity - next));
      own_[level] = {next, next + kept};
      next += kept;
    }
    own_[most_fixed_levels] = {next, capacity};
  }

  /// Cells that jobs of any level may take.
  const CellRange& common() const noexcept { return common_; }
  /// Cells that only jobs of this level may take; of dynamic levels, by their number or value: all share the same.
  const CellRange& own_of(std::uint32_t level) const noexcept {
    return own_[level < level_count_ ? level : most_fixed_levels];
  }
  /// The same by place: those of dynamic levels have the last place, most_fixed_levels.
  const CellRange& own_by_place(std::uint32_t place) const noexcept { return own_[place]; }
  /// How many free ones of the common cells producers leave to running handlers.
  std::uint32_t leases() const noexcept { return leases_; }
  /// How many jobs of any one level there is room for, before its own cells.
  std::uint32_t plain_capacity() const noexcept { return common_.end - leases_; }

 private:
  static constexpr std::uint32_t whole_words(std::uint32_t cells) noexcept { return cells / 64 * 64; }

  std::uint32_t level_count_;
  std::uint32_t leases_ = 0;
  CellRange common_;
  std::array<CellRange, most_fixed_levels + 1> own_{};  // the last one: of dynamic levels
};

}  // namespace ringmill
