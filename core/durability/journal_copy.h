// A copy of the journal of an engine that goes on meanwhile, and what only its memory knows beside it.
//
// A segment is never written again once another is newer, until its file is used for a new one. Each round of
// copy_journal() finds the segments that count and copies those that it does not have yet, the newest up to the end of
// its chain. A head that has changed since it was listed means that the file was used again: then that copy is dropped.
// The copy is whole when one round has found all it needs: it is what a crash at that round's beginning would have left
// on the disk. The keeper is not asked, and waits for nothing. Rounds get shorter as long as the copy is written faster
// than the journal.
#pragma once

#include <cstdint>
#include <memory>

#include <ringmill/error.h>

#include "core/durability/table_records.h"
#include "core/journal/device.h"
#include "core/journal/geometry.h"
#include "core/journal/writer.h"
#include "ipc/directory.h"
#include "ipc/segment.h"

namespace ringmill {

struct JournalCopy {
  std::uint64_t segments = 0;
  std::uint64_t bytes = 0;  // copied, those that had to be copied again included
  std::uint64_t rounds = 0;
};

/// Copies to the folder `to`, which is empty; durable when it returns. Errors: busy (the journal is written faster than
/// it can be copied), no_space, corrupt, system.
Result<JournalCopy> copy_journal(JournalDevice& from, std::uint64_t journal_id, const JournalGeometry& geometry,
                                 const Directory& to, std::uint32_t file_mode);

/// Appends the jobs of durability memory to a copied journal, as a keeper of it would write them. Those that stand in
/// the table all the while are in it, and of the others some. Returns how many. Errors: no_space, system.
Result<std::uint64_t> append_memory_jobs(const Segment& segment, JournalWriter& to);

}  // namespace ringmill
