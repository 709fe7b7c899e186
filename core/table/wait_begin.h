// Since when a job waits for a worker: statistics.
#pragma once

#include <optional>

#include "core/table/job_table.h"

namespace ringmill {

/// Returns the moment from which on a worker could have had a job: its enqueue, or the time that it was put off to.
/// Nothing: it is not known, because the job waited for its parents or failed before. `version` is that of the word
/// with which it was queued. The caller owns the cell, looks at the word again, or counts a wrong answer as one wrong
/// record in a statistic.
inline std::optional<DueTime> wait_begin(const JobTable& table, CellIndex index, std::uint64_t version) noexcept {
  // A cell is free, then filling, then queued, unless the job had to wait for something else first.
  constexpr std::uint64_t version_of_straight_way = 2;
  const CellHeader& header = table.header(index);
  const DueTime enqueued{.ns = header.enqueued_at_ns.load(), .is_wall = true};
  if (version == version_of_straight_way) return enqueued;
  if (table.parents(index) != 0) return std::nullopt;
  const DueTime due = DueTime::of(header.due_at.load());
  if (due.ns != 0) return due;
  if (header.attempts.load() != 0) return std::nullopt;
  return enqueued;
}

}  // namespace ringmill
