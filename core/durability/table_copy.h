// A table made anew from another one, for an engine that is resized: the jobs keep their ids, those of durability
// memory included.
//
// The old table is read as a journal would be: a record for each job, so that the fresh one is filled by the rules of a
// recovery (core/durability/recovery.h), hints, unique keys and extents included. What no record says is copied into
// the cells afterwards. No process works in the old table, and no other sees the fresh one.
#pragma once

#include <cstdint>

#include <ringmill/error.h>

#include "core/durability/recovery.h"
#include "core/durability/table_records.h"
#include "core/table/job_table.h"
#include "ipc/segment.h"

namespace ringmill {

class TableCopy {
 public:
  /// Dynamic levels are in `fresh` already.
  TableCopy(const Segment& old, Segment& fresh) noexcept;

  /// Copies all jobs, names, notes of the journal and statistics. Errors: busy (a job stands in a cell that would go:
  /// which; a participant died in the midst of something; the journal has not caught up), invalid_argument (a job does
  /// not fit: which, and why), and those of TableRebuild::finish().
  Result<void> run();
  std::uint64_t jobs() const noexcept { return jobs_; }
  /// As TableRebuild::arena_wanted().
  std::uint64_t arena_wanted() const noexcept { return rebuild_.arena_wanted(); }

 private:
  bool fits(CellIndex index) const noexcept { return index < fresh_table_.capacity(); }
  Result<void> check(CellIndex index, StateWord word) const;
  /// What records do not say, or say to the millisecond.
  void copy_words(CellIndex index, StateWord word) noexcept;
  void copy_notes(CellIndex index, StateWord word) noexcept;
  void copy_statistics() noexcept;
  void copy_pairs() noexcept;

  const Segment* old_;
  Segment* fresh_;
  JobTable old_table_;
  JobTable fresh_table_;
  TableRecords records_;
  TableRebuild rebuild_;
  std::uint64_t jobs_ = 0;
};

}  // namespace ringmill
