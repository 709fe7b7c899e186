// Makes and removes dynamic levels. All of it happens under the structure lock.
//
//   making                                                     killed just after the step
//   level.A1  bring segment and list to the same (see below)   nothing happened
//   level.A2  write the list with the new level, durably       the next maker's A1 does A3; a recovery makes it as well
//   level.A3  fill the entry, open it; change levels_version,  as A2, up to the store that opens it; then it is there,
//             wake all                                         and sleepers check again within a second
//
//   removing
//   level.R1  CAS the entry: open -> closing(me)            the keeper opens it again when it reaps us
//   level.R2  a pass over the table: a job of the level?    as R1
//             open it again, error busy
//   level.R3  wait for a round of the journal: the ends of  as R1
//             its jobs are durable, none comes back later
//   level.R4  write the list, the level removed, durably    as R1; A1 of the next one lists it again. A recovery before
//                                                           that opens it if it finds a job of it
//   level.R5  closing -> removed; levels_version, wake all  it is removed; sleepers check again within a second
//
// The producer stores the level in the cell while that is filling, then checks that the level is open; the remover
// closes it, then scans the cells; all are seq_cst. So one of them sees the other: a job never gets into a removed
// level (fill_dynamic_level(), count_jobs()).
//
// A1: closing, though we hold the lock: its remover died: opened. In the list and not in the segment: opened (A2). In
// use in the segment and listed as removed: listed again (R4).
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include <ringmill/options.h>

#include "core/instance/engine_core.h"
#include "core/levels/level_list.h"
#include "core/levels/level_names.h"

namespace ringmill {

class DynamicLevels {
 public:
  /// Waits until the ends of all jobs that are over are durable.
  using WaitDurable = std::function<Result<void>()>;

  explicit DynamicLevels(EngineCore& engine) noexcept : engine_(&engine) {}

  Result<Level> add(std::string_view name, const LevelOptions& options, const WaitDurable& wait_durable);
  /// `participant` is the caller's own: if it dies, the keeper opens the level again.
  Result<void> remove(std::string_view name, std::uint32_t participant, const WaitDurable& wait_durable);

 private:
  Result<File> lock() const;
  /// A1.
  Result<LevelList> read_list();
  /// Returns an unused number, or the error.
  Result<ListedLevel> take_place(LevelList& list, const WaitDurable& wait_durable) const;
  Result<void> write(const LevelList& list) const;
  /// `live` counts the jobs that are not over; of the others only whether there are any.
  struct Jobs {
    std::uint64_t live = 0;
    std::uint64_t filling = 0;
  };
  Jobs count_jobs(std::uint32_t number) const noexcept;
  Result<void> wait_until_empty(std::string_view name, std::uint32_t number) const;
  void tell_all() const noexcept;

  EngineCore* engine_;
};

/// Does A3 for the entry alone. No other process uses the entry: it is unused or removed, or the segment is not
/// visible.
void open_level(const Segment& segment, const ListedLevel& level) noexcept;
/// Restores, for a recovery, all levels of the list; removed ones get no ring.
void restore_levels(const Segment& fresh, const LevelList& list) noexcept;
/// Opens a level again after its remover died in R1 to R4.
void reopen_levels_closed_by(const Segment& segment, std::uint32_t participant) noexcept;

}  // namespace ringmill
