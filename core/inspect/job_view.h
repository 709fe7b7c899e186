// One job as it stands in the table, without trusting the table: each number that is read is bounded before it is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <ringmill/error.h>
#include <ringmill/job.h>

#include "core/table/job_table.h"
#include "ipc/segment.h"
#include "ipc/wait_mark.h"

namespace ringmill {

/// One job as it stands in the table.
struct JobView {
  JobInfo info;
  StateWord word{};
  std::uint32_t level_number = 0;
  std::uint32_t kind_number = 0;
  std::uint32_t payload_begins_at = 0;  // in what stands behind the header: the parents' ids are in front of it
  /// Why one that is shown as queued is parked with the keeper; none: it is not.
  WaitMark::Reason parked = WaitMark::Reason::none;
  /// True for one that is delayed because its last run found no room for a follow-up.
  bool is_put_off = false;
};
/// Nothing: the cell holds no job, or it changes all the time.
std::optional<JobView> view_job(const Segment& segment, CellIndex index);

/// The payload of a job that was viewed. Nothing: the cell has moved on meanwhile. Empty where it should not be: the
/// cell or the arena is corrupted.
std::optional<std::vector<std::byte>> copy_payload(const Segment& segment, const JobView& view);

/// What is known of one job. Error not_found: no job ever had this id.
Result<JobInfo> find_job(const Segment& segment, JobId id);

/// The public state that a cell's state is shown as. Nothing for free and filling.
std::optional<JobState> shown_state(CellState state) noexcept;
/// True for a job that neither runs nor will.
bool is_over(JobState state) noexcept;

/// The slot of the lease that a running cell's word rests on; nullptr: its owner has none for this run.
const LeaseSlot* lease_of(const Segment& segment, JobId id, StateWord word) noexcept;

}  // namespace ringmill
