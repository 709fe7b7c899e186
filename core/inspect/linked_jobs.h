// Which jobs belong together because some wait for others.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include <ringmill/job.h>

#include "core/table/job_table.h"
#include "ipc/segment.h"

namespace ringmill {

/// Returns the job and all that are linked with it: those that it waits for, those that wait for it, and those that are
/// linked with them, as far as they are not over. Each stands before the jobs that it waits for: what is cancelled in
/// this order becomes no dead letter on the way. Walks the table.
std::vector<JobId> linked_with(const Segment& segment, JobId id);

/// Jobs that wait for one, or have waited for it, and are still in the table.
struct Children {
  std::vector<JobId> ids;
  /// Where the next look goes on; nothing: the table ends here.
  std::optional<CellIndex> next;
};
/// Looks at cells from `begin` on, at most `most_looks` of them and of the ids of parents together, and finds at most
/// `most` children: a table of millions is looked through in bounded steps.
Children children_of(const Segment& segment, JobId id, CellIndex begin, std::size_t most, std::size_t most_looks);

}  // namespace ringmill
