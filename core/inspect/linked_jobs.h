// Which jobs belong together because some wait for others.
#pragma once

#include <vector>

#include <ringmill/job.h>

#include "ipc/segment.h"

namespace ringmill {

/// Returns the job and all that are linked with it: those that it waits for, those that wait for it, and those that are
/// linked with them, as far as they are not over. Each stands before the jobs that it waits for: what is cancelled in
/// this order becomes no dead letter on the way. Walks the table.
std::vector<JobId> linked_with(const Segment& segment, JobId id);

}  // namespace ringmill
