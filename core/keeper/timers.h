// The keeper's timers: jobs that wait for their time, and jobs that are kept until some time. They are a heap of hints
// in the keeper's private memory, rebuilt by a scan of the table. An entry is used only if its cell still says the
// same.
#pragma once

#include <cstdint>
#include <vector>

#include <ringmill/job.h>

#include "core/keeper/bundle_grace.h"
#include "core/keeper/dependencies.h"
#include "core/keeper/kept_results.h"
#include "core/keeper/overflow_queue.h"
#include "core/keeper/parked.h"
#include "core/keeper/reaper.h"
#include "core/keeper/serial_keys.h"

namespace ringmill {

class Timers {
 public:
  Timers(Segment& segment, Reaper& reaper) noexcept
      : segment_(&segment),
        reaper_(&reaper),
        dependencies_(segment, reaper),
        grace_(segment),
        parked_(segment),
        kept_(segment, reaper),
        serial_keys_(reaper.settling()),
        overflow_queue_(segment, reaper.settling()) {}

  /// Checks a cell that was marked, or that a scan visits. A job with a time enters the heap; one to be buried goes to
  /// burying(); one that the rules of its kind hold back goes to parked().
  void look_at(CellIndex index);
  /// due.C2 of ipc/keeper_marks.h.
  void look_at_marked();
  /// Jobs that wait for a place in a ring come by the same marks.
  OverflowQueue& overflow_queue() noexcept { return overflow_queue_; }
  const OverflowQueue& overflow_queue() const noexcept { return overflow_queue_; }
  /// Handles at most `most` due jobs. Returns true if more are due.
  bool run_due(std::uint32_t most);
  struct Now {
    std::uint64_t lease_ns;
    std::uint64_t wall_ns;
  };
  /// Handles what is due of this job at `now`.
  void run(JobId id, Now now);
  /// Returns the next due time in CLOCK_BOOTTIME, or no_deadline.
  std::uint64_t next_due_ns() const noexcept;

  /// Bracket a scan of all cells. Afterwards the heap holds what the scan found and what arrived during it, so entries
  /// of ended jobs do not accumulate.
  void begin_rebuild();
  void end_rebuild();

  Parked& parked() noexcept { return parked_; }
  /// Lets jobs with a serial key go on whose turn it is, at most `most`. Returns true if there is more to do at once.
  bool promote_serial(std::uint32_t most);
  KeptResults& kept() noexcept { return kept_; }
  /// Frees kept results that are too many, the oldest first, at most `most`. Returns true if there are more.
  bool evict(std::uint32_t most);
  /// Returns the cells that wait to be buried; the caller takes them.
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
  /// Handles the end of a job that has parents, or children, or leads a bundle.
  void note_end(CellIndex index, StateWord word);
  /// Returns false while its records, or those of its bundle, are not durable, or while a waiting job or caller may
  /// read its result.
  bool may_go(CellIndex index, StateWord word);
  void look_again_soon(JobId id);
  void look_at_parents(CellIndex index, StateWord word);
  void look_at_serial_key(CellIndex index, StateWord word);

  Segment* segment_;
  Reaper* reaper_;
  Dependencies dependencies_;
  BundleGrace grace_;
  /// All jobs were looked at once: only then are the children of any job known.
  bool has_scanned_ = false;
  Parked parked_;
  KeptResults kept_;
  SerialKeys serial_keys_;
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
