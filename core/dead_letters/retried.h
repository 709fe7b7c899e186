// Where letters went that were retried: a table of their file.
#pragma once

#include <chrono>
#include <optional>
#include <span>

#include <ringmill/error.h>
#include <ringmill/job.h>

#include "core/base/sqlite.h"

namespace ringmill {

/// Notes that each of `letters` became the job of the same place, within the caller's transaction. What is older than
/// `age` goes; zero: than 30 days.
Result<void> note_retried(SqlConnection& connection, std::span<const JobId> letters, std::span<const JobId> jobs,
                          std::chrono::seconds age);
/// Returns the job that a letter became.
Result<std::optional<JobId>> find_retried(SqlConnection& connection, JobId letter);

}  // namespace ringmill
