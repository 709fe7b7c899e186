// Jobs of the table, one after another.
#pragma once

#include <ringmill/job.h>

#include "core/inspect/job_view.h"
#include "core/table/job_table.h"
#include "ipc/segment.h"

namespace ringmill {

/// Whether the filter means the job.
inline bool matches(const JobFilter& filter, const JobInfo& info) noexcept {
  return (!filter.state || *filter.state == info.state) && (!filter.level || *filter.level == info.level) &&
         (!filter.kind || *filter.kind == info.kind) && (!filter.tag || *filter.tag == info.tag);
}

/// Calls visit(view) for each job that `filter` means, in the order of the cells, until it returns false. A job that
/// changes meanwhile is seen as it was at one moment, or not at all.
template <class Visit>
void for_each_job(const Segment& segment, const JobFilter& filter, Visit&& visit) {
  const auto look = segment.look();  // one for all of them
  const CellChunks chunks = segment.chunks();
  const std::uint32_t capacity = segment.geometry().capacity;
  for (CellIndex index = chunks.next_there(0); index < capacity; index = chunks.next_there(index + 1)) {
    const auto view = view_job(segment, index);
    if (view && matches(filter, view->info) && !visit(*view)) return;
  }
}

}  // namespace ringmill
