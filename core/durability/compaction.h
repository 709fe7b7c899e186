// Compaction: live records of the oldest segment are written again, a few cells at a time while rounds go on; then the
// segment is retired, and its file is used again.
//
//   comp.C1  few segments are free: begin with the oldest    nothing happened
//   comp.C2  for each cell whose note names that segment:    the cell is pending: the next journal thread visits it
//            hold it pending, write the job again
//   comp.C3  the job is over: write its end                  as C2
//   comp.C4  all cells were visited: retire the segment      it still counts, and the next journal thread begins at C1
//
// `ended` records of the segment need no copy: what they end stands in older segments, or in the same. C3 is needed
// because jobs that came with this one may count only while the journal knows of it. In front of a leader that the
// round has still to visit goes what came with it (batch_order.h). The segment is used again only when a block that
// says so is durable (core/journal/writer.h).
#pragma once

#include <cstdint>
#include <optional>

#include "core/durability/cell_visits.h"
#include "core/durability/round_cells.h"
#include "core/journal/writer.h"
#include "ipc/journal_marks.h"
#include "ipc/segment.h"

namespace ringmill {

class Compaction {
 public:
  Compaction(const Segment& segment, JournalWriter& writer, const RoundCells& cells, CellRecords& records,
             CellVisits& visits)
      : writer_(&writer), marks_(segment.marks()), cells_(&cells), records_(&records), visits_(&visits) {}

  enum class Progress {
    done,  // enough segments are free, or the only one that could be retired is being written
    more,  // there is more to do, once the writer has room
  };
  /// Goes on, visiting at most `count` cells.
  Progress go_on(std::uint32_t count);

 private:
  bool is_needed() const noexcept;
  /// C2 or C3 for one cell. Visit::done: the segment holds nothing of it that counts.
  Visit copy(CellIndex index, std::uint32_t tag);

  JournalWriter* writer_;
  JournalMarks marks_;
  const RoundCells* cells_;
  CellRecords* records_;
  CellVisits* visits_;
  std::optional<std::uint64_t> segment_;  // whose live records are being copied
  CellIndex next_ = 0;
  std::uint32_t tries_ = 0;  // at a job that moves on
};

}  // namespace ringmill
