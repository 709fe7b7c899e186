// Putting the counts of bounded levels right (core/table/level_bound.h), as a part of the keeper's scan.
//
//   count.C1  read came and went of each bounded level, then `counting` of each living participant
//   count.C2  the scan visits each cell: count those with the flag; give it to jobs without it, which came before the
//             level had a bound, or with a recovery, and count them in
//   count.C3  read `counting` again, then came and went
//   count.C4  where C3 has found what C1 did, and every `counting` was even: add the difference to went, or to came
//
// A count that moved, or a participant between two steps, says nothing: the next scan looks again. So what is put right
// is what the dead have left, and a flag that has met another job. A participant that is stopped between two steps puts
// the correction off, and does no harm when it goes on.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/table/job_table.h"
#include "ipc/segment.h"

namespace ringmill {

class LevelCounts {
 public:
  explicit LevelCounts(const Segment& segment) noexcept : segment_(&segment), table_(segment) {}

  /// C1.
  void begin();
  /// C2.
  void look_at(CellIndex index) noexcept {
    if (!levels_.empty()) [[unlikely]]
      count(index);
  }
  /// C3 and C4.
  void end() noexcept;

 private:
  struct Counted {
    std::uint32_t number = 0;
    std::uint64_t came = 0;
    std::uint64_t went = 0;
    std::uint64_t seen = 0;
  };
  void count(CellIndex index) noexcept;
  /// False: a living participant is between two steps.
  bool are_all_at_rest() const noexcept;

  const Segment* segment_;
  JobTable table_;
  std::vector<Counted> levels_;
  std::vector<std::uint32_t> place_of_;  // in levels_, plus 1; per number of a level
  bool was_at_rest_ = false;
};

/// Counts in what is there already: for the process that sets a bound, after it is set.
void count_all_jobs(const Segment& segment);

}  // namespace ringmill
