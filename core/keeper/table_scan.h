// Scans the whole table, in steps, and restores lost hints.
//
//   scan.T1  each cell: of a dead owner: its rule; free and listed nowhere: listed; queued: its generation is noted;
//            what waits for a time, or for its burial: the timers look at it
//            and a job of a bounded level is counted (core/table/level_counts.h)
//   scan.T2  each hint of each ring, from the head on: the note of the job it speaks of is crossed out
//   scan.T3  each note that is left: if the job still waits, it joins the overflow queue
//
// A job that comes after T1 is not noted, and one that waited in T1 has its hint until it is claimed, so T3 adds only
// what is missing, and a few more that moved meanwhile: a doubled hint is harmless, and so is a cell listed twice. A
// scan may die or be given up at any point: the next one begins anew.
#pragma once

#include <bitset>
#include <cstdint>
#include <vector>

#include "core/base/zeroed_array.h"
#include "core/keeper/reaper.h"
#include "core/keeper/timers.h"
#include "core/table/level_counts.h"

namespace ringmill {

class TableScan {
 public:
  TableScan(EngineCore& engine, Reaper& reaper, Timers& timers) noexcept
      : segment_(&engine.segment), reaper_(&reaper), timers_(&timers), level_counts_(engine.segment) {}

  using Owners = std::bitset<most_participants>;
  bool is_running() const noexcept { return phase_ != Phase::over; }
  /// Returns the entries whose owners are dead: they may be freed when this scan has ended.
  const Owners& dead() const noexcept { return dead_; }

  void start(const Owners& dead);
  /// Visits about the next `count` cells or hints. Returns true if this step ended the scan.
  bool step(std::uint32_t count);
  void run(const Owners& dead) {
    start(dead);
    while (!step(1U << 16)) {
    }
  }

 private:
  enum class Phase { cells, hints, notes, over };

  void look_at_cells(std::uint32_t count);
  void look_at(CellIndex index, std::uint64_t& unlisted);
  bool is_buried_as_damaged(CellIndex index, StateWord word);
  void cross_out_hints(std::uint32_t count);
  void place_what_is_left(std::uint32_t count);

  Segment* segment_;
  Reaper* reaper_;
  Timers* timers_;
  LevelCounts level_counts_;
  Phase phase_ = Phase::over;
  Owners dead_;
  /// The next cell (T1), the next note (T3).
  CellIndex next_ = 0;
  /// T2: the level, the next position of its ring, and how many positions are left of its one lap.
  std::uint32_t level_ = 0;
  std::uint64_t position_ = 0;
  std::uint64_t left_ = 0;
  /// Cells beyond it are not listed: no producer may use them before the limit is raised.
  std::uint64_t generation_limit_ = 0;
  /// Per cell: 1 + the 12 bits of the generation that a hint carries; 0: no job waits there, or it has its hint.
  ZeroedArray<std::uint16_t> notes_;
};

}  // namespace ringmill
