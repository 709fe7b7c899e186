// What the cells of a table say, as the records that a journal would have of them, given to a visitor: for a table that
// is copied (core/durability/table_copy.h), and for a backup (core/durability/journal_copy.h).
#pragma once

#include <cstdint>

#include <ringmill/job.h>

#include "core/journal/reader.h"
#include "core/table/arena.h"
#include "core/table/job_table.h"
#include "ipc/segment.h"

namespace ringmill {

class TableRecords {
 public:
  explicit TableRecords(const Segment& segment) noexcept : segment_(&segment), table_(segment), arena_(segment) {}

  /// The names of all kinds and retry policies.
  void give_names(JournalVisitor& to) const;
  /// The job that stands in a cell, with all that belongs to it. `word` is the cell's, and has a job. In a table that
  /// is used meanwhile the caller looks at the word once more: what was given counts if it is the same.
  void give_job(CellIndex index, StateWord word, JournalVisitor& to) const;

 private:
  void give_large(const JobRecord& record, JobId id, JournalVisitor& to) const;
  void give_change(CellIndex index, StateWord word, JournalVisitor& to) const;
  /// The parts of a result in the arena. False: it cannot be read.
  bool give_result(JobId id, std::uint64_t change, JournalVisitor& to) const;

  const Segment* segment_;
  JobTable table_;
  Arena arena_;
};

}  // namespace ringmill
