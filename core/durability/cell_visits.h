// One visit to a cell: which record of it the journal gets.
//
//   the cell                                the journal's note           record
//   a life that waits or runs               another life, or none        JobRecord, whole
//   a life that waits or runs               this life                    attempts, if some have ended; with an error's
//                                                                        text a change
//   a life that is delayed, kept, or dead   another life, or none        JobRecord, and a change in the same block
//   a life that is delayed, kept, or dead   this life                    change
//   (a JobRecord, of a job whose payload is in the arena: its parts, over as many blocks as they need, and a
//   LargeJobRecord behind them)
//   none, or one of durability memory       some life                    ended: all lives before the next are over
//   none, or one of durability memory       none                         nothing: it came and went between two visits
//
// The order of records is the order of visits, and one thread visits: so what a later record says is newer.
#pragma once

#include <cstdint>

#include "core/durability/batch_order.h"
#include "core/durability/cell_records.h"
#include "core/durability/visits.h"
#include "core/table/job_table.h"
#include "ipc/segment.h"

namespace ringmill {

class CellVisits {
 public:
  CellVisits(const Segment& segment, CellRecords& records, BatchOrder& order)
      : table_(segment), records_(&records), order_(&order) {}

  Visit visit(CellIndex index, bool believe_note, Turn turn);
  const JobTable& table() const noexcept { return table_; }
  /// Visits that had nothing to write.
  std::uint64_t elided() const noexcept { return elided_; }

 private:
  JobTable table_;
  CellRecords* records_;
  BatchOrder* order_;
  std::uint64_t elided_ = 0;
};

}  // namespace ringmill
