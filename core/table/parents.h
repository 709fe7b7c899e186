// The jobs that a job waits for, or has waited for. Their ids stand in front of its payload, in the cell or in the
// arena.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <vector>

#include "core/table/arena.h"
#include "core/table/job_table.h"

namespace ringmill {

/// Returns the ids of the first parents of `id`, at most `most`. They are believed if the state word is the same
/// afterwards. Nothing: the cell or the arena is corrupted. Allocates.
std::optional<std::vector<JobId>> parents_of(const JobTable& table, const Arena& arena, JobId id,
                                             std::size_t most = std::numeric_limits<std::size_t>::max());

}  // namespace ringmill
