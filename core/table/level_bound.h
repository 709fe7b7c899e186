// How many jobs a level holds, where their number is bounded (LevelEntry::most_cells).
//
// LevelEntry::came counts jobs in, `went` counts them out, and both only grow: the level holds the difference. A job
// that is counted has cell_flag::counted. Each participant says in its own entry when it is between two of the steps:
// `counting` is odd then.
//
//   enqueueing a job of such a level                              killed just after the step
//   bound.B1  `counting` becomes odd                              nothing was counted
//   bound.B2  came += 1; if the level holds more than its bound:  one too many is counted
//             went += 1, and refuse
//   bound.B3  enq.N1 to enq.N6 with the flag                      as B2 up to enq.N4; then the job is there
//   bound.B4  `counting` becomes even                             nothing is left
//
//   its end, by whichever participant frees the cell              killed just after the step
//   bound.B5  `counting` becomes odd; free the cell (settle.E5)   one too many is counted
//   bound.B6  went += 1; `counting` becomes even                  nothing is left
//
// So a death leaves one too many counted, never one too few: the level takes fewer jobs, and the bound holds. The
// keeper's scan puts it right (core/table/level_counts.h). Follow-ups are counted when they are published, and never
// refused: a handler must not wait for room that only its own end can make. Nothing of this is touched where a level
// has no bound; an enqueue then reads one word.
#pragma once

#include <atomic>
#include <cstdint>

#include "ipc/dynamic_level.h"
#include "ipc/segment.h"
#include "ipc/waking.h"

namespace ringmill {

/// B1 to B4, or B5 and B6: odd while this lives. Only the entry's own participant writes the word.
class BetweenSteps {
 public:
  explicit BetweenSteps(ParticipantEntry& entry) noexcept : entry_(&entry) { add_one(); }
  BetweenSteps(const BetweenSteps&) = delete;
  BetweenSteps& operator=(const BetweenSteps&) = delete;
  ~BetweenSteps() { add_one(); }

 private:
  void add_one() noexcept { entry_->counting.store(entry_->counting.load() + 1); }
  ParticipantEntry* entry_;
};

/// The count of one level. `number` is below Geometry::level_numbers().
class LevelCount {
 public:
  LevelCount(const Segment& segment, std::uint32_t number) noexcept
      : segment_(&segment), entry_(&segment.level(number)) {}

  bool is_bounded() const noexcept { return !(entry_->most_cells.load_once() == 0U); }
  /// 0: no bound.
  std::uint32_t most() const noexcept { return entry_->most_cells.load_once().unbounded(); }
  std::uint64_t held() const noexcept {
    const std::uint64_t went = entry_->went.load();  // first: what comes meanwhile makes it more, not less
    const std::uint64_t came = entry_->came.load();
    return came > went ? came - went : 0;
  }
  bool has_room(std::uint32_t count) const noexcept {
    const std::uint32_t most = this->most();
    return most == 0 || held() + count <= most;
  }
  /// B2. False: refused.
  bool enter(std::uint32_t count) noexcept {
    if (!has_room(count)) return false;
    entry_->came.fetch_add(count);
    if (const std::uint32_t most = this->most(); most == 0 || held() <= most) return true;
    leave(count);
    wake_for_space(*segment_);  // one that looked meanwhile saw too many
    return false;
  }
  /// Of a follow-up.
  void enter_unasked() noexcept { entry_->came.fetch_add(1); }
  /// B6.
  void leave(std::uint32_t count) noexcept { entry_->went.fetch_add(count); }

 private:
  const Segment* segment_;
  LevelEntry* entry_;
};

/// Whether jobs of the level that users name by this value are bounded. One load of a line that an enqueue reads too.
inline bool is_bounded(const Segment& segment, std::uint32_t level_value) noexcept {
  // ORDER relaxed: a bound that is set now holds for the next job.
  const Untrusted most = segment.level(level_number(level_value)).most_cells.load_once(std::memory_order_relaxed);
  return most.unbounded() != 0;
}

}  // namespace ringmill
