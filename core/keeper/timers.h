// What is due when: jobs that wait for their time, and jobs that are kept for a while. Private memory of the keeper: a
// heap of hints, rebuilt by a pass over the table. An entry is believed only if its cell still says the same.
#pragma once

#include <cstdint>
#include <vector>

#include <ringmill/job.h>

#include "core/keeper/families.h"
#include "core/keeper/overflow_queue.h"
#include "core/keeper/parked.h"
#include "core/keeper/reaper.h"

namespace ringmill {

class Timers {
 public:
  Timers(Segment& segment, Reaper& reaper) noexcept
      : segment_(&segment),
        reaper_(&reaper),
        families_(reaper),
        parked_(segment),
        overflow_queue_(segment, reaper.settling()) {}

  /// Looks at a cell that was marked, or that a scan came by: what has a time is remembered, what is to be buried is
  /// added to burying(), what the rules of its kind hold back to parked().
  void look_at(CellIndex index);
  /// due.C2 of ipc/keeper_marks.h.
  void look_at_marked();
  /// Those who wait for a place in a ring come by the same marks.
  OverflowQueue& overflow_queue() noexcept { return overflow_queue_; }
  const OverflowQueue& overflow_queue() const noexcept { return overflow_queue_; }
  /// Does what is due, at most `most` jobs. True: there is more that is due already.
  bool run_due(std::uint32_t most);
  struct Now {
    std::uint64_t lease_ns;
    std::uint64_t wall_ns;
  };
  /// Does what is due of this job when it is `now`.
  void run(JobId id, Now now);
  /// CLOCK_BOOTTIME of the next due time; or no_deadline.
  std::uint64_t next_due_ns() const noexcept;

  /// A scan looks at every cell between these two: what is remembered afterwards is what it found and what came
  /// meanwhile, so that entries of jobs that are over do not gather.
  void begin_rebuild();
  void end_rebuild();

  Parked& parked() noexcept { return parked_; }
  /// Cells that wait to be buried; the caller takes them away.
  std::vector<CellIndex>& burying() noexcept { return burying_; }

 private:
  struct Entry {
    std::uint64_t due_ns = 0;
    std::uint64_t id = 0;
    bool operator>(const Entry& other) const noexcept { return due_ns > other.due_ns; }
  };
  using Heap = std::vector<Entry>;

  void remember(JobId id, DueTime due);
  static void push(Heap& heap, Entry entry);
  bool run_due(Heap& heap, std::uint64_t until_ns, Now now, std::uint32_t& most);
  /// A job is over that has parents, or children, or leads a bundle.
  void note_end(CellIndex index, StateWord word);
  /// False: its records, and those of its bundle, are not durable yet, or somebody may want its result.
  bool may_go(CellIndex index, StateWord word) const;
  void look_again_soon(JobId id);

  Segment* segment_;
  Reaper* reaper_;
  Families families_;
  Parked parked_;
  OverflowQueue overflow_queue_;
  Heap by_lease_clock_;
  Heap by_wall_clock_;
  /// While a scan is under way: what the heaps will be after it.
  bool rebuilding_ = false;
  Heap next_by_lease_clock_;
  Heap next_by_wall_clock_;
  std::vector<CellIndex> burying_;
};

}  // namespace ringmill
